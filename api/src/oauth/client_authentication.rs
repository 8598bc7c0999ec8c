//! Who asks for a token (RFC 6749 §2.3): a client by its secret in the body or by HTTP Basic, by an assertion that its
//! own key signed, or by its id alone (C4).

use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::{Client, ClientAuthMethod, ClientId};
use url::form_urlencoded;

use super::OAuthError;
use super::client_assertion::{self, Assertion};
use super::parameters::Parameters;
use crate::access_token::active_client;
use crate::{App, hash_of};

/// A client that has proved who it is.
#[derive(Debug)]
pub(crate) struct Authenticated {
    pub client_id: ClientId,
    pub client: Client,
    /// Which of its secrets it used, if it used one.
    pub secret_id: Option<String>,
}

/// Authenticates the client of a request to the token, revocation or introspection endpoint.
pub(crate) async fn authenticate(
    app: &App,
    headers: &HeaderMap,
    parameters: &Parameters,
) -> Result<Authenticated, OAuthError> {
    let presented = Presented::read(headers, parameters)?;
    let is_basic = matches!(presented.proof, Proof::Secret(_, By::Basic));
    let client_id: ClientId = presented.client_id.parse().map_err(|_| OAuthError::client_not_found(is_basic))?;
    let client = active_client(app, &client_id).await?.ok_or_else(|| OAuthError::client_not_found(is_basic))?;
    let failed = || OAuthError::client_authentication_failed(is_basic);
    if !presented.proof.is_allowed_for(&client) {
        return Err(failed());
    }
    let secret_id = match &presented.proof {
        Proof::None => None,
        Proof::Secret(secret, _) => {
            Some(client.secret_matches(&hash_of(secret), app.now()).ok_or_else(failed)?.to_owned())
        }
        Proof::Assertion(assertion) => {
            if let Err(reason) = client_assertion::verify(app, &client_id, &client, assertion).await? {
                // Why is for the operator: whoever forges one learns nothing.
                tracing::info!(client.id = %client_id, "refused a client assertion: {reason}");
                return Err(failed());
            }
            None
        }
    };
    Ok(Authenticated { client_id, client, secret_id })
}

/// Who a client says that it is, and how it proves it.
#[derive(Debug)]
struct Presented<'a> {
    client_id: String,
    proof: Proof<'a>,
}

#[derive(Debug, PartialEq, Eq)]
enum Proof<'a> {
    None,
    Secret(String, By),
    Assertion(Assertion<'a>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Post,
    Basic,
}

impl<'a> Presented<'a> {
    fn read(headers: &HeaderMap, parameters: &'a Parameters) -> Result<Self, OAuthError> {
        let (secret, assertion) = (parameters.get("client_secret"), Assertion::read(parameters)?);
        let has_header = headers.contains_key(header::AUTHORIZATION);
        if u8::from(has_header) + u8::from(secret.is_some()) + u8::from(assertion.is_some()) > 1 {
            return Err(OAuthError::invalid_request("the client must authenticate in one way, not in two"));
        }
        let given_id = parameters.get("client_id");
        let (client_id, proof) = if has_header {
            let (id, secret) = basic(headers).ok_or_else(OAuthError::basic_malformed)?;
            if given_id.is_some_and(|given| given != id) {
                return Err(OAuthError::invalid_request("client_id differs from the one in the Authorization header"));
            }
            (id, Proof::Secret(secret, By::Basic))
        } else if let Some(assertion) = assertion {
            // The assertion says whose it is, so `client_id` may be left out (RFC 7521 §4.2).
            let id = given_id.map(str::to_owned).or_else(|| assertion.claimed_client());
            (id.ok_or_else(|| OAuthError::client_authentication_failed(false))?, Proof::Assertion(assertion))
        } else {
            let id = given_id.ok_or_else(|| OAuthError::invalid_request("client_id is missing"))?;
            (id.to_owned(), secret.map_or(Proof::None, |secret| Proof::Secret(secret.to_owned(), By::Post)))
        };
        Ok(Self { client_id, proof })
    }
}

impl Proof<'_> {
    /// Whether the client may prove itself like this: as it is registered, or, if nothing is said, by its secret
    /// either way (C4).
    fn is_allowed_for(&self, client: &Client) -> bool {
        if !client.client_type.is_confidential() {
            return *self == Self::None;
        }
        match client.settings.token_endpoint_auth_method {
            None => matches!(self, Self::Secret(..)),
            Some(ClientAuthMethod::ClientSecretPost) => matches!(self, Self::Secret(_, By::Post)),
            Some(ClientAuthMethod::ClientSecretBasic) => matches!(self, Self::Secret(_, By::Basic)),
            Some(ClientAuthMethod::PrivateKeyJwt) => matches!(self, Self::Assertion(_)),
            Some(ClientAuthMethod::None) => *self == Self::None,
        }
    }
}

/// Id and secret of `Authorization: Basic …`, each form-encoded before base64 (RFC 6749 §2.3.1).
fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let (scheme, encoded) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = pair.split_once(':')?;
    Some((form_decoded(id), form_decoded(secret)))
}

fn form_decoded(text: &str) -> String {
    // As the name of a pair without a value; `&` and `=` cannot stand in it unencoded.
    form_urlencoded::parse(text.as_bytes()).next().map(|(name, _)| name.into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn authorization(value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        headers
    }

    #[test]
    fn basic_credentials_are_form_decoded() {
        let headers = authorization(&format!("Basic {}", STANDARD.encode("app_1:se%2Bcr%3Aet")));
        assert_eq!(basic(&headers), Some(("app_1".to_owned(), "se+cr:et".to_owned())));
    }

    #[test]
    fn what_is_not_basic_is_no_proof() {
        for value in ["Bearer x", "Basic", "Basic !", &format!("Basic {}", STANDARD.encode("no colon"))] {
            assert_eq!(basic(&authorization(value)), None, "{value}");
        }
    }

    #[test]
    fn a_client_authenticates_in_one_way() {
        let headers = authorization(&format!("Basic {}", STANDARD.encode("app_1:s")));
        let jwt = "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer\
                   &client_assertion=a.b.c";
        let read = |headers: &HeaderMap, form: &str| {
            let parameters = Parameters::from_form(form.as_bytes()).unwrap();
            Presented::read(headers, &parameters).map(|presented| presented.client_id).map_err(|_| ())
        };
        assert_eq!(read(&headers, "client_id=app_1"), Ok("app_1".to_owned()));
        assert_eq!(read(&headers, "client_id=app_2"), Err(()));
        assert_eq!(read(&headers, "client_secret=s"), Err(()));
        assert_eq!(read(&headers, jwt), Err(()));
        assert_eq!(read(&HeaderMap::new(), &format!("{jwt}&client_id=app_1&client_secret=s")), Err(()));
        assert_eq!(read(&HeaderMap::new(), &format!("{jwt}&client_id=app_1")), Ok("app_1".to_owned()));
        assert_eq!(read(&HeaderMap::new(), jwt), Err(()), "nor is it said in the assertion");
    }
}
