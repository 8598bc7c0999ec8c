//! Products as scopes, beyond the suite (R030, R086, R116–R118, R128, R217).

use serde_json::json;
use support::jwt::verified;
use support::steps::{text, the_log_tells_the_same};
use support::{on_both_engines, seed};

use crate::op::{Client, Mode, Op};

on_both_engines! {
    async fn a_licence_is_a_scope_until_it_ends(engine: Engine) {
        let mut op = Op::start(engine, Mode::Query).await;
        seed::licensed_product(&mut op.server, "crm", &["read", "write"]).await;
        seed::product(&mut op.server, "wiki", &[]).await;
        let scopes = json!({"allowed_scopes": ["openid", "profile", "offline_access", "crm", "wiki"]});
        op.client = Client::register(&op.server, "licensed", scopes).await;
        let browser = op.browser();

        let refused = op.authorize(&browser, &[("scope", "openid wiki")]).await;
        assert_eq!(refused.parameter("error"), "invalid_scope");
        assert_eq!(refused.parameter("error_description"), "Requested scope not allowed");

        let tokens = op.tokens(&browser, &[("scope", "openid profile offline_access crm")]).await;
        let access_token = verified(&op.server, &text(&tokens, "access_token")).await;
        assert_eq!(access_token["products"], json!(["crm"]));
        assert_eq!(access_token["organization_id"], op.server.owner().organization_id);
        let claims = op.userinfo(&tokens).await.expect(200).json();
        let product = json!([{"id": "prod_crm", "slug": "crm", "name": "The crm product", "features": ["One", "Two"]}]);
        assert_eq!(claims["products"], product);
        assert_eq!((&claims["licenses"], &claims["entitlements"]), (&json!(["crm"]), &json!(["crm:read", "crm:write"])));

        seed::cancelled_licence(&mut op.server, "crm").await;
        let claims = op.userinfo(&tokens).await.expect(200).json();
        assert!(claims.get("products").is_none() && claims["licenses"] == json!([]), "{claims}");
        let refresh_token = text(&tokens, "refresh_token");
        let form = [("grant_type", "refresh_token"), ("refresh_token", refresh_token.as_str())];
        let own = op.server.http().basic(&op.client.id, &op.client.secret);
        let again = own.post_form("/oauth/token", &form).await.expect(200).json();
        assert_eq!(again["scope"], "openid profile offline_access");
        the_log_tells_the_same(op.server).await;
    }
}
