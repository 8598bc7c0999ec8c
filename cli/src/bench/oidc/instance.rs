//! An instance to measure: an app that the organization installed, a client for machines, and, if asked for, a past.

use std::path::Path;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use database::{Db, LOG_POSTGRES, LOG_SQLITE, open_postgres, open_sqlite};
use domain::Scopes;
use eventstore::{Append, Clock, Context, EventStore, MasterKey, NewEvent, Outcome, Recorded, StreamAppend, StreamId};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{OnceCell, mpsc};
use uuid::Uuid;

use super::http::Connection;
use super::server::{EMAIL, Initialised, PASSWORD, Place, Server};
use crate::bench::measure::Failure;

pub const REDIRECT_URI: &str = "https://app.example/callback";
const MACHINE_SECRET: &str = "secret_of_the_bench";
/// So many streams go into the log at once.
const BATCH: usize = 1_000;

/// A served instance and what callers need to know about it.
pub struct Target {
    pub server: Server,
    pub app: Client,
    pub machine: Client,
    authorize: String,
    /// A browser that is signed in; its session is shared, because a sign-in costs a password's hash.
    signed_in: OnceCell<Browser>,
}

/// A client and its secret.
#[derive(Debug, Clone)]
pub struct Client {
    pub id: String,
    pub secret: String,
}

impl Target {
    /// A new instance.
    pub async fn new(place: &Place, past_sign_ins: u32) -> Result<Self, Failure> {
        let made = place.init().await?;
        let log = Log::open(place).await?;
        let machine = log.machine_client(&made.organization_id).await?;
        log.close().await;
        let server = place.serve().await?;
        let app = installed_app(&server, &made).await?;
        let authorize = authorize_path(&made, &app.id);
        let mut target = Self { server, app, machine, authorize, signed_in: OnceCell::new() };
        if past_sign_ins == 0 {
            return Ok(target);
        }
        // One real sign-in, of which the past is made of copies.
        let mut browser = target.browser().await?;
        browser.sign_in().await?;
        let grant_id = browser.code_flow().await?.grant_id()?;
        target.server.stop().await?;
        let log = Log::open(place).await?;
        log.repeat_sign_in(&grant_id, past_sign_ins).await?;
        log.close().await;
        target.server = place.serve().await?;
        target.shows_everything().await?;
        Ok(target)
    }

    /// A browser that is not signed in.
    pub async fn browser(&self) -> Result<Browser, Failure> {
        let connection = Connection::open(&self.server.address).await?;
        Ok(Browser { connection, app: self.app.clone(), authorize: self.authorize.clone() })
    }

    /// A connection of the browser that is signed in.
    pub async fn signed_in_browser(&self) -> Result<Browser, Failure> {
        let signed_in = self.signed_in.get_or_try_init(|| async {
            let mut browser = self.browser().await?;
            browser.sign_in().await?;
            Ok::<_, Failure>(browser)
        });
        let mut browser = self.browser().await?;
        browser.connection = browser.connection.with_cookies_of(&signed_in.await?.connection);
        Ok(browser)
    }

    /// Waits until the read models have caught up with the past.
    async fn shows_everything(&self) -> Result<(), Failure> {
        let mut connection = Connection::open(&self.server.address).await?;
        loop {
            let ready = connection.get("/readyz").await?.json()?;
            let head = ready["head"].as_u64().unwrap_or_default();
            let all = ready["read_models"].as_object().into_iter().flatten();
            if all.clone().count() > 0 && all.filter_map(|(_, at)| at.as_u64()).all(|at| at == head) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}

fn authorize_path(made: &Initialised, client_id: &str) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs([
            ("client_id", client_id),
            ("redirect_uri", REDIRECT_URI),
            ("response_type", "code"),
            ("scope", "openid profile email organization"),
            ("state", &made.organization_id),
        ])
        .finish();
    format!("/oauth/authorize?{query}")
}

/// A person's browser and, behind it, the app that they sign in to.
pub struct Browser {
    connection: Connection,
    app: Client,
    authorize: String,
}

/// What the token endpoint answers.
pub struct Tokens {
    pub access_token: String,
    pub refresh_token: String,
}

impl Browser {
    pub fn forget(&mut self) {
        self.connection.forget_cookies();
    }

    /// Signs in with the password; the browser keeps the cookie.
    pub async fn sign_in(&mut self) -> Result<(), Failure> {
        let form = [("email", EMAIL), ("password", PASSWORD), ("continue", "/portal/dashboard")];
        let answer = self.connection.post_form("/sign-in", &form).await?.expect(&[200, 303])?;
        if answer.headers.get("set-cookie").is_none() {
            return Err("the sign-in was refused".into());
        }
        Ok(())
    }

    /// From the authorization request to the tokens.
    pub async fn code_flow(&mut self) -> Result<Tokens, Failure> {
        let back = self.connection.get(&self.authorize).await?.expect(&[302, 303])?;
        let code = back.location_parameter("code")?;
        let form = [("grant_type", "authorization_code"), ("code", &code), ("redirect_uri", REDIRECT_URI)];
        self.tokens(&form).await
    }

    pub async fn refresh(&mut self, refresh_token: &str) -> Result<Tokens, Failure> {
        self.tokens(&[("grant_type", "refresh_token"), ("refresh_token", refresh_token)]).await
    }

    async fn tokens(&mut self, form: &[(&str, &str)]) -> Result<Tokens, Failure> {
        let client = [("client_id", self.app.id.as_str()), ("client_secret", self.app.secret.as_str())];
        let answer = self.connection.post_form("/oauth/token", &[form, &client].concat()).await?.expect(&[200])?;
        Ok(Tokens { access_token: answer.text("access_token")?, refresh_token: answer.text("refresh_token")? })
    }
}

impl Tokens {
    /// The grant that they belong to, as the access token says.
    fn grant_id(&self) -> Result<String, Failure> {
        use base64::Engine;
        let payload = self.access_token.split('.').nth(1).ok_or("an access token has three parts")?;
        let claims: Value = serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload)?)?;
        Ok(claims["grant_id"].as_str().ok_or("the access token names no grant")?.to_owned())
    }
}

/// Defines and installs an app; its credentials come by webhook.
async fn installed_app(server: &Server, made: &Initialised) -> Result<Client, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/webhook", listener.local_addr()?);
    let (told, mut arrived) = mpsc::unbounded_channel();
    let receive = |State(told): State<mpsc::UnboundedSender<Value>>, axum::Json(body): axum::Json<Value>| async move {
        // Nobody waits for a second one.
        let _ = told.send(body);
        "ok"
    };
    let receiver = Router::new().route("/webhook", post(receive)).with_state(told);
    let receiving = tokio::spawn(async move { axum::serve(listener, receiver).await });

    let mut admin = Connection::open(&server.address).await?.api_key(&made.api_key, &made.api_secret);
    let app = json!({
        "name": "bench", "title": "Bench", "visibility": "public", "webhook_url": url, "redirect_uris": [REDIRECT_URI],
    });
    let app_id = admin.post_json("/v1/apps", &app).await?.expect(&[201])?.text("id")?;
    let path = format!("/v1/organizations/{}/installations", made.organization_id);
    admin.post_json(&path, &json!({"app_id": app_id})).await?.expect(&[201])?;
    let told = tokio::time::timeout(Duration::from_secs(30), arrived.recv()).await?.ok_or("no webhook arrived")?;
    receiving.abort();
    let text = |name: &str| told[name].as_str().map(str::to_owned).ok_or(format!("the webhook has no {name}"));
    Ok(Client { id: text("clientId")?, secret: text("clientSecret")? })
}

/// The log of an instance that nobody serves.
struct Log {
    db: Db,
    store: EventStore,
}

impl Log {
    async fn open(place: &Place) -> Result<Self, Failure> {
        let db = match &place.database_url {
            Some(url) => open_postgres(url, 8, &[LOG_POSTGRES]).await?,
            None => open_sqlite(&place.data.join("log.sqlite"), LOG_SQLITE).await?,
        };
        let master = MasterKey::from_file(&master_key(&place.data))?;
        let store = EventStore::open(db.clone(), master, Clock::default(), &[]).await?;
        Ok(Self { db, store })
    }

    async fn close(self) {
        self.db.close().await;
    }

    async fn machine_client(&self, organization_id: &str) -> Result<Client, Failure> {
        let id = domain::ClientId::for_machine(Uuid::now_v7()).to_string();
        let scopes: Scopes = "reports.read".parse()?;
        let provisioned = json!({
            "type": "provisioned", "organization_id": organization_id, "installation": null, "name": "Bench machine",
            "client_type": "m2m", "redirect_uris": [], "scopes": scopes,
            "secret": {"secret_id": "bench", "hash": api::hash_of(MACHINE_SECRET)},
        });
        let event = new_event("oauth_client.provisioned", provisioned);
        self.append(vec![stream("oauth_client", id.clone(), organization_id, vec![event])]).await?;
        Ok(Client { id, secret: MACHINE_SECRET.to_owned() })
    }

    /// Copies of a sign-in and what came of it, each with ids of its own.
    async fn repeat_sign_in(&self, grant_id: &str, count: u32) -> Result<(), Failure> {
        let grant = self.store.events_of("grant", grant_id, 0).await?;
        let session_id = grant
            .first()
            .and_then(|event| event.payload().ok()?["session_id"].as_str())
            .ok_or("the grant names no session")?
            .to_owned();
        let session = self.store.events_of("session", &session_id, 0).await?;
        let mut left = count;
        let began = std::time::Instant::now();
        while left > 0 {
            let now = left.min(BATCH as u32 / 2);
            let mut streams = Vec::with_capacity(BATCH);
            for _ in 0..now {
                let new_session = domain::SessionId::from_uuid(Uuid::now_v7()).to_string();
                let new_grant = domain::GrantId::from_uuid(Uuid::now_v7()).to_string();
                streams.push(copy(&session, "session", &new_session, None)?);
                streams.push(copy(&grant, "grant", &new_grant, Some(&new_session))?);
            }
            self.append(streams).await?;
            left -= now;
            if left.is_multiple_of(100_000) {
                eprintln!("{} past sign-ins after {:.0} s", count - left, began.elapsed().as_secs_f64());
            }
        }
        Ok(())
    }

    async fn append(&self, streams: Vec<StreamAppend>) -> Result<(), Failure> {
        let append = Append { streams, context: Context::system("bench"), claims: Vec::new(), idempotency: None };
        match self.store.append(append).await? {
            Outcome::Committed { .. } => Ok(()),
            other => Err(format!("the log refused what the benchmark needs: {other:?}").into()),
        }
    }
}

fn master_key(data: &Path) -> std::path::PathBuf {
    data.join("master.key")
}

fn new_event(event_type: &str, payload: Value) -> NewEvent {
    NewEvent { event_type: event_type.to_owned(), schema_version: 1, payload }
}

fn stream(kind: &'static str, id: String, tenant: &str, events: Vec<NewEvent>) -> StreamAppend {
    StreamAppend { stream: StreamId { kind, id }, tenant: tenant.to_owned(), expected_version: 0, events }
}

fn copy(events: &[Recorded], kind: &'static str, id: &str, session: Option<&str>) -> Result<StreamAppend, Failure> {
    let mut copies = Vec::with_capacity(events.len());
    for event in events {
        let mut payload = event.payload()?.clone();
        if let (Some(session), Some(named)) = (session, payload.get_mut("session_id")) {
            *named = session.into();
        }
        copies.push(new_event(&event.event_type, payload));
    }
    let tenant = events.first().map_or(eventstore::INSTANCE_TENANT, |event| event.tenant.as_str());
    Ok(stream(kind, id.to_owned(), tenant, copies))
}
