//! RP-Initiated Logout OP.

use serde_json::Value;
use support::steps::{text, the_log_tells_the_same};
use support::{Answer, Http, on_both_engines};

use crate::op::{Mode, Op};

const SIGNED_OUT: &str = "https://first.example/signed-out";

/// A client that signed somebody in: the browser and the ID token.
async fn signed_in(op: &Op) -> (Http, String) {
    let browser = op.browser();
    let tokens = op.tokens(&browser, &[]).await;
    (browser, text(&tokens, "id_token"))
}

/// Where a request to log out leads in the end, its page answered with yes.
async fn log_out(browser: &Http, parameters: &[(&str, &str)]) -> Answer {
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    let mut answer = browser.get(&format!("/oauth/logout?{query}")).await;
    for _ in 0..6 {
        let page = answer.text();
        let refresh = page.split_once("content=\"0;url=").and_then(|(_, rest)| rest.split_once('"'));
        if answer.status.is_redirection() && answer.location().starts_with('/') {
            answer = browser.get(answer.location()).await;
        } else if let Some((next, _)) = refresh {
            answer = browser.get(&next.replace("&#38;", "&")).await;
        } else if let Some((_, rest)) = page.split_once("action=\"/sign-out\"") {
            let waits = rest.split_once("name=\"continue\" value=\"").expect("what follows").1;
            let waits = waits.split('"').next().unwrap_or_default().replace("&#38;", "&");
            answer = browser.post_form("/sign-out", &[("continue", &waits)]).await;
        } else {
            break;
        }
    }
    answer
}

async fn is_signed_in(op: &Op, browser: &Http) -> bool {
    let ended = op.authorize(browser, &[("prompt", "none")]).await;
    let answer = ended.answer.expect("prompt=none always answers");
    answer.contains_key("code")
}

#[track_caller]
fn is_the_signed_out_page(answer: Answer) {
    let page = answer.expect(200).text();
    assert!(page.contains("You are signed out."), "{page}");
}

/// A page that says what is wrong; nobody is sent anywhere.
#[track_caller]
fn is_an_error_page(answer: Answer, why: &str) {
    let page = answer.expect(400).text();
    assert!(page.contains(why), "{page}");
}

on_both_engines! {
    async fn discovery_endpoint_verification(engine: Engine) {
        let op = Op::start(engine, Mode::Query).await;
        let document = op.browser().get("/.well-known/openid-configuration").await.expect(200).json();
        assert_eq!(document["end_session_endpoint"], format!("{}/oauth/logout", op.server.base_url()));
        the_log_tells_the_same(op.server).await;
    }

    async fn rp_initiated_logout(engine: Engine) {
        let op = Op::start(engine, Mode::Query).await;
        let (browser, id_token) = signed_in(&op).await;
        assert!(is_signed_in(&op, &browser).await);
        let state = "s".repeat(128);
        let parameters =
            [("id_token_hint", id_token.as_str()), ("post_logout_redirect_uri", SIGNED_OUT), ("state", &state)];
        let answer = log_out(&browser, &parameters).await.expect(303);
        assert_eq!(answer.location(), format!("{SIGNED_OUT}?state={state}"));
        assert!(!is_signed_in(&op, &browser).await);
        the_log_tells_the_same(op.server).await;
    }

    async fn rp_initiated_logout_no_state(engine: Engine) {
        let op = Op::start(engine, Mode::Query).await;
        let (browser, id_token) = signed_in(&op).await;
        let parameters = [("id_token_hint", id_token.as_str()), ("post_logout_redirect_uri", SIGNED_OUT)];
        let answer = log_out(&browser, &parameters).await.expect(303);
        assert_eq!(answer.location(), SIGNED_OUT);
        assert!(!is_signed_in(&op, &browser).await);
        the_log_tells_the_same(op.server).await;
    }

    async fn rp_initiated_logout_bad_post_logout_redirect_uri(engine: Engine) {
        let op = Op::start(engine, Mode::Query).await;
        let (browser, id_token) = signed_in(&op).await;
        let elsewhere = "https://first.example/signed-out/elsewhere";
        let parameters = [("id_token_hint", id_token.as_str()), ("post_logout_redirect_uri", elsewhere)];
        is_an_error_page(log_out(&browser, &parameters).await, "post_logout_redirect_uri not registered");
        the_log_tells_the_same(op.server).await;
    }

    async fn rp_initiated_logout_query_added_to_post_logout_redirect_uri(engine: Engine) {
        let op = Op::start(engine, Mode::Query).await;
        let (browser, id_token) = signed_in(&op).await;
        let with_query = format!("{SIGNED_OUT}?foo=bar");
        let parameters = [("id_token_hint", id_token.as_str()), ("post_logout_redirect_uri", &with_query)];
        is_an_error_page(log_out(&browser, &parameters).await, "post_logout_redirect_uri not registered");
        the_log_tells_the_same(op.server).await;
    }

    async fn rp_initiated_logout_no_id_token_hint(engine: Engine) {
        let op = Op::start(engine, Mode::Query).await;
        let (browser, _) = signed_in(&op).await;
        let parameters = [("post_logout_redirect_uri", SIGNED_OUT), ("state", "s")];
        is_an_error_page(log_out(&browser, &parameters).await, "needs id_token_hint");
        the_log_tells_the_same(op.server).await;
    }

    async fn rp_initiated_logout_modified_id_token_hint(engine: Engine) {
        let op = Op::start(engine, Mode::Query).await;
        let (browser, id_token) = signed_in(&op).await;
        // `{"alg":"none"}`, and no signature.
        let payload = id_token.split('.').nth(1).expect("a JWT has three parts");
        let unsigned = format!("eyJhbGciOiJub25lIn0.{payload}.");
        let parameters = [("id_token_hint", unsigned.as_str()), ("post_logout_redirect_uri", SIGNED_OUT)];
        is_an_error_page(log_out(&browser, &parameters).await, "id_token_hint is no ID token of this issuer");
        assert!(is_signed_in(&op, &browser).await);
        the_log_tells_the_same(op.server).await;
    }

    async fn rp_initiated_logout_bad_id_token_hint(engine: Engine) {
        let op = Op::start(engine, Mode::Query).await;
        let (browser, id_token) = signed_in(&op).await;
        // The same token with another signature, as a foreign key would make it.
        let (signed, signature) = id_token.rsplit_once('.').expect("a JWT has three parts");
        let foreign = format!("{signed}.{}", signature.chars().rev().collect::<String>());
        let parameters = [("id_token_hint", foreign.as_str()), ("post_logout_redirect_uri", SIGNED_OUT)];
        is_an_error_page(log_out(&browser, &parameters).await, "id_token_hint is no ID token of this issuer");
        assert!(is_signed_in(&op, &browser).await);
        the_log_tells_the_same(op.server).await;
    }

    async fn rp_initiated_logout_no_params(engine: Engine) {
        let op = Op::start(engine, Mode::Query).await;
        let (browser, _) = signed_in(&op).await;
        is_the_signed_out_page(log_out(&browser, &[]).await);
        assert!(!is_signed_in(&op, &browser).await);
        the_log_tells_the_same(op.server).await;
    }

    async fn rp_initiated_logout_no_post_logout_redirect_uri(engine: Engine) {
        let op = Op::start(engine, Mode::Query).await;
        let (browser, id_token) = signed_in(&op).await;
        is_the_signed_out_page(log_out(&browser, &[("id_token_hint", &id_token)]).await);
        assert!(!is_signed_in(&op, &browser).await);
        the_log_tells_the_same(op.server).await;
    }

    async fn rp_initiated_logout_only_state(engine: Engine) {
        let op = Op::start(engine, Mode::Query).await;
        let (browser, _) = signed_in(&op).await;
        is_the_signed_out_page(log_out(&browser, &[("state", "s")]).await);
        assert!(!is_signed_in(&op, &browser).await);
        the_log_tells_the_same(op.server).await;
    }

    /// No module of the suite: whom the client names without a proof is asked, and then goes back to the client.
    async fn a_client_that_only_names_itself_must_ask(engine: Engine) {
        let op = Op::start(engine, Mode::Query).await;
        let (browser, _) = signed_in(&op).await;
        let parameters =
            [("client_id", op.client.id.as_str()), ("post_logout_redirect_uri", SIGNED_OUT), ("state", "s")];
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
        let asks = browser.get(&format!("/oauth/logout?{query}")).await.expect(303);
        assert!(asks.location().starts_with("/sign-out?"), "{}", asks.location());
        assert!(is_signed_in(&op, &browser).await);
        let answer = log_out(&browser, &parameters).await.expect(303);
        assert_eq!(answer.location(), format!("{SIGNED_OUT}?state=s"));
        assert!(!is_signed_in(&op, &browser).await);
        the_log_tells_the_same(op.server).await;
    }

    /// No module of the suite: a token that was asked for an absent user outlives the session, the others end with it.
    async fn tokens_end_with_the_session_unless_for_an_absent_user(engine: Engine) {
        let op = Op::start(engine, Mode::Query).await;
        let browser = op.browser();
        let here = op.tokens(&browser, &[]).await;
        let away = op.tokens(&browser, &[("scope", "openid offline_access")]).await;
        log_out(&browser, &[("id_token_hint", here["id_token"].as_str().unwrap_or_default())]).await;
        op.userinfo(&here).await.expect(401);
        op.userinfo(&away).await.expect(200);
        let refresh_token = text(&away, "refresh_token");
        let form = [("grant_type", "refresh_token"), ("refresh_token", refresh_token.as_str())];
        let answer = op.server.http().basic(&op.client.id, &op.client.secret).post_form("/oauth/token", &form).await;
        assert!(answer.expect(200).json().get("refresh_token").is_some_and(Value::is_string));
        the_log_tells_the_same(op.server).await;
    }
}
