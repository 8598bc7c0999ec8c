//! The guide's own code, `examples/customer-service`, against a real server: from install to reinstall.

use serde_json::{Value, json};
use support::{
    Answer, Http, Node, Program, Server, Setup, eventually, free_port, on_both_engines, temporary_folder, workspace,
};
use tempfile::TempDir;
use url::{Position, Url};

use support::steps::*;

const SCRIPT: &str = "examples/customer-service/dist/examples/customer-service/server.js";

/// Moves the clock of a Node program, as `POST /dev/clock` moves the server's.
const SKEWED_CLOCK: &str = "\
const real = Date, skew = Number(process.env.SKEW_SECONDS) * 1000;
globalThis.Date = class extends real {
  constructor(...given) { given.length ? super(...given) : super(real.now() + skew); }
  static now() { return real.now() + skew; }
};
";

/// The example, with what it keeps between two starts.
struct SampleApp {
    program: Option<Program>,
    data: TempDir,
    port: u16,
    optare_id_url: String,
    webhook_secret: String,
    hours_ahead: u64,
}

impl SampleApp {
    /// Not started yet: the app's definition names its address and answers the secret that it starts with.
    async fn defined(server: &Server) -> (Self, String) {
        let port = free_port();
        let url = format!("http://localhost:{port}");
        let definition = json!({
            "name": "customer-service", "title": "Customer Service",
            "webhook_url": format!("{url}/api/webhooks/optare"), "redirect_uris": [format!("{url}/auth/callback")],
        });
        let app = server.admin().post_json("/v1/apps", definition).await.expect(201).json();
        let data = temporary_folder("customer-service");
        let webhook_secret = text(&app, "webhook_secret");
        let optare_id_url = server.base_url();
        (Self { program: None, data, port, optare_id_url, webhook_secret, hours_ahead: 0 }, text(&app, "id"))
    }

    async fn start(&mut self) {
        let is_built = workspace().join(SCRIPT).is_file();
        assert!(is_built, "{SCRIPT} is missing: run `npm ci && npm run build` in examples/customer-service");
        let data = self.data.path().join("database").display().to_string();
        let clock = self.data.path().join("clock.mjs");
        std::fs::write(&clock, SKEWED_CLOCK).expect("a file can be written into a folder of ours");
        let skewed = format!("--import=file://{}", clock.display());
        let (app_url, port, skew) = (self.url(), self.port.to_string(), (self.hours_ahead * 3600).to_string());
        let environment = [
            ("OPTARE_ID_URL", self.optare_id_url.as_str()),
            ("APP_URL", &app_url),
            ("PORT", &port),
            ("DATA_DIR", &data),
            ("OPTARE_WEBHOOK_SECRET", &self.webhook_secret),
            ("NODE_OPTIONS", &skewed),
            ("SKEW_SECONDS", &skew),
        ];
        self.program = Some(Node::start(SCRIPT, &environment, "customer-service listening on").await);
    }

    /// Lets time pass for the server and the app.
    async fn hours_pass(&mut self, server: &Server, hours: u64) {
        server.http().post_json("/dev/clock", json!({"advance_seconds": hours * 3600})).await.expect(200);
        self.hours_ahead += hours;
        self.stop().await;
        self.start().await;
    }

    async fn stop(&mut self) {
        if let Some(program) = self.program.take() {
            program.stop().await;
        }
    }

    fn url(&self) -> String {
        format!("http://localhost:{}", self.port)
    }

    fn http(&self) -> Http {
        Http::new(&self.url())
    }

    fn stderr(&self) -> String {
        self.program.as_ref().map(Program::stderr).unwrap_or_default()
    }

    /// Where its own sign-in leads an organization: to Optare ID, or nowhere without credentials.
    async fn way_in(&self, organization: &str) -> String {
        self.http().get(&format!("/login?organization={organization}")).await.expect(302).location().to_owned()
    }

    async fn gets_credentials(&self, organization: &str) -> String {
        eventually("the app has the credentials", async || {
            let way = self.way_in(organization).await;
            way.starts_with(&self.optare_id_url).then_some(way)
        })
        .await
    }

    async fn loses_credentials(&self, organization: &str) {
        eventually("the app has no credentials any more", async || {
            self.way_in(organization).await.ends_with("/login?error=unknown_organization").then_some(())
        })
        .await;
    }

    /// What the browser does with the answer of the authorization endpoint.
    async fn called_back(&self, authorized: &Answer) -> Answer {
        let location = authorized.location();
        assert!(location.starts_with(&format!("{}/auth/callback?", self.url())), "{location}");
        self.http().get(location).await.expect(302)
    }

    /// Opens the app as "Open Customer Service" does and comes out signed in.
    async fn opened_by(&self, browser: &Http, installation: &Value) -> Http {
        let authorized = browser.get(&self.open(installation)).await.expect(303);
        let callback = self.called_back(&authorized).await;
        assert_eq!(callback.location(), format!("{}/dashboard", self.url()), "{}", self.stderr());
        let cookie = callback.header("set-cookie").expect("the app makes a session");
        assert!(cookie.ends_with("; HttpOnly; Secure; Path=/"), "{cookie}");
        // Browsers keep a `Secure` cookie for localhost, this client does not.
        self.http().with("cookie", cookie.split(';').next().expect("a cookie has a value"))
    }

    fn open(&self, installation: &Value) -> String {
        authorize(&[
            ("client_id", &text(installation, "client_id")),
            ("redirect_uri", &format!("{}/auth/callback", self.url())),
            ("response_type", "code"),
            ("scope", SCOPES),
            ("state", &text(installation, "organization_id")),
        ])
    }
}

async fn assert_shows_the_owner(server: &Server, session: &Http) {
    let page = session.get("/dashboard").await.expect(200).text();
    let owner = server.owner();
    for (field, value) in [
        ("name", &owner.owner.name),
        ("email", &owner.owner.email),
        ("organization", &owner.organization_id),
        ("role", &"owner".to_owned()),
    ] {
        assert!(page.contains(&format!("<dd id=\"{field}\">{value}</dd>")), "{field} is {value}: {page}");
    }
}

async fn assert_must_sign_in(app: &SampleApp, session: &Http) {
    assert_eq!(session.get("/dashboard").await.expect(302).location(), format!("{}/login", app.url()));
}

on_both_engines! {
    async fn the_guides_code_signs_users_in_from_install_to_reinstall(engine: Engine) {
        let server = Server::start(engine).await;
        let organization = &server.owner().organization_id;
        let (mut app, app_id) = SampleApp::defined(&server).await;
        app.start().await;
        app.loses_credentials(organization).await;

        let installations = format!("/v1/organizations/{organization}/installations");
        let install = async || {
            server.admin().post_json(&installations, json!({"app_id": app_id})).await.expect(201).json()
        };
        let first = install().await;
        let way_in: Url = app.gets_credentials(organization).await.parse().expect("the app redirects to a URL");
        let open = app.open(&first);
        assert_eq!(way_in[Position::BeforePath..], open, "the app asks for what \"Open\" asks for");

        let browser = signed_in_owner(&server).await;
        assert_must_sign_in(&app, &app.http()).await;
        let session = app.opened_by(&browser, &first).await;
        assert_shows_the_owner(&server, &session).await;

        app.hours_pass(&server, 2).await;
        assert_shows_the_owner(&server, &session).await;

        let authorized = browser.get(&open).await.expect(303);
        uninstall(&server, &first).await.expect(204);
        app.loses_credentials(organization).await;
        let callback = app.called_back(&authorized).await;
        assert_eq!(callback.location(), format!("{}/login?error=auth_failed", app.url()));
        assert!(app.stderr().contains("No credentials found"), "{}", app.stderr());
        let page = app.http().get(callback.location()).await.expect(200).text();
        assert!(page.contains("Signing in did not work"), "{page}");
        browser.get(&open).await.expect(400);
        app.hours_pass(&server, 2).await;
        assert_must_sign_in(&app, &session).await;

        let second = install().await;
        app.gets_credentials(organization).await;
        let session = app.opened_by(&browser, &second).await;
        assert_shows_the_owner(&server, &session).await;

        assert!(!app.stderr().contains("Webhook verification failed"), "{}", app.stderr());
        app.stop().await;
        the_log_tells_the_same(server).await;
    }

    async fn the_guides_code_takes_webhooks_only_with_the_apps_secret(engine: Engine) {
        let setup = Setup::new(engine).await.env("OPTARE_WEBHOOK_RETRY", "0.1").env("OPTARE_WEBHOOK_SWEEP", "0.1");
        let server = setup.start().await;
        let organization = &server.owner().organization_id;
        let (mut app, app_id) = SampleApp::defined(&server).await;
        let right = std::mem::replace(&mut app.webhook_secret, "whsec_c29tZWJvZHkgZWxzZSdzIHNlY3JldA==".to_owned());
        app.start().await;
        let installations = format!("/v1/organizations/{organization}/installations");
        server.admin().post_json(&installations, json!({"app_id": app_id})).await.expect(201);
        eventually("the app refuses the webhook", async || {
            app.stderr().contains("Webhook verification failed: no signature matches").then_some(())
        })
        .await;
        app.loses_credentials(organization).await;

        app.stop().await;
        app.webhook_secret = right;
        app.start().await;
        app.gets_credentials(organization).await;
        the_log_tells_the_same(server).await;
    }
}
