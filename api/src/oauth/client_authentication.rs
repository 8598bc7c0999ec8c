//! Who asks for a token: a client's id and secret in the body or by HTTP Basic, or its id alone (C4).

use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::{Client, ClientId};
use url::form_urlencoded;

use super::OAuthError;
use super::parameters::Parameters;
use crate::access_token::active_client;
use crate::{App, hash_of};

/// A client that has proved who it is.
pub(crate) struct Authenticated {
    pub client_id: ClientId,
    pub client: Client,
    /// Which secret it used, if it used one.
    pub secret_id: Option<String>,
}

/// The client, once it has proved who it is (RFC 6749 §2.3).
pub(crate) async fn authenticate(
    app: &App,
    headers: &HeaderMap,
    parameters: &Parameters,
) -> Result<Authenticated, OAuthError> {
    let basic = basic(headers)?;
    let is_basic = basic.is_some();
    let (id, secret) = match basic {
        Some(_) if parameters.has("client_secret") => {
            return Err(OAuthError::invalid_request("the client must authenticate in one way, not in two"));
        }
        Some((id, _)) if parameters.get("client_id").is_some_and(|given| given != id) => {
            return Err(OAuthError::invalid_request("client_id differs from the one in the Authorization header"));
        }
        Some((id, secret)) => (id, Some(secret)),
        None => {
            let id = parameters.get("client_id").ok_or_else(|| OAuthError::invalid_request("client_id is missing"))?;
            (id.to_owned(), parameters.get("client_secret").map(str::to_owned))
        }
    };
    let id: ClientId = id.parse().map_err(|_| OAuthError::client_not_found(is_basic))?;
    let client = active_client(app, &id).await?.ok_or_else(|| OAuthError::client_not_found(is_basic))?;
    let secret_id = match (client.client_type.is_confidential(), &secret) {
        (true, Some(secret)) => client
            .secret_matches(&hash_of(secret), app.now())
            .map(|id| Some(id.to_owned()))
            .ok_or_else(|| OAuthError::client_authentication_failed(is_basic))?,
        (false, None) => None,
        _ => return Err(OAuthError::client_authentication_failed(is_basic)),
    };
    Ok(Authenticated { client_id: id, client, secret_id })
}

/// Id and secret of `Authorization: Basic …`, each form-encoded before base64 (RFC 6749 §2.3.1).
fn basic(headers: &HeaderMap) -> Result<Option<(String, String)>, OAuthError> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let malformed = || OAuthError::invalid_request("the Authorization header is not HTTP Basic");
    let (scheme, encoded) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(malformed)?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(malformed());
    }
    let pair =
        STANDARD.decode(encoded.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(malformed)?;
    let (id, secret) = pair.split_once(':').ok_or_else(malformed)?;
    Ok(Some((form_decoded(id), form_decoded(secret))))
}

fn form_decoded(text: &str) -> String {
    // As the name of a pair without a value; `&` and `=` cannot stand in it unencoded.
    form_urlencoded::parse(text.as_bytes()).next().map(|(name, _)| name.into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn basic_credentials_are_form_decoded() {
        let mut headers = HeaderMap::new();
        let encoded = STANDARD.encode("app_1:se%2Bcr%3Aet");
        headers.insert(header::AUTHORIZATION, HeaderValue::from_str(&format!("Basic {encoded}")).unwrap());
        let found = basic(&headers).unwrap_or_else(|error| panic!("{error:?}"));
        assert_eq!(found, Some(("app_1".to_owned(), "se+cr:et".to_owned())));
    }

    #[test]
    fn another_scheme_is_refused() {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer x"));
        assert!(basic(&headers).is_err());
    }
}
