//! What this provider can do (OpenID Connect Discovery §3, RFC 8414 §2) and its public keys (RFC 7517).

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use serde_json::json;

use super::paths;
use crate::App;

/// `GET /.well-known/openid-configuration`
pub(crate) async fn show(State(app): State<App>) -> impl IntoResponse {
    let base = &app.settings.base_url;
    let document = json!({
        "issuer": base,
        "authorization_endpoint": format!("{base}{}", paths::AUTHORIZE),
        "token_endpoint": format!("{base}{}", paths::TOKEN),
        "userinfo_endpoint": format!("{base}{}", paths::USERINFO),
        "jwks_uri": format!("{base}{}", paths::KEYS),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic", "none"],
        "code_challenge_methods_supported": ["S256", "plain"],
        "scopes_supported": ["openid", "profile", "email", "offline_access", "organization", "organization:read",
                             "organization:write"],
        "claims_supported": ["iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "sid", "name", "email",
                             "email_verified", "organization_id", "organizationId", "organization_name", "role"],
        "prompt_values_supported": ["none", "login"],
        "claims_parameter_supported": false,
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
        "authorization_response_iss_parameter_supported": true,
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
