//! What this provider can do (OpenID Connect Discovery §3, RFC 8414 §2) and its public keys (RFC 7517).

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use domain::SigningAlgorithm;
use serde_json::json;

use super::claims::ACR_VALUES;
use super::paths;
use crate::App;

/// `GET /.well-known/openid-configuration`
pub(crate) async fn show(State(app): State<App>) -> impl IntoResponse {
    let base = &app.settings.base_url;
    let at = |path: &str| format!("{base}{path}");
    let secrets_and_keys = ["client_secret_post", "client_secret_basic", "private_key_jwt"];
    let every_way = [secrets_and_keys.as_slice(), &["none"]].concat();
    let algorithms: Vec<&str> = SigningAlgorithm::ALL.iter().map(|algorithm| algorithm.as_str()).collect();
    let assertions = ["RS256", "PS256", "ES256", "EdDSA"];
    let challenges = if app.settings.pkce_plain { vec!["S256", "plain"] } else { vec!["S256"] };
    let document = json!({
        "issuer": base,
        "authorization_endpoint": at(paths::AUTHORIZE),
        "token_endpoint": at(paths::TOKEN),
        "userinfo_endpoint": at(paths::USERINFO),
        "revocation_endpoint": at(paths::REVOKE),
        "introspection_endpoint": at(paths::INTROSPECT),
        "end_session_endpoint": at(paths::LOGOUT),
        "jwks_uri": at(paths::KEYS),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "form_post"],
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": algorithms,
        "token_endpoint_auth_methods_supported": every_way,
        "token_endpoint_auth_signing_alg_values_supported": assertions,
        "revocation_endpoint_auth_methods_supported": every_way,
        "revocation_endpoint_auth_signing_alg_values_supported": assertions,
        "introspection_endpoint_auth_methods_supported": secrets_and_keys,
        "introspection_endpoint_auth_signing_alg_values_supported": assertions,
        "code_challenge_methods_supported": challenges,
        "scopes_supported": ["openid", "profile", "email", "offline_access", "organization", "organization:read",
                             "organization:write"],
        "claim_types_supported": ["normal"],
        "claims_supported": ["iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "sid", "at_hash",
                             "name", "email", "email_verified", "organization_id", "organizationId",
                             "organization_name", "role", "products", "licenses", "entitlements"],
        "acr_values_supported": ACR_VALUES,
        "display_values_supported": ["page"],
        "ui_locales_supported": ["en", "de"],
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        "claims_parameter_supported": true,
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
        "authorization_response_iss_parameter_supported": true,
        "backchannel_logout_supported": true,
        "backchannel_logout_session_supported": true,
    });
    (CACHEABLE, Json(document))
}

/// `GET /.well-known/jwks.json`
pub(crate) async fn keys(State(app): State<App>) -> impl IntoResponse {
    (CACHEABLE, Json(app.keys.public(app.now())))
}

/// Any origin may read these, and keep them for a few minutes: a new key is published before it signs.
const CACHEABLE: [(header::HeaderName, &str); 2] =
    [(header::CACHE_CONTROL, "public, max-age=300"), (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")];
