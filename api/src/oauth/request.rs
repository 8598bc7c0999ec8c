//! What a client asks for at the authorization endpoint, checked before anybody is asked anything.

use chrono::Duration;
use domain::{Client, CodeChallenge, CodeChallengeMethod, OrganizationId, RequestedClaims, Scopes};
use serde_json::Value;

use super::parameters::Parameters;
use crate::Settings;

/// A nonce is stored with its grant, for ever.
const LONGEST_NONCE: usize = 1_024;
/// Scopes are stored with their grant, too.
const MOST_SCOPES: usize = 50;
/// An OAuth error code and its sentence, for the client.
pub(super) type ErrorAnswer = (&'static str, &'static str);

pub(super) const SCOPE_NOT_ALLOWED: ErrorAnswer = ("invalid_scope", "Requested scope not allowed");

/// A request that the client may make (OpenID Connect Core §3.1.2.1).
pub(super) struct AuthorizationRequest {
    pub scopes: Scopes,
    pub nonce: Option<String>,
    pub code_challenge: Option<CodeChallenge>,
    pub prompt: Prompt,
    pub max_age: Option<Duration>,
    pub claims: ClaimsRequest,
    /// Whom the client expects, as an ID token that it got before.
    pub id_token_hint: Option<String>,
    /// For which organization (C10).
    pub organization: Option<OrganizationId>,
    /// For which APIs.
    pub audiences: Vec<String>,
}

/// What the client wants the user to be shown.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Prompt {
    /// Nothing at all.
    pub none: bool,
    /// The sign-in page, even if somebody is signed in.
    pub login: bool,
    /// The consent page, even if nothing is new.
    pub consent: bool,
}

/// The `claims` parameter (OpenID Connect Core §5.5).
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ClaimsRequest {
    pub names: RequestedClaims,
    /// Only this user will do.
    pub subject: Option<String>,
    /// Only one of these ways to sign in will do.
    pub essential_acr: Vec<String>,
}

impl AuthorizationRequest {
    pub fn read(parameters: &Parameters, client: &Client, settings: &Settings) -> Result<Self, ErrorAnswer> {
        match parameters.get("response_type") {
            Some("code") => {}
            None => return Err(("invalid_request", "response_type is missing: it must be code")),
            Some(_) => return Err(("unsupported_response_type", "response_type must be code")),
        }
        refuse_unsupported(parameters)?;
        if parameters.get("nonce").is_some_and(|nonce| nonce.len() > LONGEST_NONCE) {
            return Err(("invalid_request", "nonce must have at most 1024 bytes"));
        }
        let max_age = match parameters.get("max_age").map(str::parse::<u32>) {
            None => None,
            Some(Ok(seconds)) => Some(Duration::seconds(i64::from(seconds))),
            Some(Err(_)) => return Err(("invalid_request", "max_age must be a number of seconds")),
        };
        let organization = match parameters.get("organization").map(str::parse) {
            None => None,
            Some(Ok(id)) => Some(id),
            Some(Err(_)) => return Err(("invalid_request", "organization must be an organization's id, like org_…")),
        };
        Ok(Self {
            scopes: scopes(parameters, client)?,
            nonce: parameters.get("nonce").map(str::to_owned),
            code_challenge: code_challenge(parameters, client, settings.pkce_plain)?,
            prompt: prompt(parameters.get("prompt").unwrap_or_default())?,
            max_age,
            claims: parameters.get("claims").map(|text| claims(text, client)).transpose()?.unwrap_or_default(),
            id_token_hint: parameters.get("id_token_hint").map(str::to_owned),
            organization,
            audiences: parameters.audiences().map(str::to_owned).collect(),
        })
    }
}

fn refuse_unsupported(parameters: &Parameters) -> Result<(), ErrorAnswer> {
    if parameters.has("request") {
        return Err(("request_not_supported", "request objects are not supported"));
    }
    if parameters.has("request_uri") {
        return Err(("request_uri_not_supported", "request objects are not supported"));
    }
    if parameters.has("registration") {
        return Err(("registration_not_supported", "clients are registered before they ask"));
    }
    match parameters.get("response_mode") {
        None | Some("query" | "form_post") => Ok(()),
        Some(_) => Err(("invalid_request", "response_mode must be query or form_post")),
    }
}

fn scopes(parameters: &Parameters, client: &Client) -> Result<Scopes, ErrorAnswer> {
    let asked = parameters.get("scope").ok_or(("invalid_scope", "scope is missing"))?;
    let allowed = |scope: &str| client.may_have(scope);
    let scopes: Scopes = if client.settings.ignore_unknown_scopes {
        asked.split(' ').filter(|scope| allowed(scope)).filter_map(|scope| scope.parse().ok()).collect()
    } else {
        asked.parse().map_err(|_| SCOPE_NOT_ALLOWED)?
    };
    if scopes.is_empty() || scopes.len() > MOST_SCOPES || !scopes.iter().all(|scope| allowed(scope.as_str())) {
        return Err(SCOPE_NOT_ALLOWED);
    }
    Ok(scopes)
}

fn prompt(text: &str) -> Result<Prompt, ErrorAnswer> {
    let mut prompt = Prompt::default();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        match word {
            "none" => prompt.none = true,
            // Who wants another account signs in with it.
            "login" | "select_account" => prompt.login = true,
            "consent" => prompt.consent = true,
            _ => return Err(("invalid_request", "prompt must be none, or of login, select_account and consent")),
        }
    }
    if prompt.none && (prompt.login || prompt.consent) {
        return Err(("invalid_request", "prompt=none stands alone"));
    }
    Ok(prompt)
}

/// Claims that we have not, or whose scope the client may not ask for, are left out, which is allowed for essential
/// ones too (OpenID Connect Core §5.5.1).
fn claims(text: &str, client: &Client) -> Result<ClaimsRequest, ErrorAnswer> {
    let malformed =
        ("invalid_request", "claims must be a JSON object with userinfo and id_token (OpenID Connect Core §5.5)");
    let claims: Value = serde_json::from_str(text).map_err(|_| malformed)?;
    let part = |name: &str| match claims.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(members)) => Ok(Some(members)),
        Some(_) => Err(malformed),
    };
    if !claims.is_object() {
        return Err(malformed);
    }
    let (userinfo, id_token) = (part("userinfo")?, part("id_token")?);
    let names = |members: Option<&serde_json::Map<String, Value>>| -> Vec<String> {
        let names = members.into_iter().flat_map(|members| members.keys());
        names
            .filter(|name| super::claims::scope_of(name).is_some_and(|scope| client.may_have(scope)))
            .cloned()
            .collect()
    };
    let id_token_member = |name: &str| id_token.and_then(|members| members.get(name));
    let text_of = |value: &Value| value.as_str().map(str::to_owned);
    let subject = id_token_member("sub").or_else(|| userinfo?.get("sub")).and_then(|sub| text_of(sub.get("value")?));
    let acr = id_token_member("acr").filter(|acr| acr.get("essential") == Some(&Value::Bool(true)));
    let values = acr.and_then(|acr| acr.get("values")).and_then(Value::as_array);
    let value = acr.and_then(|acr| acr.get("value"));
    let essential_acr = values.into_iter().flatten().chain(value).filter_map(text_of).collect();
    let names = RequestedClaims { userinfo: names(userinfo), id_token: names(id_token) };
    Ok(ClaimsRequest { names, subject, essential_acr })
}

/// Public clients need S256; confidential ones may leave PKCE out, or use `plain` (C3, RFC 7636 §4.3).
fn code_challenge(
    parameters: &Parameters,
    client: &Client,
    pkce_plain: bool,
) -> Result<Option<CodeChallenge>, ErrorAnswer> {
    let public = !client.client_type.is_confidential();
    let strict = public || client.settings.require_s256;
    let Some(value) = parameters.get("code_challenge") else {
        return match (strict, parameters.has("code_challenge_method")) {
            (true, _) => Err(("invalid_request", "code_challenge is missing: this client must use PKCE")),
            (false, true) => Err(("invalid_request", "code_challenge_method is given without code_challenge")),
            (false, false) => Ok(None),
        };
    };
    let method = match parameters.get("code_challenge_method") {
        Some("S256") => CodeChallengeMethod::S256,
        Some("plain") | None if !strict && pkce_plain => CodeChallengeMethod::Plain,
        _ => return Err(("invalid_request", "code_challenge_method must be S256")),
    };
    CodeChallenge::new(method, value).map(Some).map_err(|_| {
        ("invalid_request", "code_challenge must be 43 characters of base64url for S256, 43 to 128 for plain")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_stands_alone_and_unknown_words_are_refused() {
        assert_eq!(prompt("login consent"), Ok(Prompt { none: false, login: true, consent: true }));
        assert_eq!(prompt(""), Ok(Prompt::default()));
        assert!(prompt("none login").is_err());
        assert!(prompt("create").is_err());
    }

    fn a_client(scopes: &str) -> Client {
        Client {
            organization_id: "org_acme".parse().unwrap(),
            installation: None,
            name: "CRM".parse().unwrap(),
            client_type: domain::ClientType::Web,
            redirect_uris: vec![],
            scopes: scopes.parse().unwrap(),
            settings: Box::default(),
            secrets: vec![],
            ended_secret_ids: vec![],
        }
    }

    #[test]
    fn the_claims_that_we_have_and_the_client_may_ask_for_are_kept() {
        let asked = r#"{"userinfo": {"name": null, "role": null, "unheard_of": {"essential": true}},
                        "id_token": {"email": {"essential": true}, "sub": {"value": "user_ada"},
                                     "acr": {"essential": true, "values": ["a", "b"]}}}"#;
        let claims = claims(asked, &a_client("profile email")).unwrap();
        assert_eq!(claims.names, RequestedClaims { userinfo: vec!["name".into()], id_token: vec!["email".into()] });
        assert_eq!(claims.subject.as_deref(), Some("user_ada"));
        assert_eq!(claims.essential_acr, ["a", "b"]);
    }

    #[test]
    fn claims_that_are_no_object_are_refused() {
        for text in ["", "[]", "x", r#"{"userinfo": []}"#, r#"{"id_token": "sub"}"#] {
            assert!(claims(text, &a_client("")).is_err(), "{text:?} was accepted");
        }
    }
}
