//! Pages for people: signing in and the client portal, rendered on the server and whole without scripts.
//!
//! What may not live here: a rule about the business (that is `domain`), SQL (that is `projections`), an answer for
//! programs (that is `api`). A page is one file with its handler, its values and, under `templates/`, its text.

mod admin;
mod assets;
mod client;
mod errors;
mod forms;
mod headers;
mod page;
mod sign_in;
mod text;

use api::App;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};

/// No form of ours is longer; `continue` holds an authorization request with its state.
const LARGEST_FORM: usize = 64 * 1024;

/// Every route of this crate.
pub fn router(app: App) -> Router {
    Router::new()
        .route("/", get(client::start))
        .route("/sign-in", get(sign_in::show).post(sign_in::submit))
        .route("/sign-out", post(sign_in::sign_out))
        .route("/portal", get(client::start))
        .route("/portal/dashboard", get(client::dashboard::show))
        .route("/portal/apps", get(client::apps::show))
        .route("/portal/apps/install", post(client::apps::install))
        .route("/portal/apps/uninstall", post(client::apps::uninstall))
        .route("/portal/subscriptions", get(client::subscriptions::show))
        .route("/admin/clients", get(admin::clients::list).post(admin::clients::create))
        .route("/admin/clients/new", get(admin::clients::new))
        .route("/admin/clients/{client_id}", get(admin::clients::show).post(admin::clients::save))
        .route("/admin/clients/{client_id}/rotate", post(admin::clients::rotate))
        .route("/admin/clients/{client_id}/revoke", post(admin::clients::revoke))
        .route("/admin/clients/{client_id}/enable", post(admin::clients::enable))
        .route("/admin/clients/{client_id}/disable", post(admin::clients::disable))
        .route("/admin/clients/{client_id}/delete", get(admin::clients::confirm).post(admin::clients::delete))
        .route("/assets/{version}/{file}", get(assets::serve))
        .method_not_allowed_fallback(errors::method_not_allowed)
        .layer(forms::from_our_own_pages(&app))
        .layer(DefaultBodyLimit::max(LARGEST_FORM))
        .with_state(app)
}

/// For the whole server's routes: errors become pages where a person reads them, and every page is protected.
pub fn pages(router: Router, app: &App) -> Router {
    router
        .fallback(errors::no_such_page)
        .layer(from_fn(headers::protect))
        .layer(from_fn(errors::show_as_pages))
        .layer(from_fn_with_state(app.clone(), headers::require_tls))
}
