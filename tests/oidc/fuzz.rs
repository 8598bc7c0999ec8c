//! Every parameter of every OAuth endpoint, spoilt in every way: the answer is an OAuth error, an error page or a
//! redirect to a registered address; it is never a failure of the server, and no secret comes back.

use std::time::{SystemTime, UNIX_EPOCH};

use reqwest::Method;
use serde_json::{Value, json};
use support::steps::{authorize, text, the_log_tells_the_same};
use support::{Answer, Http, Server, on_both_engines};
use url::Url;
use url::form_urlencoded::byte_serialize;

use crate::world::World;

/// A verifier and its challenge (RFC 7636 appendix B).
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
/// Told apart from what a page shows by itself.
const MARKUP: &str = "\"'><script>fuzz()</script>";

/// A request whose parameters are spoilt one after the other.
struct Target {
    method: Method,
    path: &'static str,
    parameters: Vec<(&'static str, String)>,
    placed: Placed,
    answered: Answered,
}

#[derive(Clone, Copy, PartialEq)]
enum Placed {
    Query,
    Form,
    Json,
}

/// Who reads the answer.
#[derive(Clone, Copy, PartialEq)]
enum Answered {
    Browser,
    Program,
}

/// What is done to one parameter; bytes are as they stand on the wire.
#[derive(Clone, Debug)]
enum Change {
    Remove,
    Replace(Vec<u8>),
    /// A second one after the first.
    Repeat(Vec<u8>),
}

/// The same sequence for the same seed: SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).expect("it is below a usize")
    }

    fn bytes(&mut self, longest: usize) -> Vec<u8> {
        (0..self.below(longest)).map(|_| u8::try_from(self.next() & 0xFF).expect("eight bits")).collect()
    }
}

fn encoded(bytes: &[u8]) -> Vec<u8> {
    byte_serialize(bytes).collect::<String>().into_bytes()
}

/// The ways to spoil a parameter that should have been `valid`.
fn changes(valid: &str, placed: Placed, random: &mut Random) -> Vec<Change> {
    let oversized = if placed == Placed::Query { 48 * 1024 } else { 64 * 1024 };
    let mut replacements: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        vec![b'a'; oversized],
        // Latin-1, overlong and truncated UTF-8, a surrogate.
        b"caf%E9".to_vec(),
        b"%C0%80%FF%FE".to_vec(),
        b"%F0%9F%94".to_vec(),
        b"%ED%A0%80".to_vec(),
        // What is no percent-encoding.
        b"%".to_vec(),
        b"%zz%u0041".to_vec(),
        encoded("\0".as_bytes()),
        encoded("a\r\nx-injected: yes\r\n\r\n<html>".as_bytes()),
        encoded("\u{1b}[31m\u{7f}\t\u{85}".as_bytes()),
        encoded("\u{202e}\u{200b}\u{feff}e\u{301}\u{1f511}\u{10ffff}".as_bytes()),
        encoded(MARKUP.as_bytes()),
        encoded("https://attacker.example/".as_bytes()),
        encoded("//attacker.example/".as_bytes()),
        encoded("javascript:fuzz()".as_bytes()),
        encoded(" ".repeat(300).as_bytes()),
        encoded("-1".as_bytes()),
        encoded("99999999999999999999".as_bytes()),
        encoded(format!(" {valid}").as_bytes()),
        encoded(format!("{valid}\0").as_bytes()),
        encoded(format!("{valid}@attacker.example").as_bytes()),
        encoded(valid.to_uppercase().as_bytes()),
        encoded(&random.bytes(64)),
    ];
    if placed == Placed::Form {
        // In a body they need not be encoded at all.
        replacements.extend([b"caf\xE9".to_vec(), b"\0\xFF\xFE".to_vec(), random.bytes(64)]);
    }
    let repeated = [encoded(valid.as_bytes()), b"another".to_vec()].map(Change::Repeat);
    let replaced = replacements.into_iter().map(Change::Replace);
    std::iter::once(Change::Remove).chain(repeated).chain(replaced).collect()
}

/// Name and value of each parameter on the wire.
fn spoilt(parameters: &[(&str, String)], changed: &[(&str, Change)]) -> Vec<u8> {
    let mut pairs: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    let known = parameters.iter().map(|(name, value)| (*name, Some(value)));
    let unknown = changed.iter().filter(|(name, _)| parameters.iter().all(|(known, _)| known != name));
    for (name, value) in known.chain(unknown.map(|(name, _)| (*name, None))) {
        let value = encoded(value.map(String::as_str).unwrap_or("x").as_bytes());
        let key = name.as_bytes().to_vec();
        match changed.iter().find(|(changed, _)| *changed == name).map(|(_, change)| change) {
            None => pairs.push((key, value)),
            Some(Change::Remove) => {}
            Some(Change::Replace(bytes)) => pairs.push((key, bytes.clone())),
            Some(Change::Repeat(bytes)) => pairs.extend([(key.clone(), value), (key, bytes.clone())]),
        }
    }
    pairs.into_iter().map(|(name, value)| [name, value].join(&b'=')).collect::<Vec<_>>().join(&b'&')
}

/// Bodies that are no objects of strings, and objects with one member that is none.
fn json_bodies(parameters: &[(&str, String)]) -> Vec<String> {
    let object = |name: &str, text: &str| {
        let members = parameters.iter().map(|(key, value)| {
            let value = if *key == name { text.to_owned() } else { json!(value).to_string() };
            format!("{}:{value}", json!(key))
        });
        format!("{{{}}}", members.collect::<Vec<_>>().join(","))
    };
    let mut bodies: Vec<String> =
        ["", "null", "[]", "1", "\"x\"", "{", "{}x", "\u{feff}{}", "{\"a\":\"\\ud800\"}", "{,}"]
            .map(str::to_owned)
            .into();
    bodies.push("[".repeat(30_000));
    bodies.push(format!("{{\"grant_type\":{}", "{\"a\":".repeat(5_000)));
    for (name, _) in parameters {
        for text in
            ["null", "1", "true", "[\"a\"]", "{}", "\"\"", "\"\\u0000\"", "\"\\ud800\"", "1e999", "\"\\r\\nx: y\""]
        {
            bodies.push(object(name, text));
        }
        bodies.push(object(name, &format!("\"x\",{}:\"y\"", json!(name))));
        bodies.push(object(name, &format!("\"{}\"", "a".repeat(64 * 1024))));
    }
    bodies
}

/// What an answer may contain, and what not.
struct Rules {
    issuer: Url,
    registered: Vec<String>,
    secrets: Vec<String>,
}

impl Rules {
    fn check(&self, answer: &Answer, answered: Answered, sent: &str) {
        let shown = || {
            let body: String = answer.text().chars().take(600).collect();
            let location = answer.header("location").unwrap_or_default();
            format!("{sent}\n{} {:?} location={location:?}\n{body}", answer.status, answer.header("content-type"))
        };
        assert!(!answer.status.is_server_error(), "the server failed: {}", shown());
        assert!(answer.headers.get("x-injected").is_none(), "a header was injected: {}", shown());
        let whole = format!("{:?} {}", answer.headers, answer.text());
        for secret in &self.secrets {
            assert!(!whole.contains(secret.as_str()), "a secret came back: {}", shown());
        }
        assert!(!whole.contains("<script>fuzz()"), "markup came back as it was: {}", shown());
        if let Some(location) = answer.header("location") {
            assert!(self.may_be_sent_to(location), "a redirect to where nobody registered: {}", shown());
        }
        for target in form_targets(&answer.text()) {
            assert!(self.may_be_sent_to(&target), "a form for where nobody registered: {}", shown());
        }
        let is_oauths = answered == Answered::Program;
        if is_oauths && answer.status.is_client_error() {
            assert_eq!(answer.header("content-type"), Some("application/json"), "{}", shown());
            let error: Value = serde_json::from_slice(&answer.body).unwrap_or_else(|_| panic!("no JSON: {}", shown()));
            for name in ["error", "error_description"] {
                let words = error[name].as_str().unwrap_or_else(|| panic!("{name} is missing: {}", shown()));
                // RFC 6749 §5.2.
                let is_plain = words.chars().all(|c| matches!(c, ' '..='~') && c != '"' && c != '\\');
                assert!(is_plain && !words.is_empty(), "{name} has characters that it must not have: {}", shown());
            }
        }
    }

    /// A page of ours, or an address that a client registered, with something added to its query.
    fn may_be_sent_to(&self, location: &str) -> bool {
        let Ok(url) = self.issuer.join(location) else { return false };
        if url.origin() == self.issuer.origin() {
            return url.scheme() == "http" || url.scheme() == "https";
        }
        let bare = location.split(['?', '#']).next().unwrap_or_default();
        self.registered.iter().any(|registered| registered == bare)
    }
}

/// Where the forms of a page lead.
fn form_targets(page: &str) -> Vec<String> {
    let forms = page.split("<form").skip(1).filter_map(|form| form.split('>').next());
    let actions = forms.filter_map(|tag| tag.split_once("action=\"")?.1.split('"').next());
    actions.map(|action| action.replace("&amp;", "&")).collect()
}

struct Fuzz<'a> {
    server: &'a Server,
    rules: Rules,
    random: Random,
    sent: usize,
}

impl Fuzz<'_> {
    async fn send(&mut self, http: &Http, target: &Target, body: Vec<u8>) -> Answer {
        let request = match target.placed {
            Placed::Query => {
                let query = String::from_utf8(body.clone()).expect("a query is ASCII");
                http.request(target.method.clone(), &format!("{}?{query}", target.path))
            }
            Placed::Form | Placed::Json => {
                let kind = match target.placed {
                    Placed::Json => "application/json",
                    _ => "application/x-www-form-urlencoded",
                };
                let request = http.request(target.method.clone(), target.path).header("content-type", kind);
                request.header("origin", self.server.base_url()).body(body.clone())
            }
        };
        let start: String = String::from_utf8_lossy(&body).chars().take(400).collect();
        let sent = format!("{} {} {start}", target.method, target.path);
        let answer = http.try_send(request).await.unwrap_or_else(|error| panic!("no answer to {sent}: {error:?}"));
        self.rules.check(&answer, target.answered, &sent);
        self.sent += 1;
        answer
    }

    /// Spoils one parameter after the other, then some together.
    async fn spoil(&mut self, http: &Http, mut fresh: impl AsyncFnMut() -> Target) {
        let target = fresh().await;
        let names: Vec<&'static str> = target.parameters.iter().map(|(name, _)| *name).chain(["unknown"]).collect();
        let valid = |name: &str| {
            let found = target.parameters.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| value.clone()).unwrap_or_default()
        };
        for name in &names {
            for change in changes(&valid(name), target.placed, &mut self.random) {
                let target = fresh().await;
                let body = spoilt(&target.parameters, &[(name, change)]);
                self.send(http, &target, body).await;
            }
        }
        for _ in 0..40 {
            let target = fresh().await;
            let several: Vec<(&str, Change)> = (0..2 + self.random.below(3))
                .map(|_| {
                    let name = names[self.random.below(names.len())];
                    let mut all = changes(&valid(name), target.placed, &mut self.random);
                    (name, all.swap_remove(self.random.below(all.len())))
                })
                .collect();
            let body = spoilt(&target.parameters, &several);
            // No client builds an address that is longer.
            if target.placed == Placed::Query && body.len() > 60_000 {
                continue;
            }
            self.send(http, &target, body).await;
        }
    }

    /// Bodies that are wrong as JSON, for an endpoint that takes it.
    async fn spoil_json(&mut self, http: &Http, target: Target) {
        for body in json_bodies(&target.parameters) {
            self.send(http, &target, body.into_bytes()).await;
        }
    }
}

fn on_query(path: &'static str, parameters: Vec<(&'static str, String)>) -> Target {
    Target { method: Method::GET, path, parameters, placed: Placed::Query, answered: Answered::Browser }
}

fn on_form(path: &'static str, parameters: Vec<(&'static str, String)>, answered: Answered) -> Target {
    Target { method: Method::POST, path, parameters, placed: Placed::Form, answered }
}

fn authorization(client: &Value) -> Vec<(&'static str, String)> {
    vec![
        ("client_id", text(client, "client_id")),
        ("redirect_uri", text(client, "redirect_uri")),
        ("response_type", "code".to_owned()),
        ("scope", "openid profile email offline_access".to_owned()),
        ("state", "a state".to_owned()),
        ("nonce", "a nonce".to_owned()),
        ("code_challenge", CHALLENGE.to_owned()),
        ("code_challenge_method", "S256".to_owned()),
        ("response_mode", "query".to_owned()),
        ("prompt", String::new()),
        ("max_age", "10000".to_owned()),
        ("login_hint", "paula@example.com".to_owned()),
        ("ui_locales", "de en".to_owned()),
        ("acr_values", "1".to_owned()),
        ("display", "page".to_owned()),
        ("claims", String::new()),
        ("resource", String::new()),
        ("organization", String::new()),
        ("id_token_hint", String::new()),
        ("request", String::new()),
        ("request_uri", String::new()),
        ("registration", String::new()),
    ]
}

fn rules(server: &Server, world: &World) -> Rules {
    let clients = world.value["clients"].as_object().expect("there are clients");
    let addresses = ["redirect_uri", "post_logout_redirect_uri"];
    let registered = clients.values().flat_map(|client| addresses.map(|name| client[name].as_str().map(str::to_owned)));
    let secrets = clients.values().filter_map(|client| client["client_secret"].as_str().map(str::to_owned));
    let owner = server.owner();
    Rules {
        issuer: server.base_url().parse().expect("the base URL is one"),
        registered: registered.flatten().collect(),
        secrets: secrets.chain([owner.api_secret.clone(), owner.owner.password.clone()]).collect(),
    }
}

/// `OPTARE_FUZZ_SEED` repeats a run.
fn seed() -> u64 {
    let given = std::env::var("OPTARE_FUZZ_SEED").ok().and_then(|text| text.parse().ok());
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let seed = given.unwrap_or_else(now);
    println!("OPTARE_FUZZ_SEED={seed} repeats this run");
    seed
}

/// A code that the person in this browser has given to a client.
async fn code(browser: &Http, client: &Value) -> String {
    let parameters = authorization(client);
    let given: Vec<(&str, &str)> =
        parameters.iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| (*name, value.as_str())).collect();
    let back = browser.get(&authorize(&given)).await.expect(303);
    back.location_parameter("code").unwrap_or_else(|| panic!("no code but {}", back.location()))
}

fn redemption(client: &Value, code: String) -> Vec<(&'static str, String)> {
    vec![
        ("grant_type", "authorization_code".to_owned()),
        ("code", code),
        ("redirect_uri", text(client, "redirect_uri")),
        ("client_id", text(client, "client_id")),
        ("client_secret", text(client, "client_secret")),
        ("code_verifier", VERIFIER.to_owned()),
    ]
}

async fn tokens(server: &Server, browser: &Http, client: &Value) -> Value {
    let parameters = redemption(client, code(browser, client).await);
    let form: Vec<(&str, &str)> = parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
    server.http().post_form("/oauth/token", &form).await.expect(200).json()
}

/// A server with clients, and the rules for its answers.
async fn set_up(engine: support::Engine) -> (Server, World) {
    let server = Server::start(engine).await;
    let world = World::set_up(&server).await;
    (server, world)
}

/// Nothing of all this was remembered where it does not belong, and people can still sign in.
async fn still_well(server: Server, world: &World, fuzz_rules: &Rules, at_least: usize, sent: usize) {
    assert!(sent >= at_least, "only {sent} requests were sent");
    let browser = world.signed_in(&server).await;
    let tokens = tokens(&server, &browser, world.client("web")).await;
    server.http().bearer(&text(&tokens, "access_token")).get("/oauth/userinfo").await.expect(200);
    let log = server.stdout() + &server.stderr();
    assert!(!log.contains("panicked"), "{log}");
    for secret in &fuzz_rules.secrets {
        assert!(!log.contains(secret.as_str()), "a secret stands in the log");
    }
    the_log_tells_the_same(server).await;
}

on_both_engines! {
    async fn whatever_is_asked_of_the_authorization_endpoint(engine: Engine) {
        let (server, world) = set_up(engine).await;
        let mut fuzz = Fuzz { server: &server, rules: rules(&server, &world), random: Random(seed()), sent: 0 };
        let client = world.client("web");
        let signed_in = world.signed_in(&server).await;
        for browser in [&server.http(), &signed_in] {
            fuzz.spoil(browser, async || on_query("/oauth/authorize", authorization(client))).await;
            fuzz.spoil(browser, async || on_form("/oauth/authorize", authorization(client), Answered::Browser)).await;
        }
        let by_form = async || {
            let mut parameters = authorization(client);
            parameters.iter_mut().filter(|(name, _)| *name == "response_mode").for_each(|(_, value)| *value = "form_post".into());
            on_query("/oauth/authorize", parameters)
        };
        fuzz.spoil(&signed_in, by_form).await;
        let (rules, sent) = (fuzz.rules, fuzz.sent);
        still_well(server, &world, &rules, 2_000, sent).await;
    }

    async fn whatever_is_sent_to_the_token_endpoint(engine: Engine) {
        let (server, world) = set_up(engine).await;
        let mut fuzz = Fuzz { server: &server, rules: rules(&server, &world), random: Random(seed()), sent: 0 };
        let (client, service) = (world.client("web"), world.client("m2m"));
        let (browser, http) = (world.signed_in(&server).await, server.http());
        let placed = |placed, parameters| Target { placed, ..on_form("/oauth/token", parameters, Answered::Program) };
        let redeem = async || placed(Placed::Form, redemption(client, code(&browser, client).await));
        fuzz.spoil(&http, redeem).await;
        let refreshed = async || {
            let refresh_token = text(&tokens(&server, &browser, client).await, "refresh_token");
            placed(Placed::Form, vec![
                ("grant_type", "refresh_token".to_owned()),
                ("refresh_token", refresh_token),
                ("scope", "openid".to_owned()),
                ("client_id", text(client, "client_id")),
                ("client_secret", text(client, "client_secret")),
            ])
        };
        fuzz.spoil(&http, refreshed).await;
        let own = vec![
            ("grant_type", "client_credentials".to_owned()),
            ("scope", "read:products".to_owned()),
            ("audience", text(&world.value["api"], "identifier")),
            ("resource", text(&world.value["api"], "identifier")),
            ("client_id", text(service, "client_id")),
            ("client_secret", text(service, "client_secret")),
            ("client_assertion_type", String::new()),
            ("client_assertion", String::new()),
        ];
        fuzz.spoil(&http, async || placed(Placed::Form, own.clone())).await;
        let asserted = vec![
            ("grant_type", "client_credentials".to_owned()),
            ("client_id", text(world.client("m2m_jwt"), "client_id")),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer".to_owned()),
            ("client_assertion", "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl".to_owned()),
        ];
        fuzz.spoil(&http, async || placed(Placed::Form, asserted.clone())).await;
        fuzz.spoil_json(&http, placed(Placed::Json, redemption(client, "auth_x".to_owned()))).await;
        fuzz.spoil_json(&http, placed(Placed::Json, own.clone())).await;

        let body = spoilt(&own, &[]);
        for kind in ["text/plain", "multipart/form-data; boundary=x", "application/xml", "\u{e9}", "", "a/b;c=\"\u{ff}"] {
            let kind = reqwest::header::HeaderValue::from_bytes(kind.as_bytes()).expect("no control characters");
            let request = http.request(Method::POST, "/oauth/token").header("content-type", kind).body(body.clone());
            fuzz.rules.check(&http.send(request).await.expect(400), Answered::Program, "another content type");
        }
        for method in [Method::GET, Method::PUT, Method::DELETE, Method::PATCH] {
            let answer = http.send(http.request(method.clone(), "/oauth/token")).await;
            assert!([400, 405].contains(&answer.status.as_u16()), "{method} {}", answer.status);
        }
        let (rules, sent) = (fuzz.rules, fuzz.sent);
        still_well(server, &world, &rules, 500, sent).await;
    }

    async fn whatever_is_sent_to_the_other_endpoints(engine: Engine) {
        let (server, world) = set_up(engine).await;
        let mut fuzz = Fuzz { server: &server, rules: rules(&server, &world), random: Random(seed()), sent: 0 };
        let client = world.client("web");
        let (browser, http) = (world.signed_in(&server).await, server.http());
        let tokens = tokens(&server, &browser, client).await;
        fuzz.rules.secrets.extend(["access_token", "refresh_token"].map(|name| text(&tokens, name)));

        for path in ["/oauth/revoke", "/oauth/introspect"] {
            let parameters = vec![
                ("token", "refresh_unknown".to_owned()),
                ("token_type_hint", "refresh_token".to_owned()),
                ("client_id", text(client, "client_id")),
                ("client_secret", text(client, "client_secret")),
            ];
            fuzz.spoil(&http, async || on_form(path, parameters.clone(), Answered::Program)).await;
        }
        for path in ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server", "/.well-known/jwks.json"] {
            let anything = || on_query(path, vec![("a", "b".to_owned())]);
            fuzz.spoil(&http, async || anything()).await;
        }
        let access_token = text(&tokens, "access_token");
        fuzz.spoil(&http, async || on_form("/oauth/userinfo", vec![("access_token", access_token.clone())], Answered::Program)).await;
        let (head, tail) = access_token.split_at(access_token.len() / 2);
        for header in [
            "Bearer", "Bearer ", "Bearer  x", "bearer x", "Basic eDp5", "Token x", "\u{e9}", "Bearer \u{e9}", "Bearer a.b.c",
            "Bearer eyJhbGciOiJub25lIn0.e30.", &format!("Bearer {}", "a".repeat(60_000)), &format!("Bearer {head}x{tail}"),
            &format!("Bearer {access_token}, Bearer {access_token}"),
        ] {
            let value = reqwest::header::HeaderValue::from_bytes(header.as_bytes()).expect("no control characters");
            for path in ["/oauth/userinfo", "/oauth/token", "/oauth/introspect", "/oauth/revoke"] {
                let method = if path == "/oauth/userinfo" { Method::GET } else { Method::POST };
                let request = http.request(method, path).header("authorization", value.clone());
                let answer = http.send(request.header("content-type", "application/x-www-form-urlencoded")).await;
                assert!(answer.status.is_client_error(), "{path} {header} {}", answer.status);
                // A header that is too long is refused before anything of ours reads it.
                let answered = if answer.status == 431 { Answered::Browser } else { Answered::Program };
                fuzz.rules.check(&answer, answered, &format!("{path} {header:.100}"));
            }
        }
        // The hint ends the session, and the tokens with it.
        let logout = vec![
            ("id_token_hint", text(&tokens, "id_token")),
            ("client_id", text(client, "client_id")),
            ("post_logout_redirect_uri", text(client, "post_logout_redirect_uri")),
            ("state", "a state".to_owned()),
            ("logout_hint", "paula@example.com".to_owned()),
            ("ui_locales", "de".to_owned()),
        ];
        fuzz.spoil(&http, async || on_query("/oauth/logout", logout.clone())).await;
        fuzz.spoil(&http, async || on_form("/oauth/logout", logout.clone(), Answered::Browser)).await;
        let (rules, sent) = (fuzz.rules, fuzz.sent);
        still_well(server, &world, &rules, 500, sent).await;
    }

    async fn whatever_text_is_sent_to_pages_and_to_the_management_api(engine: Engine) {
        let (server, world) = set_up(engine).await;
        let mut fuzz = Fuzz { server: &server, rules: rules(&server, &world), random: Random(seed()), sent: 0 };
        let browser = world.signed_in(&server).await;
        let given = |names: &[&'static str]| names.iter().map(|name| (*name, "x@example.com".to_owned())).collect::<Vec<_>>();
        for (path, names) in [
            ("/sign-in", &["email", "password", "continue"][..]),
            ("/sign-in/code", &["code", "continue"]),
            ("/register", &["email", "name", "password", "continue"]),
            ("/forgot-password", &["email"]),
            ("/reset-password", &["token", "password"]),
            ("/verify-email", &["token"]),
            ("/oauth/consent", &["continue", "decision"]),
            ("/oauth/organization", &["continue", "organization"]),
            ("/sign-out", &["continue"]),
        ] {
            let target = || on_form(path, given(names), Answered::Browser);
            for name in names {
                // A password is hashed at each try, so only what may be stored is spoilt.
                for bytes in [b"%00".to_vec(), b"x%00@example.com".to_vec(), b"%FF".to_vec(), encoded(MARKUP.as_bytes())] {
                    let body = spoilt(&target().parameters, &[(name, Change::Replace(bytes))]);
                    fuzz.send(&browser, &target(), body).await;
                }
            }
        }
        let admin = server.admin();
        let acme = &server.owner().organization_id;
        for (path, body) in [
            ("/v1/users".to_owned(), json!({"email": "a@example.com", "name": "A", "password": "long enough for it"})),
            ("/v1/organizations".to_owned(), json!({"name": "B", "owner_id": world.value["person"]["id"]})),
            ("/v1/apis".to_owned(), json!({"identifier": "https://b.example", "name": "B", "scopes": ["read:b"]})),
            ("/v1/apps".to_owned(), json!({"name": "b", "title": "B", "redirect_uris": ["https://b.example/"]})),
            ("/v1/clients".to_owned(), json!({
                "type": "web", "name": "B", "description": "B", "redirect_uris": ["https://b.example/"],
                "logo_uri": "https://b.example/b.png", "allowed_scopes": ["openid"],
            })),
            (format!("/v1/organizations/{acme}/installations"), json!({"app_id": "app_x"})),
        ] {
            for name in body.as_object().expect("it is one").keys() {
                for text in ["\0", "a\0b", "https://b.example/\0", "\u{202e}\u{1f511}", MARKUP, &"a".repeat(30_000)] {
                    let mut body = body.clone();
                    body[name] = if body[name].is_array() { json!([text]) } else { json!(text) };
                    let answer = admin.post_json(&path, &body).await;
                    assert!(!answer.status.is_server_error(), "{path} {name}={text:.40?}: {}", answer.text());
                }
            }
        }
        for path in ["/v1/clients/%00", "/v1/users/%00", "/v1/organizations/%00", "/v1/clients?cursor=%00", "/v1/apis/%FF",
                     "/oauth/authorize/%00", "/oauth/authorize/%FF", "/sign-in?continue=%00", "/portal/apps?organization=%00"] {
            for http in [&admin, &browser] {
                let answer = http.get(path).await;
                assert!(!answer.status.is_server_error(), "{path}: {}", answer.text());
            }
        }
        let (rules, sent) = (fuzz.rules, fuzz.sent);
        still_well(server, &world, &rules, 60, sent).await;
    }
}
