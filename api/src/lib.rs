//! The HTTP interface for programs: OAuth and OpenID Connect, the management API, health.
//!
//! A handler says who may call it, makes a command, returns. What may not live here: a rule about the business
//! (that is `domain`), SQL (that is `projections`), a page for people (that is `portal`).

mod access_token;
pub mod accounts;
mod app;
mod apps;
mod arrival;
mod caller;
mod cookies;
pub mod fields;
mod health;
mod installations;
pub mod keys;
mod locale;
pub mod oauth;
mod passwords;
mod problem;
mod secrets;
mod settings;
pub mod sign_in;

pub use app::App;
pub use apps::{DefineApp, define_app};
pub use arrival::{Arrival, announce};
pub use caller::Caller;
pub use installations::{Installed, install, uninstall};
pub use keys::SigningKeys;
pub use locale::Locale;
pub use passwords::Passwords;
pub use problem::{ErrorPage, Problem};
pub use secrets::{hash_of, random_secret};
pub use settings::Settings;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{delete, get, post};

/// Every route of this crate; the management API answers under `/v1` and `/api/v1` alike (R202).
pub fn router(app: App) -> Router {
    let management = Router::new()
        .route("/apps", get(apps::list).post(apps::define))
        .route("/organizations/{organization_id}/installations", post(installations::create).get(installations::list))
        .route("/organizations/{organization_id}/installations/{installation_id}", delete(installations::delete))
        .route("/keys", get(keys::management::list))
        .route("/keys/rotate", post(keys::management::rotate_keys))
        .method_not_allowed_fallback(problem::no_such_method)
        .fallback(problem::no_such_route);
    Router::new()
        .nest("/v1", management.clone())
        .nest("/api/v1", management)
        .route("/.well-known/openid-configuration", get(oauth::discovery::show))
        .route("/.well-known/oauth-authorization-server", get(oauth::discovery::show))
        .route("/.well-known/jwks.json", get(oauth::discovery::keys))
        .route("/oauth/authorize", get(oauth::authorize::get).post(oauth::authorize::post))
        .route("/oauth/authorize/{handle}", get(oauth::authorize::resume))
        .route("/oauth/token", post(oauth::token::post))
        .route("/oauth/userinfo", get(oauth::userinfo::get).post(oauth::userinfo::post))
        .route("/oauth/revoke", post(oauth::revoke::post))
        .route("/oauth/introspect", post(oauth::introspect::post))
        .route("/oauth/logout", get(oauth::logout::get).post(oauth::logout::post))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .merge(health::development(&app))
        .layer(DefaultBodyLimit::max(64 * 1024))
        .with_state(app)
}
