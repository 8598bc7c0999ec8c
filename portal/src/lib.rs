//! Pages for people: signing in and the client portal, rendered on the server and whole without scripts.
//!
//! What may not live here: a rule about the business (that is `domain`), SQL (that is `projections`), an answer for
//! programs (that is `api`). A page is one file with its handler, its values and, under `templates/`, its text.

mod account;
mod admin;
mod assets;
mod client;
mod consent;
mod continue_to;
mod errors;
mod form_post;
mod forms;
mod headers;
mod locale;
mod page;
mod register;
mod reset_password;
mod sign_in;
mod sign_out;
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
        .route("/sign-out", get(sign_out::show).post(sign_out::submit))
        .route("/oauth/consent", get(consent::show).post(consent::answer))
        .route("/oauth/organization", get(consent::show_organizations).post(consent::choose_organization))
        .route("/sign-in/code", get(sign_in::code::show).post(sign_in::code::submit))
        .route("/register", get(register::show).post(register::submit))
        .route("/verify-email", get(register::show_verification).post(register::verify))
        .route("/forgot-password", get(reset_password::ask).post(reset_password::send))
        .route("/reset-password", get(reset_password::show).post(reset_password::submit))
        .route("/account", get(account::show))
        .route("/account/verify", post(account::verify))
        .route("/account/password", get(account::password::show).post(account::password::submit))
        .route("/account/two-factor", get(account::two_factor::show).post(account::two_factor::begin))
        .route("/account/two-factor/set-up", get(account::two_factor::set_up).post(account::two_factor::enable))
        .route("/account/two-factor/turn-off", post(account::two_factor::turn_off))
        .route("/account/two-factor/recovery-codes", post(account::two_factor::replace_codes))
        .route("/account/sessions", get(account::sessions::show).post(account::sessions::end))
        .route("/account/sessions/end-all", post(account::sessions::end_all))
        .route("/portal", get(client::start))
        .route("/portal/dashboard", get(client::dashboard::show))
        .route("/portal/apps", get(client::apps::show))
        .route("/portal/apps/install", post(client::apps::install))
        .route("/portal/apps/uninstall", post(client::apps::uninstall))
        .route("/portal/subscriptions", get(client::subscriptions::show))
        .route("/portal/oauth-clients", get(client::connected_apps::show))
        .route("/portal/oauth-clients/remove", post(client::connected_apps::remove))
        .route("/language", get(locale::choose))
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
        .layer(from_fn(form_post::show_as_page))
        .layer(from_fn_with_state(app.clone(), headers::require_tls))
}
