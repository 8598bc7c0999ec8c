//! The sample app of the demo: does what the marketplace guide asks of an app, once per app of the demo.
//!
//! `examples/customer-service` is the guide's own code; this one comes with the binary, so that the demo needs
//! nothing installed.

use std::path::Path;
use std::time::Duration;

use axum::extract::{Path as Route, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use database::{Db, Schema, open_sqlite};
use migrations::Migration;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::Failure;

/// The guide's tables, with the app that they belong to.
const TABLES: Schema = Schema {
    table: "sample_app_migrations",
    steps: &[Migration {
        version: 1,
        name: "the guide's tables",
        sql: "CREATE TABLE oauth_credentials (
                  app TEXT NOT NULL, organization_id TEXT NOT NULL, client_id TEXT NOT NULL, client_secret TEXT NOT NULL,
                  PRIMARY KEY (app, organization_id));
              CREATE TABLE sessions (
                  id TEXT PRIMARY KEY, app TEXT NOT NULL, organization_id TEXT NOT NULL, access_token TEXT NOT NULL);",
    }],
    durable: true,
};

#[derive(Clone)]
struct SampleApp {
    db: Db,
    http: reqwest::Client,
    optare_id_url: String,
    app_url: String,
}

#[derive(sqlx::FromRow)]
struct Credentials {
    client_id: String,
    client_secret: String,
}

/// What went wrong, for the person at the browser or Optare's delivery log.
struct Trouble(StatusCode, String);

impl<E: std::fmt::Display> From<E> for Trouble {
    fn from(error: E) -> Self {
        Self(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        (self.0, page("Something went wrong", &format!("<p>{}</p>", escaped(&self.1)))).into_response()
    }
}

/// Opens the app's own database in the demo's folder and answers its routes.
pub async fn open(folder: &Path, optare_id_url: &str, app_url: &str) -> Result<Router, Failure> {
    let app = SampleApp {
        db: open_sqlite(&folder.join("sample-app.sqlite"), TABLES).await?,
        http: reqwest::Client::builder().timeout(Duration::from_secs(10)).no_proxy().build()?,
        optare_id_url: optare_id_url.to_owned(),
        app_url: app_url.to_owned(),
    };
    Ok(Router::new()
        .route("/", get(home))
        .route("/{app}/api/webhooks/optare", post(webhook))
        .route("/{app}/auth/callback", get(callback))
        .route("/{app}/dashboard", get(dashboard))
        .with_state(app))
}

async fn webhook(
    State(app): State<SampleApp>,
    Route(name): Route<String>,
    Json(body): Json<Value>,
) -> Result<Json<Value>, Trouble> {
    let text = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
    let organization = text("organizationId");
    match body["event"].as_str() {
        Some("app.installed") => {
            let sql =
                "INSERT INTO oauth_credentials (app, organization_id, client_id, client_secret) VALUES ($1, $2, $3, $4)
                       ON CONFLICT (app, organization_id) DO UPDATE
                       SET client_id = excluded.client_id, client_secret = excluded.client_secret";
            app.db.execute(sql, (name.as_str(), &organization, text("clientId"), text("clientSecret"))).await?;
            println!("[{name}] app installed for {organization}: credentials stored");
        }
        Some("app.uninstalled") => {
            // Only the credentials that were taken away: a newer install may be there already.
            let sql = "DELETE FROM oauth_credentials WHERE app = $1 AND organization_id = $2 AND client_id = $3";
            app.db.execute(sql, (name.as_str(), &organization, text("clientId"))).await?;
            println!("[{name}] app uninstalled for {organization}: credentials forgotten");
        }
        _ => {}
    }
    Ok(Json(json!({"received": true})))
}

#[derive(Deserialize)]
struct Callback {
    code: Option<String>,
    state: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
}

async fn callback(
    State(app): State<SampleApp>,
    Route(name): Route<String>,
    Query(answer): Query<Callback>,
) -> Result<Response, Trouble> {
    if let Some(error) = answer.error {
        let text = format!("{error}: {}", answer.error_description.unwrap_or_default());
        return Err(Trouble(StatusCode::FORBIDDEN, text));
    }
    let (Some(code), Some(organization)) = (answer.code, answer.state) else {
        return Err(Trouble(StatusCode::BAD_REQUEST, "code or state is missing".to_owned()));
    };
    let credentials = credentials(&app, &name, &organization)
        .await?
        .ok_or_else(|| Trouble(StatusCode::FORBIDDEN, "No credentials found: the app is not installed".to_owned()))?;
    let redirect_uri = format!("{}/{name}/auth/callback", app.app_url);
    let form = [
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", &redirect_uri),
        ("client_id", &credentials.client_id),
        ("client_secret", &credentials.client_secret),
    ];
    let answer = app.http.post(format!("{}/oauth/token", app.optare_id_url)).form(&form).send().await?;
    let tokens: Value = answer.json().await?;
    let Some(access_token) = tokens["access_token"].as_str() else {
        return Err(Trouble(StatusCode::BAD_GATEWAY, format!("Token exchange failed: {tokens}")));
    };
    let session = Uuid::new_v4().simple().to_string();
    let sql = "INSERT INTO sessions (id, app, organization_id, access_token) VALUES ($1, $2, $3, $4)";
    app.db.execute(sql, (&session, &name, &organization, access_token)).await?;
    let cookie = format!("sample_{name}={session}; HttpOnly; SameSite=Lax; Path=/{name}");
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to(&format!("/{name}/dashboard"))).into_response())
}

async fn dashboard(
    State(app): State<SampleApp>,
    Route(name): Route<String>,
    headers: HeaderMap,
) -> Result<Response, Trouble> {
    let signed_out = |why: &str| {
        let text = format!("<p>{why}</p><p><a href=\"{}/portal/apps\">Back to your apps</a></p>", app.optare_id_url);
        (StatusCode::UNAUTHORIZED, page("You are signed out", &text)).into_response()
    };
    let Some(session) = session_of(&headers, &name) else { return Ok(signed_out("Open the app from Optare ID.")) };
    let sql = "SELECT access_token FROM sessions WHERE id = $1 AND app = $2";
    let row: Option<(String,)> = app.db.fetch_optional(sql, (session, name.as_str())).await?;
    let Some((token,)) = row else { return Ok(signed_out("Open the app from Optare ID.")) };
    let answer = app.http.get(format!("{}/oauth/userinfo", app.optare_id_url)).bearer_auth(token).send().await?;
    if !answer.status().is_success() {
        return Ok(signed_out("Optare ID refuses the access token: the app was uninstalled, or access was revoked."));
    }
    let user: Value = answer.json().await?;
    let field = |key: &str| escaped(user[key].as_str().unwrap_or("–"));
    let text = format!(
        "<p>You are signed in.</p><dl><dt>Name</dt><dd id=\"name\">{}</dd><dt>E-mail</dt><dd id=\"email\">{}</dd>\
         <dt>Organization</dt><dd id=\"organization\">{}</dd><dt>Role</dt><dd id=\"role\">{}</dd></dl>\
         <p><a href=\"{}/portal/apps\">Back to your apps</a></p>",
        field("name"),
        field("email"),
        field("organization_name"),
        field("role"),
        app.optare_id_url
    );
    Ok(page(&title(&name), &text).into_response())
}

async fn home(State(app): State<SampleApp>) -> Result<Html<String>, Trouble> {
    let sql = "SELECT app, organization_id, client_id FROM oauth_credentials ORDER BY app, organization_id";
    let rows: Vec<(String, String, String)> = app.db.fetch_all(sql, ()).await?;
    let mut text = String::from("<p>Credentials that arrived by webhook:</p><ul id=\"credentials\">");
    for (name, organization, client) in &rows {
        text += &format!("<li>{}: {} → {}</li>", title(name), escaped(organization), escaped(client));
    }
    if rows.is_empty() {
        text += "<li>none: install an app in Optare ID</li>";
    }
    Ok(page("Sample apps", &format!("{text}</ul>")))
}

async fn credentials(app: &SampleApp, name: &str, organization: &str) -> Result<Option<Credentials>, database::Error> {
    let sql = "SELECT client_id, client_secret FROM oauth_credentials WHERE app = $1 AND organization_id = $2";
    app.db.fetch_optional(sql, (name, organization)).await
}

fn session_of(headers: &HeaderMap, name: &str) -> Option<String> {
    let cookies = headers.get(header::COOKIE)?.to_str().ok()?;
    let wanted = format!("sample_{name}=");
    cookies.split(';').find_map(|pair| pair.trim().strip_prefix(&wanted)).map(str::to_owned)
}

fn title(name: &str) -> String {
    match name {
        "customer-service" => "Customer Service".to_owned(),
        "bot" => "Bot".to_owned(),
        "crm" => "CRM".to_owned(),
        other => escaped(other),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn page(title: &str, body: &str) -> Html<String> {
    Html(format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{title}</title><link rel=\"icon\" href=\"data:,\"><style>body{{font:17px/1.6 system-ui,sans-serif;max-width:34rem;margin:4rem auto;\
         padding:0 1.5rem;color:#1c2433;background:#f6f3ec}}h1{{font-size:1.7rem}}dl{{display:grid;\
         grid-template-columns:9rem 1fr;gap:.4rem 1rem;background:#fff;padding:1.2rem 1.5rem;border-radius:12px}}\
         dt{{color:#5b6577}}dd{{margin:0;font-weight:600}}a{{color:#7a3e00}}</style><main><h1>{title}</h1>{body}</main></html>"
    ))
}
