//! The provider under test, as the suite drives it: clients that follow the browser through the provider's pages.

use std::collections::HashMap;

use serde_json::{Value, json};
use support::jwt::verified;
use support::steps::text;
use support::{Answer, Engine, Http, Server};

/// How the answer is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Query,
    FormPost,
}

/// A server with two clients that people must consent to.
pub struct Op {
    pub server: Server,
    pub mode: Mode,
    pub client: Client,
    pub second_client: Client,
}

/// A client as its developer knows it.
#[derive(Debug, Clone)]
pub struct Client {
    pub id: String,
    pub secret: String,
    pub redirect_uri: String,
}

/// Where the browser ended, and what the person had to do on the way.
#[derive(Debug)]
pub struct Ended {
    /// What the client got; none if the browser stayed at the provider.
    pub answer: Option<HashMap<String, String>>,
    /// The last page of the provider, if the browser stayed there.
    pub page: String,
    pub status: u16,
    pub sign_ins: usize,
    pub consents: usize,
}

impl Ended {
    #[track_caller]
    pub fn parameter(&self, name: &str) -> &str {
        let answer =
            self.answer.as_ref().unwrap_or_else(|| panic!("the browser stayed at the provider: {}", self.page));
        answer.get(name).unwrap_or_else(|| panic!("the client got no {name} but {answer:?}"))
    }

    #[track_caller]
    pub fn code(&self) -> &str {
        self.parameter("code")
    }
}

impl Op {
    pub async fn start(engine: Engine, mode: Mode) -> Self {
        let server = Server::start(engine).await;
        let client = Client::register(&server, "first", json!({})).await;
        let second_client = Client::register(&server, "second", json!({})).await;
        Self { server, mode, client, second_client }
    }

    /// A browser of its own.
    pub fn browser(&self) -> Http {
        self.server.http()
    }

    /// The parameters of an authorization request, with some changed and those that are empty left out.
    pub fn request(&self, changes: &[(&str, &str)]) -> Vec<(String, String)> {
        self.request_of(&self.client, changes)
    }

    pub fn request_of(&self, client: &Client, changes: &[(&str, &str)]) -> Vec<(String, String)> {
        let mode = if self.mode == Mode::FormPost { "form_post" } else { "" };
        let mut parameters = vec![
            ("client_id", client.id.as_str()),
            ("redirect_uri", &client.redirect_uri),
            ("response_type", "code"),
            ("response_mode", mode),
            ("scope", "openid"),
            ("state", "some-state"),
            ("nonce", "some-nonce"),
        ];
        for (name, value) in changes {
            parameters.retain(|(known, _)| known != name);
            parameters.push((name, value));
        }
        let given = parameters.into_iter().filter(|(_, value)| !value.is_empty());
        given.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// Sends the browser to the authorization endpoint and follows it to its end.
    pub async fn authorize(&self, browser: &Http, changes: &[(&str, &str)]) -> Ended {
        self.follow(browser, &self.request(changes)).await
    }

    pub async fn follow(&self, browser: &Http, request: &[(String, String)]) -> Ended {
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(request).finish();
        let answer = browser.get(&format!("/oauth/authorize?{query}")).await;
        self.follow_on(browser, answer).await
    }

    /// Follows redirects and fills in the provider's pages as a person does who says yes.
    pub async fn follow_on(&self, browser: &Http, mut answer: Answer) -> Ended {
        let owner = &self.server.owner().owner;
        let mut ended = Ended { answer: None, page: String::new(), status: 0, sign_ins: 0, consents: 0 };
        for _ in 0..12 {
            ended.status = answer.status.as_u16();
            if answer.status.is_redirection() {
                let location = answer.location().to_owned();
                if let Some(query) = self.left_for(&location) {
                    assert_eq!(self.mode, Mode::Query, "the answer came by the query: {location}");
                    ended.answer = Some(pairs(&query));
                    return ended;
                }
                answer = browser.get(&location).await;
                continue;
            }
            let page = answer.text();
            if let Some(next) = between(&page, "http-equiv=\"refresh\" content=\"0;url=", "\"") {
                answer = browser.get(&unescaped(next)).await;
                continue;
            }
            let hidden = hidden_fields(&page);
            let waits = hidden.get("continue").cloned().unwrap_or_default();
            match between(&page, "<form method=\"post\" action=\"", "\"").map(unescaped).as_deref() {
                Some("/sign-in") => {
                    ended.sign_ins += 1;
                    let form =
                        [("email", owner.email.as_str()), ("password", &owner.password), ("continue", waits.as_str())];
                    answer = browser.post_form("/sign-in", &form).await;
                }
                Some("/oauth/consent") => {
                    ended.consents += 1;
                    let form = [("decision", "authorize"), ("continue", waits.as_str())];
                    answer = browser.post_form("/oauth/consent", &form).await;
                }
                Some(action) if self.left_for(action).is_some() => {
                    assert_eq!(self.mode, Mode::FormPost, "the answer came by a form: {page}");
                    ended.answer = Some(hidden);
                    return ended;
                }
                _ => {
                    ended.page = page;
                    return ended;
                }
            }
        }
        panic!("the browser went round in circles: {ended:?}");
    }

    /// The query of an address that is not the provider's.
    fn left_for(&self, location: &str) -> Option<String> {
        let is_ours = location.starts_with('/') || location.starts_with(&self.server.base_url());
        (!is_ours).then(|| location.split_once('?').map_or("", |(_, query)| query).to_owned())
    }

    /// Exchanges a code with `client_secret_basic`.
    pub async fn exchange(&self, code: &str) -> Answer {
        self.exchange_for(&self.client, code, &[]).await
    }

    pub async fn exchange_for(&self, client: &Client, code: &str, more: &[(&str, &str)]) -> Answer {
        let form = [("grant_type", "authorization_code"), ("code", code), ("redirect_uri", &client.redirect_uri)];
        let form = [form.as_slice(), more].concat();
        self.server.http().basic(&client.id, &client.secret).post_form("/oauth/token", &form).await
    }

    /// The tokens of a whole flow.
    pub async fn tokens(&self, browser: &Http, changes: &[(&str, &str)]) -> Value {
        let ended = self.authorize(browser, changes).await;
        self.exchange(ended.code()).await.expect(200).json()
    }

    /// The ID token's claims, checked as OpenID Connect Core §3.1.3.7 says.
    pub async fn id_token(&self, tokens: &Value) -> Value {
        self.id_token_for(&self.client, tokens).await
    }

    pub async fn id_token_for(&self, client: &Client, tokens: &Value) -> Value {
        let claims = verified(&self.server, &text(tokens, "id_token")).await;
        assert_eq!(claims["iss"], self.server.base_url());
        assert_eq!(claims["aud"], client.id);
        let (issued_at, expires_at) = (claims["iat"].as_i64().expect("iat"), claims["exp"].as_i64().expect("exp"));
        assert!(issued_at < expires_at, "{claims}");
        claims
    }

    pub async fn userinfo(&self, tokens: &Value) -> Answer {
        self.server.http().bearer(&text(tokens, "access_token")).get("/oauth/userinfo").await
    }
}

impl Client {
    pub async fn register(server: &Server, name: &str, more: Value) -> Self {
        let redirect_uri = format!("https://{name}.example/callback");
        let mut body = json!({
            "name": format!("The {name} client"), "type": "web", "redirect_uris": [redirect_uri],
            "logout_uris": [format!("https://{name}.example/signed-out")],
        });
        for (field, value) in more.as_object().into_iter().flatten() {
            body[field] = value.clone();
        }
        let made = server.admin().post_json("/v1/clients", body).await.expect(201).json();
        Self { id: text(&made, "client_id"), secret: text(&made, "client_secret"), redirect_uri }
    }
}

fn pairs(query: &str) -> HashMap<String, String> {
    url::form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let rest = text.split_once(before)?.1;
    Some(rest.split_once(after)?.0)
}

fn hidden_fields(page: &str) -> HashMap<String, String> {
    let inputs = page.split("<input type=\"hidden\" ").skip(1);
    let fields = inputs.filter_map(|input| Some((between(input, "name=\"", "\"")?, between(input, "value=\"", "\"")?)));
    fields.map(|(name, value)| (unescaped(name), unescaped(value))).collect()
}

fn unescaped(text: &str) -> String {
    text.replace("&#38;", "&").replace("&#34;", "\"").replace("&#39;", "'").replace("&#60;", "<").replace("&#62;", ">")
}
