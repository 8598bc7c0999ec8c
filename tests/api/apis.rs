//! APIs that tokens are for (R096, R129).

use serde_json::json;
use support::steps::{text, the_log_tells_the_same};
use support::{Server, on_both_engines};

use crate::management::problem;
use crate::users::another_organization;

on_both_engines! {
    async fn an_api_is_defined_changed_and_deleted(engine: Engine) {
        let server = Server::start(engine).await;
        let admin = server.admin();
        let body = json!({"identifier": "https://api.myapp.com", "name": "My API", "scopes": ["read:products"],
                          "accessTokenLifetime": 600});
        let made = admin.post_json("/v1/apis", &body).await.expect(201);
        assert!(made.position().is_some() && made.header("etag") == Some("\"1\""));
        let made = made.json();
        assert_eq!((&made["identifier"], &made["access_token_lifetime"]), (&body["identifier"], &json!(600)));
        let path = format!("/v1/apis/{}", text(&made, "id"));
        assert_eq!(admin.get(&path).await.expect(200).json(), made);

        let change = json!({"scopes": ["read:products", "write:products"]});
        let changed = admin.patch_json(&path, change).await.expect(200).json();
        assert_eq!(changed["scopes"], json!(["read:products", "write:products"]));
        assert_eq!((&changed["name"], &changed["access_token_lifetime"]), (&json!("My API"), &json!(600)));
        let changed = admin.patch_json(&path, json!({"access_token_lifetime": null})).await.expect(200).json();
        assert_eq!(changed["access_token_lifetime"], json!(null));
        assert_eq!(admin.get("/v1/apis").await.expect(200).json()["apis"], json!([changed]));

        let taken = problem(admin.post_json("/v1/apis", &body).await, 409);
        assert_eq!((&taken["code"], &taken["errors"][0]["pointer"]), (&json!("identifier_taken"), &json!("/identifier")));
        admin.delete(&path).await.expect(204);
        assert_eq!(problem(admin.get(&path).await, 404)["code"], "api_not_found");
        problem(admin.patch_json(&path, json!({"name": "x"})).await, 404);
        let again = admin.post_json("/v1/apis", &body).await.expect(201).json();
        assert_ne!(again["id"], made["id"], "the identifier is free, the id is not");
        the_log_tells_the_same(server).await;
    }

    async fn an_api_that_cannot_be_names_its_field(engine: Engine) {
        let server = Server::start(engine).await;
        for (body, pointer) in [
            (json!({"identifier": "my-api"}), "/identifier"),
            (json!({"identifier": "https://a.example/#x"}), "/identifier"),
            (json!({"identifier": "https://a.example", "scopes": ["openid"]}), "/scopes"),
            (json!({"identifier": "https://a.example", "scopes": ["a b"]}), "/scopes/0"),
            (json!({"identifier": "https://a.example", "access_token_lifetime": 0}), "/access_token_lifetime"),
            (json!({"identifier": "https://a.example", "colour": "blue"}), "/colour"),
        ] {
            let refused = problem(server.admin().post_json("/v1/apis", &body).await, 400);
            assert_eq!(refused["errors"][0]["pointer"], pointer, "{body}: {refused}");
        }
    }

    async fn another_organizations_api_does_not_exist(engine: Engine) {
        let server = Server::start(engine).await;
        let body = json!({"identifier": "https://api.myapp.com"});
        let made = server.admin().post_json("/v1/apis", body).await.expect(201).json();
        assert_eq!(made["name"], "https://api.myapp.com");
        let path = format!("/v1/apis/{}", text(&made, "id"));
        let (_, umbrella) = another_organization(&server, "Umbrella").await;
        for answer in [
            umbrella.get(&path).await,
            umbrella.patch_json(&path, json!({"name": "Mine"})).await,
            umbrella.delete(&path).await,
        ] {
            assert_eq!(problem(answer, 404)["code"], "api_not_found");
        }
        assert_eq!(umbrella.get("/v1/apis").await.expect(200).json()["apis"], json!([]));
    }
}
