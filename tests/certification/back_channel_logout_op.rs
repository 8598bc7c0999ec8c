//! Back-Channel Logout OP.

use serde_json::{Value, json};
use support::jwt::{header_of, verified};
use support::steps::{text, the_log_tells_the_same};
use support::{Receiver, eventually, on_both_engines};

use crate::op::{Client, Mode, Op};

on_both_engines! {
    async fn discovery_endpoint_verification(engine: Engine) {
        let op = Op::start(engine, Mode::Query).await;
        let document = op.browser().get("/.well-known/openid-configuration").await.expect(200).json();
        assert_eq!(document["backchannel_logout_supported"], true);
        assert_eq!(document["backchannel_logout_session_supported"], true);
        the_log_tells_the_same(op.server).await;
    }

    async fn backchannel_rp_initiated_logout(engine: Engine) {
        let receiver = Receiver::start().await;
        let mut op = Op::start(engine, Mode::Query).await;
        let settings = json!({"backchannel_logout_uri": receiver.url("/logout")});
        op.client = Client::register(&op.server, "told", settings).await;
        let browser = op.browser();
        let tokens = op.tokens(&browser, &[]).await;
        let id_token = op.id_token(&tokens).await;
        let hint = text(&tokens, "id_token");
        browser.get(&format!("/oauth/logout?id_token_hint={hint}")).await.expect(303);

        let request = eventually("the logout token", async || receiver.requests_to("/logout").first().cloned()).await;
        assert_eq!(request.header("content-type"), Some("application/x-www-form-urlencoded"));
        let form: Vec<(String, String)> = url::form_urlencoded::parse(&request.body).into_owned().collect();
        let [(name, token)] = form.as_slice() else { panic!("one field, not {form:?}") };
        assert_eq!(name, "logout_token");
        assert_eq!(header_of(token).typ.as_deref(), Some("logout+jwt"));
        let claims = verified(&op.server, token).await;
        assert_eq!(claims["iss"], op.server.base_url());
        assert_eq!(claims["aud"], op.client.id);
        assert_eq!((&claims["sub"], &claims["sid"]), (&id_token["sub"], &id_token["sid"]));
        assert!(claims["iat"].is_i64() && claims["exp"].is_i64() && claims["jti"].is_string(), "{claims}");
        assert_eq!(claims["events"], json!({"http://schemas.openid.net/event/backchannel-logout": {}}));
        assert_eq!(claims.get("nonce"), None::<&Value>);
        the_log_tells_the_same(op.server).await;
    }
}
