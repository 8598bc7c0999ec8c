//! Organizations and their members, by keys and by access tokens (R127, R220).

use serde_json::{Value, json};
use support::steps::{
    App, Credentials, authorize, credentials, exchange, install, text, the_log_tells_the_same, webhook,
};
use support::{Http, Receiver, Server, on_both_engines};

use crate::management::problem;
use crate::users::another_organization;

const PASSWORD: &str = "analytical engine";

/// A person with this role in the operator's organization.
async fn a_person(server: &Server, name: &str, role: &str) -> (String, String) {
    let admin = server.admin();
    let email = format!("{name}@example.com");
    let user = json!({"email": email, "name": name, "password": PASSWORD});
    let id = text(&admin.post_json("/v1/users", user).await.expect(201).json(), "id");
    let member = format!("/v1/organizations/{}/members/{id}", server.owner().organization_id);
    admin.put_json(&member, json!({"role": role})).await.expect(200);
    (id, email)
}

/// An app installed in the operator's organization that may ask for these scopes.
async fn an_app_for(server: &Server, receiver: &Receiver, scopes: &str) -> (App, Credentials) {
    let redirect_uri = "https://settings.example/auth/callback".to_owned();
    let webhook_path = "/settings/api/webhooks/optare".to_owned();
    let scopes: Vec<&str> = scopes.split(' ').collect();
    let body = json!({"name": "settings", "title": "Settings", "webhook_url": receiver.url(&webhook_path),
                      "redirect_uris": [redirect_uri], "scopes": scopes});
    let made = server.admin().post_json("/v1/apps", body).await.expect(201).json();
    let organization_id = server.owner().organization_id.clone();
    let webhook_secret = text(&made, "webhook_secret");
    let app = App { id: text(&made, "id"), organization_id, webhook_path, webhook_secret, redirect_uri };
    install(server, &app).await;
    let credentials = credentials(&webhook(receiver, &app, 1).await);
    (app, credentials)
}

/// A program with somebody's access token for these scopes.
async fn a_token(
    server: &Server,
    app: &App,
    credentials: &Credentials,
    email: &str,
    password: &str,
    scope: &str,
) -> Http {
    let browser = server.http();
    browser.post_form("/sign-in", &[("email", email), ("password", password)]).await.expect(303);
    let path = authorize(&[
        ("client_id", &credentials.client_id),
        ("redirect_uri", &app.redirect_uri),
        ("response_type", "code"),
        ("scope", scope),
        ("state", "s"),
    ]);
    let mut back = browser.get(&path).await.expect(303);
    // An installed app may sign people in; what else it wants to do they must agree to.
    if back.location().starts_with("/oauth/consent?") {
        let waits = back.location_parameter("continue").expect("the request waits");
        browser.post_form("/oauth/consent", &[("continue", &waits), ("decision", "authorize")]).await.expect(200);
        back = browser.get(&waits).await.expect(303);
    }
    let code = back.location_parameter("code").unwrap_or_else(|| panic!("no code in {}", back.location()));
    let tokens = exchange(server, app, credentials, &code).await.expect(200).json();
    server.http().bearer(&text(&tokens, "access_token"))
}

on_both_engines! {
    async fn an_organization_is_made_renamed_and_left_alone_by_others(engine: Engine) {
        let server = Server::start(engine).await;
        let admin = server.admin();
        let (id, umbrella) = another_organization(&server, "Umbrella").await;
        let path = format!("/v1/organizations/{id}");
        let shown = umbrella.get(&path).await.expect(200).json();
        assert_eq!((&shown["id"], &shown["name"]), (&json!(id), &json!("Umbrella")));
        assert!(shown["createdAt"].is_string(), "{shown}");
        let renamed = umbrella.patch_json(&path, json!({"name": "Apex"})).await.expect(200);
        assert!(renamed.position().is_some() && renamed.header("etag") == Some("\"3\""), "{:?}", renamed.headers);
        assert_eq!(admin.get(&format!("/api{path}")).await.expect(200).json()["name"], "Apex");
        umbrella.patch_json(&path, json!({"name": "Apex"})).await.expect(200);

        let own = format!("/v1/organizations/{}", server.owner().organization_id);
        for answer in [
            umbrella.get(&own).await,
            umbrella.patch_json(&own, json!({"name": "Mine"})).await,
            umbrella.get(&format!("{own}/members")).await,
            umbrella.post_json(&format!("{own}/api-keys"), json!({"name": "x"})).await,
        ] {
            assert_eq!(problem(answer, 404)["code"], "organization_not_found");
        }
        problem(admin.get("/v1/organizations/org_unknown").await, 404);
        problem(umbrella.post_json("/v1/organizations", json!({"name": "More"})).await, 403);
        let empty = problem(umbrella.patch_json(&path, json!({})).await, 400);
        assert_eq!(empty["errors"][0]["pointer"], "/name");
        let nobody = json!({"name": "More", "owner_id": "user_unknown"});
        let refused = problem(admin.post_json("/v1/organizations", nobody).await, 400);
        assert_eq!(refused["errors"][0]["pointer"], "/owner_id");
        the_log_tells_the_same(server).await;
    }

    async fn members_come_change_and_go(engine: Engine) {
        let server = Server::start(engine).await;
        let admin = server.admin();
        let (ada, _) = a_person(&server, "ada", "member").await;
        let members = format!("/v1/organizations/{}/members", server.owner().organization_id);
        let of_ada = format!("{members}/{ada}");
        let role = async || {
            let listed = admin.get(&members).await.expect(200).json();
            let of = |id: &str| listed["members"].as_array()?.iter().find(|row| row["user_id"] == id).cloned();
            of(&ada).map(|row| text(&row, "role"))
        };
        assert_eq!(role().await.as_deref(), Some("member"));
        admin.put_json(&of_ada, json!({"role": "admin"})).await.expect(200);
        admin.put_json(&of_ada, json!({"role": "admin"})).await.expect(200);
        assert_eq!(role().await.as_deref(), Some("admin"));
        admin.delete(&of_ada).await.expect(204);
        assert_eq!(role().await, None);
        assert_eq!(problem(admin.delete(&of_ada).await, 404)["code"], "member_not_found");

        let wrong = problem(admin.put_json(&of_ada, json!({"role": "Queen of all"})).await, 400);
        assert_eq!(wrong["errors"][0]["pointer"], "/role");
        let unknown = admin.put_json(&format!("{members}/user_unknown"), json!({"role": "member"})).await;
        assert_eq!(problem(unknown, 404)["code"], "user_not_found");
        let last = admin.delete(&format!("{members}/{}", server.owner().user_id)).await;
        assert_eq!(problem(last, 409)["code"], "last_owner");

        // Knowing an id is not enough to make somebody a member of one's organization.
        let (id, umbrella) = another_organization(&server, "Umbrella").await;
        let taken = umbrella.put_json(&format!("/v1/organizations/{id}/members/{ada}"), json!({"role": "member"})).await;
        assert_eq!(problem(taken, 404)["code"], "user_not_found");
        the_log_tells_the_same(server).await;
    }

    async fn a_revoked_key_opens_nothing_and_gives_no_more_than_it_has(engine: Engine) {
        let server = Server::start(engine).await;
        let (id, umbrella) = another_organization(&server, "Umbrella").await;
        let keys = format!("/v1/organizations/{id}/api-keys");
        let more = problem(umbrella.post_json(&keys, json!({"name": "x", "roles": ["root"]})).await, 400);
        assert_eq!(more["errors"][0]["pointer"], "/roles");
        let made = umbrella.post_json(&keys, json!({"name": "second"})).await.expect(201).json();
        let second = server.http().api_key(&text(&made, "id"), &text(&made, "api_secret"));
        second.get("/v1/users").await.expect(200);
        umbrella.delete(&format!("{keys}/{}", text(&made, "id"))).await.expect(204);
        problem(second.get("/v1/users").await, 401);
        the_log_tells_the_same(server).await;
    }

    async fn a_token_reads_its_organization_and_changes_it_only_with_the_scope_for_it(engine: Engine) {
        let server = Server::start(engine).await;
        let receiver = Receiver::start().await;
        let all = "openid organization organization:read organization:write";
        let (app, credentials) = an_app_for(&server, &receiver, all).await;
        let owner = server.owner().owner.clone();
        let (_, member) = a_person(&server, "mia", "member").await;
        let token = async |email: &str, password: &str, scope: &str| {
            a_token(&server, &app, &credentials, email, password, scope).await
        };
        let path = format!("/v1/organizations/{}", server.owner().organization_id);
        let rename = |name: &str| json!({"name": name});

        let plain = token(&owner.email, &owner.password, "openid organization").await;
        problem(plain.get(&path).await, 403);
        let reader = token(&owner.email, &owner.password, "openid organization organization:read").await;
        assert_eq!(reader.get(&path).await.expect(200).json()["name"], "Acme");
        problem(reader.patch_json(&path, rename("Apex")).await, 403);
        let writer = token(&owner.email, &owner.password, "openid organization organization:write").await;
        writer.patch_json(&path, rename("Apex")).await.expect(200);
        assert_eq!(writer.get(&path).await.expect(200).json()["name"], "Apex");

        let of_member = token(&member, PASSWORD, all).await;
        of_member.get(&path).await.expect(200);
        problem(of_member.patch_json(&path, rename("Mine")).await, 403);
        let me: Value = of_member.get("/v1/users/me").await.expect(200).json();
        assert_eq!(me["email"], json!(member));

        let (umbrella, _) = another_organization(&server, "Umbrella").await;
        problem(writer.get(&format!("/v1/organizations/{umbrella}")).await, 404);
        problem(writer.get("/v1/users").await, 403);
        problem(writer.get("/v1/clients").await, 403);
        problem(server.http().bearer("eyJ.no.token").get(&path).await, 401);
        the_log_tells_the_same(server).await;
    }
}
