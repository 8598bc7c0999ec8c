//! What people agree to, and what they take back: beyond the suite, but the same browser (R036–R039, R190, R263).

use serde_json::{Value, json};
use support::steps::{text, the_log_tells_the_same};
use support::{Server, on_both_engines};

use crate::op::{Client, Mode, Op};

/// One more organization that the owner belongs to.
async fn another_organization(server: &Server) -> String {
    let body = json!({"name": "Globex", "owner_id": server.owner().user_id});
    text(&server.admin().post_json("/v1/organizations", body).await.expect(201).json(), "id")
}

on_both_engines! {
    async fn an_app_that_is_disconnected_loses_its_tokens_and_asks_again(engine: Engine) {
        let op = Op::start(engine, Mode::Query).await;
        let browser = op.browser();
        let tokens = op.tokens(&browser, &[("scope", "openid email offline_access")]).await;
        let page = browser.get("/portal/oauth-clients").await.expect(200).text();
        assert!(page.contains("The first client") && page.contains("see your e-mail address"), "{page}");

        let form = [("client_id", op.client.id.as_str())];
        browser.post_form("/portal/oauth-clients/remove", &form).await.expect(303);
        op.userinfo(&tokens).await.expect(401);
        let refresh_token = text(&tokens, "refresh_token");
        let form = [("grant_type", "refresh_token"), ("refresh_token", refresh_token.as_str())];
        let own = op.server.http().basic(&op.client.id, &op.client.secret);
        assert_eq!(own.post_form("/oauth/token", &form).await.expect(400).json()["error"], "invalid_grant");
        let page = browser.get("/portal/oauth-clients").await.expect(200).text();
        assert!(!page.contains("The first client"), "{page}");

        let again = op.authorize(&browser, &[("scope", "openid email offline_access")]).await;
        assert_eq!((again.sign_ins, again.consents), (0, 1));
        the_log_tells_the_same(op.server).await;
    }

    async fn consent_is_asked_for_what_is_new_and_for_each_organization(engine: Engine) {
        let op = Op::start(engine, Mode::Query).await;
        let browser = op.browser();
        let consents = async |changes: &[(&str, &str)]| op.authorize(&browser, changes).await.consents;
        assert_eq!(consents(&[("scope", "openid")]).await, 1);
        assert_eq!(consents(&[("scope", "openid")]).await, 0);
        assert_eq!(consents(&[("scope", "openid profile")]).await, 1);
        assert_eq!(consents(&[("scope", "openid profile"), ("prompt", "consent")]).await, 1);

        let globex = another_organization(&op.server).await;
        let for_globex = [("scope", "openid profile"), ("organization", globex.as_str())];
        let silent = op.authorize(&browser, &[for_globex.as_slice(), &[("prompt", "none")]].concat()).await;
        assert_eq!(silent.parameter("error"), "consent_required");
        assert_eq!(consents(&for_globex).await, 1);
        assert_eq!(consents(&for_globex).await, 0);
        the_log_tells_the_same(op.server).await;
    }

    async fn scopes_taken_from_a_client_are_granted_no_more(engine: Engine) {
        let mut op = Op::start(engine, Mode::Query).await;
        let scopes = json!({"allowed_scopes": ["openid", "email", "offline_access", "org.admin"]});
        op.client = Client::register(&op.server, "narrowed", scopes).await;
        let tokens = op.tokens(&op.browser(), &[("scope", "openid email offline_access org.admin")]).await;
        let organization = format!("/v1/organizations/{}", op.server.owner().organization_id);
        let administrator = op.server.http().bearer(&text(&tokens, "access_token"));
        administrator.get(&organization).await.expect(200);

        let change = json!({"allowed_scopes": ["openid", "offline_access"]});
        op.server.admin().patch_json(&format!("/v1/clients/{}", op.client.id), change).await.expect(200);
        administrator.get(&organization).await.expect(403);
        let refresh_token = text(&tokens, "refresh_token");
        let form = [("grant_type", "refresh_token"), ("refresh_token", refresh_token.as_str())];
        let own = op.server.http().basic(&op.client.id, &op.client.secret);
        let again = own.post_form("/oauth/token", &form).await.expect(200).json();
        assert_eq!(again["scope"], "openid offline_access");
        assert!(op.userinfo(&again).await.expect(200).json().get("email").is_none_or(Value::is_null));
        the_log_tells_the_same(op.server).await;
    }

    async fn an_admin_does_not_become_an_owner(engine: Engine) {
        let op = Op::start(engine, Mode::Query).await;
        let owner = op.server.owner();
        let members = format!("/v1/organizations/{}/members", owner.organization_id);
        let body = json!({"email": "adam@example.com", "name": "Adam", "password": "a long password", "email_verified": true});
        let adam = text(&op.server.admin().post_json("/v1/users", body).await.expect(201).json(), "id");
        let put = async |role: &str| op.server.admin().put_json(&format!("{members}/{adam}"), json!({"role": role})).await;
        put("admin").await.expect(200);
        let scopes = json!({"allowed_scopes": ["openid", "org.admin"], "first_party": true});
        let client = Client::register(&op.server, "console", scopes).await;
        let browser = op.browser();
        let form = [("email", "adam@example.com"), ("password", "a long password"), ("continue", "/portal/dashboard")];
        browser.post_form("/sign-in", &form).await.expect(303);
        let ended = op.follow(&browser, &op.request_of(&client, &[("scope", "openid org.admin")])).await;
        let tokens = op.exchange_for(&client, ended.code(), &[]).await.expect(200).json();
        let adam_himself = op.server.http().bearer(&text(&tokens, "access_token"));
        adam_himself.put_json(&format!("{members}/{adam}"), json!({"role": "owner"})).await.expect(403);
        adam_himself.delete(&format!("{members}/{}", owner.user_id)).await.expect(403);
        adam_himself.put_json(&format!("{members}/{adam}"), json!({"role": "member"})).await.expect(200);
        the_log_tells_the_same(op.server).await;
    }

    async fn a_browser_that_posts_from_another_site_keeps_its_session(engine: Engine) {
        let op = Op::start(engine, Mode::Query).await;
        let browser = op.browser();
        op.tokens(&browser, &[]).await;
        // A cross-site form comes without our cookie; the redirect that answers it is followed with it.
        let request = op.request(&[("prompt", "none")]);
        let form: Vec<(&str, &str)> = request.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let to_itself = browser.stranger().post_form("/oauth/authorize", &form).await.expect(303);
        let answer = browser.get(to_itself.location()).await;
        let ended = op.follow_on(&browser, answer).await;
        assert!(!ended.code().is_empty());

        let asked = browser.stranger().post_form("/oauth/logout", &[("state", "s")]).await.expect(303);
        let asked = browser.get(asked.location()).await.expect(303);
        assert!(asked.location().starts_with("/sign-out?"), "{}", asked.location());
        the_log_tells_the_same(op.server).await;
    }
}
