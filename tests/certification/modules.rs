//! The modules of the Basic OP profile; Form Post OP runs the same ones with `response_mode=form_post`.

use std::collections::HashSet;

use serde_json::{Value, json};
use support::jwt::header_of;
use support::steps::text;

use crate::op::{Ended, Op};

const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
/// Of the verifier: RFC 7636 appendix B.
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// A code and a token that nobody guesses: of 128 bits at least.
fn is_random(text: &str) {
    let different: HashSet<char> = text.chars().collect();
    assert!(text.len() >= 43 && different.len() > 15, "{text} is too short or too regular");
}

pub async fn server(op: &Op) {
    let browser = op.browser();
    let ended = op.authorize(&browser, &[]).await;
    is_random(ended.code());
    assert_eq!(ended.parameter("state"), "some-state");
    assert_eq!(ended.parameter("iss"), op.server.base_url());
    let answer = op.exchange(ended.code()).await.expect(200);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let tokens = answer.json();
    assert_eq!(tokens["token_type"], "Bearer");
    is_random(&text(&tokens, "access_token"));

    let claims = op.id_token(&tokens).await;
    assert_eq!(claims["nonce"], "some-nonce");
    assert_eq!(claims["sub"], op.server.owner().user_id);
    assert!(claims["sub"].as_str().is_some_and(|sub| sub.len() <= 255 && sub.is_ascii()));
    assert!(claims["auth_time"].is_i64() && claims["acr"].is_string(), "{claims}");
    for unasked in ["name", "email", "organization_id"] {
        assert!(claims.get(unasked).is_none(), "{unasked} was not asked for");
    }
    let header = header_of(&text(&tokens, "id_token"));
    assert_eq!(header.alg, jsonwebtoken::Algorithm::RS256);

    // The same person, signed in already, at another client: only its consent is asked for.
    let ended = op.follow(&browser, &op.request_of(&op.second_client, &[])).await;
    assert_eq!((ended.sign_ins, ended.consents), (0, 1));
    let tokens = op.exchange_for(&op.second_client, ended.code(), &[]).await.expect(200).json();
    assert_eq!(op.id_token_for(&op.second_client, &tokens).await["sub"], claims["sub"]);
}

pub async fn response_type_missing(op: &Op) {
    let ended = op.authorize(&op.browser(), &[("response_type", "")]).await;
    assert_eq!(ended.parameter("error"), "invalid_request");
    assert_eq!(ended.parameter("state"), "some-state");
}

pub async fn idtoken_signature(op: &Op) {
    let tokens = op.tokens(&op.browser(), &[]).await;
    let header = header_of(&text(&tokens, "id_token"));
    assert!(header.kid.is_some() && header.alg == jsonwebtoken::Algorithm::RS256, "{header:?}");
    op.id_token(&tokens).await;
}

pub async fn userinfo_get(op: &Op) {
    let tokens = op.tokens(&op.browser(), &[]).await;
    let answer = op.userinfo(&tokens).await.expect(200);
    assert!(answer.header("content-type").is_some_and(|kind| kind.starts_with("application/json")));
    assert_eq!(answer.json()["sub"], op.id_token(&tokens).await["sub"]);
}

pub async fn userinfo_post_header(op: &Op) {
    let tokens = op.tokens(&op.browser(), &[]).await;
    let bearer = op.server.http().bearer(&text(&tokens, "access_token"));
    let claims = bearer.post_form("/oauth/userinfo", &[]).await.expect(200).json();
    assert_eq!(claims["sub"], op.id_token(&tokens).await["sub"]);
}

pub async fn userinfo_post_body(op: &Op) {
    let tokens = op.tokens(&op.browser(), &[]).await;
    let form = [("access_token", &*text(&tokens, "access_token"))];
    let claims = op.server.http().post_form("/oauth/userinfo", &form).await.expect(200).json();
    assert_eq!(claims["sub"], op.id_token(&tokens).await["sub"]);
}

pub async fn ensure_request_without_nonce_succeeds_for_code_flow(op: &Op) {
    let tokens = op.tokens(&op.browser(), &[("nonce", "")]).await;
    assert!(op.id_token(&tokens).await.get("nonce").is_none());
}

/// The claims that a scope releases at userinfo.
async fn claims_for(op: &Op, scope: &str) -> Value {
    let tokens = op.tokens(&op.browser(), &[("scope", scope)]).await;
    assert_eq!(tokens["scope"], scope);
    op.userinfo(&tokens).await.expect(200).json()
}

pub async fn scope_profile(op: &Op) {
    let claims = claims_for(op, "openid profile").await;
    assert_eq!(claims["name"], op.server.owner().owner.name);
    assert!(claims.get("email").is_none());
}

pub async fn scope_email(op: &Op) {
    let claims = claims_for(op, "openid email").await;
    assert_eq!((&claims["email"], &claims["email_verified"]), (&json!(op.server.owner().owner.email), &json!(true)));
    assert!(claims.get("name").is_none());
}

/// Known, and empty.
pub async fn scope_address(op: &Op) {
    assert!(claims_for(op, "openid address").await.get("address").is_none());
}

pub async fn scope_phone(op: &Op) {
    assert!(claims_for(op, "openid phone").await.get("phone_number").is_none());
}

pub async fn scope_all(op: &Op) {
    let claims = claims_for(op, "openid profile email address phone").await;
    assert!(claims["name"].is_string() && claims["email"].is_string() && claims["email_verified"].is_boolean());
}

/// Parameters and scopes in another order.
pub async fn alternate_happy_flow(op: &Op) {
    let mut request = op.request(&[("scope", "email profile openid")]);
    request.reverse();
    let ended = op.follow(&op.browser(), &request).await;
    let tokens = op.exchange(ended.code()).await.expect(200).json();
    assert_eq!(op.id_token(&tokens).await["nonce"], "some-nonce");
}

async fn succeeds_with(op: &Op, name: &str, value: &str) {
    let ended = op.authorize(&op.browser(), &[(name, value)]).await;
    op.exchange(ended.code()).await.expect(200);
}

pub async fn display_page(op: &Op) {
    succeeds_with(op, "display", "page").await;
}

pub async fn display_popup(op: &Op) {
    succeeds_with(op, "display", "popup").await;
}

pub async fn ui_locales(op: &Op) {
    succeeds_with(op, "ui_locales", "se de").await;
}

pub async fn claims_locales(op: &Op) {
    succeeds_with(op, "claims_locales", "se").await;
}

pub async fn login_hint(op: &Op) {
    succeeds_with(op, "login_hint", &op.server.owner().owner.email).await;
}

pub async fn ensure_request_with_acr_values_succeeds(op: &Op) {
    let tokens = op.tokens(&op.browser(), &[("acr_values", "1 2")]).await;
    assert_eq!(op.id_token(&tokens).await["acr"], "urn:optare:acr:password");
}

pub async fn ensure_request_with_unknown_parameter_succeeds(op: &Op) {
    succeeds_with(op, "extra", "foobar").await;
}

async fn auth_time(op: &Op, ended: &Ended) -> i64 {
    let tokens = op.exchange(ended.code()).await.expect(200).json();
    op.id_token(&tokens).await["auth_time"].as_i64().expect("auth_time")
}

async fn a_second_passes(op: &Op) {
    op.server.http().post_json("/dev/clock", json!({"advance_seconds": 2})).await.expect(200);
}

pub async fn prompt_login(op: &Op) {
    let browser = op.browser();
    let first = op.authorize(&browser, &[]).await;
    let before = auth_time(op, &first).await;
    a_second_passes(op).await;
    let second = op.authorize(&browser, &[("prompt", "login")]).await;
    assert_eq!((first.sign_ins, second.sign_ins), (1, 1));
    assert!(auth_time(op, &second).await > before);
}

pub async fn prompt_none_not_logged_in(op: &Op) {
    let state = "s".repeat(128);
    let ended = op.authorize(&op.browser(), &[("prompt", "none"), ("state", &state)]).await;
    assert_eq!((ended.parameter("error"), ended.parameter("state")), ("login_required", state.as_str()));
}

pub async fn prompt_none_logged_in(op: &Op) {
    let browser = op.browser();
    let first = op.tokens(&browser, &[]).await;
    a_second_passes(op).await;
    let ended = op.authorize(&browser, &[("prompt", "none")]).await;
    assert_eq!((ended.sign_ins, ended.consents), (0, 0));
    let second = op.exchange(ended.code()).await.expect(200).json();
    let (first, second) = (op.id_token(&first).await, op.id_token(&second).await);
    assert_eq!((&first["sub"], &first["auth_time"]), (&second["sub"], &second["auth_time"]));
}

pub async fn max_age_1(op: &Op) {
    let browser = op.browser();
    let first = op.authorize(&browser, &[]).await;
    let before = auth_time(op, &first).await;
    a_second_passes(op).await;
    let second = op.authorize(&browser, &[("max_age", "1")]).await;
    assert_eq!(second.sign_ins, 1);
    assert!(auth_time(op, &second).await > before);
}

pub async fn max_age_10000(op: &Op) {
    let browser = op.browser();
    let first = op.authorize(&browser, &[]).await;
    let before = auth_time(op, &first).await;
    a_second_passes(op).await;
    let second = op.authorize(&browser, &[("max_age", "10000")]).await;
    assert_eq!(second.sign_ins, 0);
    assert_eq!(auth_time(op, &second).await, before);
}

pub async fn id_token_hint(op: &Op) {
    let browser = op.browser();
    let tokens = op.tokens(&browser, &[]).await;
    let hint = text(&tokens, "id_token");
    let ended = op.authorize(&browser, &[("prompt", "none"), ("id_token_hint", &hint)]).await;
    let again = op.exchange(ended.code()).await.expect(200).json();
    assert_eq!(op.id_token(&again).await["sub"], op.id_token(&tokens).await["sub"]);
}

pub async fn codereuse(op: &Op) {
    let ended = op.authorize(&op.browser(), &[]).await;
    let tokens = op.exchange(ended.code()).await.expect(200).json();
    op.userinfo(&tokens).await.expect(200);
    let answer = op.exchange(ended.code()).await.expect(400);
    assert_eq!(answer.json()["error"], "invalid_grant");
    op.userinfo(&tokens).await.expect(401);
}

pub async fn codereuse_30seconds(op: &Op) {
    let ended = op.authorize(&op.browser(), &[]).await;
    let tokens = op.exchange(ended.code()).await.expect(200).json();
    op.server.http().post_json("/dev/clock", json!({"advance_seconds": 30})).await.expect(200);
    assert_eq!(op.exchange(ended.code()).await.expect(400).json()["error"], "invalid_grant");
    op.userinfo(&tokens).await.expect(401);
}

pub async fn ensure_registered_redirect_uri(op: &Op) {
    for uri in
        ["https://first.example/callback/", "https://evil.example/callback", "https://first.example/callback?x=1"]
    {
        let ended = op.authorize(&op.browser(), &[("redirect_uri", uri)]).await;
        assert!(ended.answer.is_none() && ended.status == 400, "{ended:?}");
        assert!(ended.page.contains("redirect_uri not registered"), "{}", ended.page);
    }
}

pub async fn ensure_post_request_succeeds(op: &Op) {
    let browser = op.browser();
    let request = op.request(&[]);
    let form: Vec<(&str, &str)> = request.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let answer = browser.post_form("/oauth/authorize", &form).await;
    let ended = op.follow_on(&browser, answer).await;
    op.exchange(ended.code()).await.expect(200);
}

pub async fn server_client_secret_post(op: &Op) {
    let ended = op.authorize(&op.browser(), &[]).await;
    let form = [
        ("grant_type", "authorization_code"),
        ("code", ended.code()),
        ("redirect_uri", &op.client.redirect_uri),
        ("client_id", &op.client.id),
        ("client_secret", &op.client.secret),
    ];
    let tokens = op.server.http().post_form("/oauth/token", &form).await.expect(200).json();
    op.id_token(&tokens).await;
}

pub async fn unsigned_request_object_is_refused(op: &Op) {
    let ended = op.authorize(&op.browser(), &[("request", "eyJhbGciOiJub25lIn0.e30.")]).await;
    assert_eq!(ended.parameter("error"), "request_not_supported");
    let ended = op.authorize(&op.browser(), &[("request_uri", "https://first.example/request.jwt")]).await;
    assert_eq!(ended.parameter("error"), "request_uri_not_supported");
}

pub async fn claims_essential(op: &Op) {
    let claims = r#"{"userinfo": {"name": {"essential": true}}, "id_token": {"email": {"essential": true}}}"#;
    let tokens = op.tokens(&op.browser(), &[("claims", claims)]).await;
    let owner = &op.server.owner().owner;
    assert_eq!(op.id_token(&tokens).await["email"], owner.email);
    let userinfo = op.userinfo(&tokens).await.expect(200).json();
    assert_eq!(userinfo["name"], owner.name);
    assert!(userinfo.get("email").is_none(), "{userinfo}");
}

pub async fn refresh_token(op: &Op) {
    let offline = [("scope", "openid offline_access"), ("prompt", "consent")];
    let ended = op.authorize(&op.browser(), &offline).await;
    assert_eq!(ended.consents, 1);
    let tokens = op.exchange(ended.code()).await.expect(200).json();
    let refresh_token = text(&tokens, "refresh_token");
    is_random(&refresh_token);
    a_second_passes(op).await;
    let form = [("grant_type", "refresh_token"), ("refresh_token", refresh_token.as_str())];
    let other = op.server.http().basic(&op.second_client.id, &op.second_client.secret);
    assert_eq!(other.post_form("/oauth/token", &form).await.expect(400).json()["error"], "invalid_grant");
    let own = op.server.http().basic(&op.client.id, &op.client.secret);
    let answer = own.post_form("/oauth/token", &form).await.expect(200);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let again = answer.json();
    assert!(again["access_token"] != tokens["access_token"] && again["refresh_token"] != tokens["refresh_token"]);
    let (before, after) = (op.id_token(&tokens).await, op.id_token(&again).await);
    for same in ["iss", "sub", "aud", "auth_time"] {
        assert_eq!(before[same], after[same], "{same}");
    }
    assert!(after["iat"].as_i64() > before["iat"].as_i64());
}

pub async fn ensure_request_with_valid_pkce_succeeds(op: &Op) {
    let challenge = [("code_challenge", CHALLENGE), ("code_challenge_method", "S256")];
    let ended = op.authorize(&op.browser(), &challenge).await;
    op.exchange(ended.code()).await.expect(400);
    op.exchange_for(&op.client, ended.code(), &[("code_verifier", VERIFIER)]).await.expect(200);
}

/// A test for each module, on both engines.
macro_rules! each_module {
    ($mode:expr) => {
        $crate::modules::each_module! { $mode =>
            server,
            response_type_missing,
            idtoken_signature,
            userinfo_get,
            userinfo_post_header,
            userinfo_post_body,
            ensure_request_without_nonce_succeeds_for_code_flow,
            scope_profile,
            scope_email,
            scope_address,
            scope_phone,
            scope_all,
            alternate_happy_flow,
            display_page,
            display_popup,
            ui_locales,
            claims_locales,
            login_hint,
            ensure_request_with_acr_values_succeeds,
            ensure_request_with_unknown_parameter_succeeds,
            prompt_login,
            prompt_none_not_logged_in,
            prompt_none_logged_in,
            max_age_1,
            max_age_10000,
            id_token_hint,
            codereuse,
            codereuse_30seconds,
            ensure_registered_redirect_uri,
            ensure_post_request_succeeds,
            server_client_secret_post,
            unsigned_request_object_is_refused,
            claims_essential,
            refresh_token,
            ensure_request_with_valid_pkce_succeeds,
        }
    };
    ($mode:expr => $($module:ident),+ $(,)?) => {
        support::on_both_engines! {$(
            async fn $module(engine: Engine) {
                let op = $crate::op::Op::start(engine, $mode).await;
                $crate::modules::$module(&op).await;
                support::steps::the_log_tells_the_same(op.server).await;
            }
        )+}
    };
}
pub(crate) use each_module;
