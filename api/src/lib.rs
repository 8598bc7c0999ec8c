//! The HTTP interface for programs: OAuth and OpenID Connect, the management API, health.
//!
//! A handler says who may call it, makes a command, returns. What may not live here: a rule about the business
//! (that is `domain`), SQL about facts (that is `projections`), a page for people (that is `portal`).

mod access_token;
pub mod accounts;
mod api_keys;
pub mod apis;
mod app;
mod apps;
mod arrival;
mod caller;
pub mod clients;
mod cookies;
mod cors;
mod devices;
pub mod fields;
mod health;
mod installations;
pub mod keys;
mod locale;
mod lookups;
mod mail;
pub mod oauth;
mod organizations;
pub mod own_account;
mod passwords;
mod problem;
pub mod registration;
mod secrets;
mod settings;
pub mod sign_in;
pub mod sweep;
mod throttle;
mod totp;
pub mod two_factor;
mod users;
mod written;

pub use app::App;
pub use apps::{DefineApp, define_app};
pub use arrival::{Arrival, announce};
pub use caller::Caller;
pub use installations::{Installed, install, uninstall};
pub use keys::SigningKeys;
pub use locale::Locale;
pub use lookups::Lookups;
pub use mail::{MailError, Mailer};
pub use passwords::Passwords;
pub use problem::{ErrorPage, Problem};
pub use secrets::{hash_of, random_secret};
pub use settings::{AccountSettings, MailTransport, Settings, SmtpUrl};
pub use written::Written;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{delete, get, patch, post, put};

/// Every route of this crate; the management API answers under `/v1` and `/api/v1` alike (R202).
pub fn router(app: App) -> Router {
    let management = Router::new()
        .route("/apps", get(apps::list).post(apps::define))
        .route("/apps/{app_id}", patch(apps::change))
        .route("/organizations/{organization_id}/installations", post(installations::create).get(installations::list))
        .route("/organizations/{organization_id}/installations/{installation_id}", delete(installations::delete))
        .route("/keys", get(keys::management::list))
        .route("/keys/rotate", post(keys::management::rotate_keys))
        .route("/users", get(users::list).post(users::create))
        .route("/users/me", get(users::me))
        .route("/users/{user_id}", get(users::show))
        .route("/organizations", post(organizations::create))
        .route("/organizations/{organization_id}", get(organizations::show).patch(organizations::rename))
        .route("/organizations/{organization_id}/members", get(organizations::members))
        .route(
            "/organizations/{organization_id}/members/{user_id}",
            put(organizations::put_member).delete(organizations::remove_member),
        )
        .route("/organizations/{organization_id}/api-keys", post(api_keys::create))
        .route("/organizations/{organization_id}/api-keys/{key_id}", delete(api_keys::revoke))
        .route("/clients", get(clients::list).post(clients::create))
        .route("/clients/{client_id}", get(clients::show).patch(clients::change).delete(clients::delete))
        .route("/clients/{client_id}/disable", post(clients::disable))
        .route("/clients/{client_id}/enable", post(clients::enable))
        .route("/clients/{client_id}/secrets", post(clients::rotate))
        .route("/clients/{client_id}/secrets/{secret_id}", delete(clients::revoke))
        .route("/apis", get(apis::list).post(apis::create))
        .route("/apis/{api_id}", get(apis::show).patch(apis::change).delete(apis::delete))
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
        .layer(axum::middleware::from_fn_with_state(app.clone(), cors::answer))
        .with_state(app)
}
