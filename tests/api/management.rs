//! The management API: who may call it, and what it says about a body that it cannot use.

use serde_json::{Value, json};
use support::steps::{App, an_app, credentials, install, open, signed_in_owner, text, the_log_tells_the_same, webhook};
use support::{Answer, Receiver, Server, on_both_engines};

use crate::users::another_organization;

/// A problem document (RFC 9457) with its code, checked for what each must have.
pub fn problem(answer: Answer, status: u16) -> Value {
    let answer = answer.expect(status);
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    assert!(answer.header("request-id").is_some_and(|id| id.starts_with("req_")));
    let problem = answer.json();
    assert_eq!(problem["status"], status);
    assert!(problem["detail"].is_string() && problem["code"].is_string(), "{problem}");
    problem
}

on_both_engines! {
    async fn a_key_without_its_secret_opens_nothing(engine: Engine) {
        let server = Server::start(engine).await;
        let owner = server.owner();
        let strangers = [
            server.http(),
            server.http().bearer(&owner.api_key),
            server.http().api_key(&owner.api_key, "sk_wrong"),
            server.http().api_key("key_unknown", &owner.api_secret),
        ];
        for stranger in strangers {
            for path in ["/v1/apps", "/api/v1/apps"] {
                let refused = stranger.get(path).await;
                assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
                assert_eq!(problem(refused, 401)["code"], "unauthorized");
            }
        }
        server.admin().get("/v1/apps").await.expect(200);
        server.admin().get("/api/v1/apps").await.expect(200);
    }

    async fn a_body_that_cannot_be_used_is_refused_by_the_name_of_the_field(engine: Engine) {
        let server = Server::start(engine).await;
        let admin = server.admin();
        let body = |changes: Value| {
            let mut body = json!({"name": "crm", "title": "CRM"});
            for (key, value) in changes.as_object().expect("changes are an object") {
                body[key] = value.clone();
            }
            body
        };
        for (changes, named) in [
            (json!({"colour": "blue"}), "colour"),
            (json!({"name": "Not A Name"}), "name"),
            (json!({"title": ""}), "title"),
            (json!({"visibility": "secret"}), "public"),
            (json!({"redirect_uris": ["https://crm.example/#part"]}), "redirect_uri"),
            (json!({"redirect_uris": ["http://crm.example/callback"]}), "redirect_uri"),
            (json!({"redirect_uris": ["https://*.example/callback"]}), "redirect_uri"),
            (json!({"webhook_url": "ftp://crm.example/hook"}), "webhook_url"),
        ] {
            let refused = problem(admin.post_json("/v1/apps", body(changes)).await, 400);
            let detail = text(&refused, "detail");
            assert!(detail.contains(named), "{detail} names {named}");
        }
        let refused = problem(admin.post_form("/v1/apps", &[("name", "crm")]).await, 400);
        assert!(text(&refused, "detail").contains("application/json"));
        assert_eq!(admin.get("/v1/apps").await.expect(200).json()["apps"], json!([]), "nothing half done");
    }

    async fn a_name_is_taken_once(engine: Engine) {
        let server = Server::start(engine).await;
        let app = json!({"name": "crm", "title": "CRM"});
        let made = server.admin().post_json("/v1/apps", &app).await.expect(201);
        assert!(made.position().is_some() && made.header("etag") == Some("\"1\""));
        let refused = problem(server.admin().post_json("/v1/apps", &app).await, 409);
        assert_eq!((&refused["code"], &refused["errors"][0]["pointer"]), (&json!("name_taken"), &json!("/name")));
        let listed = server.admin().get("/v1/apps").await.expect(200).json();
        assert_eq!(listed["apps"].as_array().map(Vec::len), Some(1));
        assert_eq!(listed["apps"][0]["id"], made.json()["id"]);
    }

    async fn what_is_not_there_is_a_404_with_its_name(engine: Engine) {
        let server = Server::start(engine).await;
        let admin = server.admin();
        let organization = &server.owner().organization_id;
        let installations = format!("/v1/organizations/{organization}/installations");
        let unknown = admin.post_json(&installations, json!({"app_id": "app_unknown"})).await;
        assert_eq!(problem(unknown, 404)["code"], "app_not_found");
        let unknown = admin.delete(&format!("{installations}/inst_unknown")).await;
        assert_eq!(problem(unknown, 404)["code"], "installation_not_found");
        let unknown = admin.delete("/v1/organizations/org_unknown/installations/inst_unknown").await;
        assert_eq!(problem(unknown, 404)["code"], "organization_not_found");
        let unknown = admin.get("/v1/nothing").await;
        assert_eq!(problem(unknown, 404)["code"], "route_not_found");
    }

    async fn what_a_vendor_changes_of_an_app_holds_for_those_who_installed_it(engine: Engine) {
        let server = Server::start(engine).await;
        let receiver = Receiver::start().await;
        let app = an_app(&server, &receiver, "crm").await;
        install(&server, &app).await;
        let credentials = credentials(&webhook(&receiver, &app, 1).await);
        let browser = signed_in_owner(&server).await;
        let path = format!("/v1/apps/{}", app.id);
        let moved = App { redirect_uri: "https://new.example/auth/callback".to_owned(), ..app };
        browser.get(&open(&moved, &credentials)).await.expect(400);

        let change = json!({
            "title": "New CRM", "webhookUrl": receiver.url("/moved"), "redirect_uris": [moved.redirect_uri],
        });
        let changed = server.admin().patch_json(&path, change).await.expect(200);
        assert!(changed.position().is_some() && changed.header("etag") == Some("\"4\""));
        let changed = changed.json();
        assert_eq!((&changed["name"], &changed["title"]), (&json!("crm"), &json!("New CRM")));
        assert_eq!(changed["webhook_url"], receiver.url("/moved"));
        let back = browser.get(&open(&moved, &credentials)).await.expect(303);
        assert!(back.location().starts_with(&moved.redirect_uri) && back.location_parameter("code").is_some());

        for (change, pointer) in [
            (json!({"redirect_uris": ["http://crm.example/cb"]}), "/redirect_uris/0"),
            (json!({"webhook_url": "ftp://crm.example"}), "/webhook_url"),
            (json!({"name": "other"}), "/name"),
        ] {
            let refused = problem(server.admin().patch_json(&path, &change).await, 400);
            assert_eq!(refused["errors"][0]["pointer"], pointer, "{change}: {refused}");
        }
        let (_, umbrella) = another_organization(&server, "Umbrella").await;
        let refused = problem(umbrella.patch_json(&path, json!({"title": "Mine"})).await, 404);
        assert_eq!(refused["code"], "app_not_found");
        the_log_tells_the_same(server).await;
    }
}
