//! Situations and steps that journeys share.

use std::collections::HashMap;

use crate::{Answer, Http, Oracle, Receiver, Request, Server, eventually};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

/// An app of the marketplace whose receiver is this test.
pub struct App {
    pub id: String,
    /// Who installs it in these journeys.
    pub organization_id: String,
    pub webhook_path: String,
    pub webhook_secret: String,
    pub redirect_uri: String,
}

/// What `app.installed` delivers.
#[derive(Debug, Clone)]
pub struct Credentials {
    pub organization_id: String,
    pub client_id: String,
    pub client_secret: String,
}

/// The guide's scopes (R056).
pub const SCOPES: &str = "openid profile email organization";

/// Defines an app whose webhooks go to `receiver`, at a path of their own.
pub async fn an_app(server: &Server, receiver: &Receiver, name: &str) -> App {
    let webhook_path = format!("/{name}/api/webhooks/optare");
    let redirect_uri = format!("https://{name}.example/auth/callback");
    let answer = server
        .admin()
        .post_json(
            "/v1/apps",
            json!({
                "name": name, "title": format!("The {name} app"), "visibility": "public",
                "webhook_url": receiver.url(&webhook_path), "redirect_uris": [redirect_uri],
            }),
        )
        .await
        .expect(201)
        .json();
    App {
        id: text(&answer, "id"),
        organization_id: server.owner().organization_id.clone(),
        webhook_path,
        webhook_secret: text(&answer, "webhook_secret"),
        redirect_uri,
    }
}

/// Installs an app for the operator's organization and answers the installation.
pub async fn install(server: &Server, app: &App) -> Value {
    let path = format!("/v1/organizations/{}/installations", server.owner().organization_id);
    server.admin().post_json(&path, json!({"app_id": app.id})).await.expect(201).json()
}

pub async fn uninstall(server: &Server, installation: &Value) -> Answer {
    let organization = &server.owner().organization_id;
    let path = format!("/v1/organizations/{organization}/installations/{}", text(installation, "id"));
    server.admin().delete(&path).await
}

/// Waits for the n-th webhook of an app, counted from one.
pub async fn webhook(receiver: &Receiver, app: &App, n: usize) -> Request {
    eventually(&format!("webhook {n} at {}", app.webhook_path), async || {
        receiver.requests_to(&app.webhook_path).get(n - 1).cloned()
    })
    .await
}

/// The credentials of an `app.installed` webhook, whose body has exactly the guide's four keys.
pub fn credentials(request: &Request) -> Credentials {
    let body = request.json();
    let keys: Vec<&String> = body.as_object().expect("the body is an object").keys().collect();
    assert_eq!(keys, ["clientId", "clientSecret", "event", "organizationId"]);
    assert_eq!(body["event"], "app.installed");
    Credentials {
        organization_id: text(&body, "organizationId"),
        client_id: text(&body, "clientId"),
        client_secret: text(&body, "clientSecret"),
    }
}

/// A browser in which the instance's owner has signed in.
pub async fn signed_in_owner(server: &Server) -> Http {
    let owner = &server.owner().owner;
    let browser = server.http();
    let form =
        [("email", owner.email.as_str()), ("password", owner.password.as_str()), ("continue", "/portal/dashboard")];
    browser.post_form("/sign-in", &form).await.expect(303);
    browser
}

/// Where a form that leads to a client goes on: the page stands between, so that `form-action` stays `self`.
#[track_caller]
pub fn goes_on_to(answer: Answer) -> String {
    let page = answer.expect(200).text();
    let rest = page.split_once("<meta http-equiv=\"refresh\" content=\"0;url=").expect("the page goes on by itself").1;
    let address = rest.split('"').next().unwrap_or_default().replace("&#38;", "&");
    assert!(page.contains("<a class=\"button primary wide\" href="), "and has a link: {page}");
    address
}

/// The path and query that "Open" leads to.
pub fn open(app: &App, credentials: &Credentials) -> String {
    authorize(&[
        ("client_id", &credentials.client_id),
        ("redirect_uri", &app.redirect_uri),
        ("response_type", "code"),
        ("scope", SCOPES),
        ("state", &credentials.organization_id),
    ])
}

pub fn authorize(parameters: &[(&str, &str)]) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    format!("/oauth/authorize?{query}")
}

/// Exchanges a code as the guide's client does.
pub async fn exchange(server: &Server, app: &App, credentials: &Credentials, code: &str) -> Answer {
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", &app.redirect_uri),
        ("client_id", &credentials.client_id),
        ("client_secret", &credentials.client_secret),
    ];
    server.http().post_form("/oauth/token", &form).await
}

pub async fn refresh(server: &Server, credentials: &Credentials, refresh_token: &str) -> Answer {
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", refresh_token),
        ("client_id", &credentials.client_id),
        ("client_secret", &credentials.client_secret),
    ];
    server.http().post_form("/oauth/token", &form).await
}

/// Signs the owner in through an installed app: the tokens.
pub async fn tokens(server: &Server, browser: &Http, app: &App, credentials: &Credentials) -> Value {
    let back = browser.get(&open(app, credentials)).await.expect(303);
    let code = back.location_parameter("code").expect("the app gets a code");
    exchange(server, app, credentials, &code).await.expect(200).json()
}

pub async fn userinfo(server: &Server, access_token: &str) -> Answer {
    server.http().bearer(access_token).get("/oauth/userinfo").await
}

/// Whether a webhook is signed as Standard Webhooks 1.0.0 says, checked with nothing of ours.
pub fn is_signed(request: &Request, secret: &str) -> bool {
    let header = |name: &str| request.header(name).unwrap_or_default().to_owned();
    let signed = format!("{}.{}.", header("webhook-id"), header("webhook-timestamp"));
    let signed = [signed.as_bytes(), &request.body].concat();
    let key = BASE64_STANDARD.decode(secret.trim_start_matches("whsec_")).expect("the secret is base64");
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &key);
    header("webhook-signature")
        .split(' ')
        .filter_map(|each| BASE64_STANDARD.decode(each.strip_prefix("v1,")?).ok())
        .any(|tag| aws_lc_rs::hmac::verify(&key, &signed, &tag).is_ok())
}

/// No webhook overtook an earlier one of its lane, and what came twice was the same message.
pub fn assert_in_order(requests: &[Request]) {
    let mut bodies: HashMap<String, &[u8]> = HashMap::new();
    let mut last = 0;
    for request in requests {
        let id = request.header("webhook-id").expect("every webhook has an id").to_owned();
        let sequence: u64 =
            request.header("optare-sequence").and_then(|text| text.parse().ok()).expect("and a sequence");
        match bodies.get(&id) {
            Some(body) => assert_eq!(*body, &request.body[..], "{id} came twice with different bytes"),
            None => {
                assert!(sequence > last, "{id} with sequence {sequence} came after {last}");
                last = sequence;
                bodies.insert(id, &request.body);
            }
        }
    }
}

/// The end of every journey: the server stops in good order, and its read models are what the log says; on
/// PostgreSQL, cqrs-es's own repository reads every stream to the same end.
pub async fn the_log_tells_the_same(mut server: Server) {
    server.stop().await;
    let verified = server.setup().run(["projections", "verify", "--dev", "--data", data(&server).as_str()]).await;
    let printed = String::from_utf8_lossy(&verified.stdout).into_owned() + &String::from_utf8_lossy(&verified.stderr);
    assert!(verified.status.success(), "{printed}");
    assert!(printed.contains("tables are what the log says"), "{printed}");
    if let Some(url) = server.setup().database_url() {
        Oracle::reads_every_stream(&url).await;
    }
}

fn data(server: &Server) -> String {
    server.setup().data().display().to_string()
}

pub fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_else(|| panic!("{key} is text in {value}")).to_owned()
}
