//! Users: registered by keys, seen by those of their organization.

use serde_json::{Value, json};
use support::steps::{text, the_log_tells_the_same};
use support::{Http, Server, on_both_engines};

use crate::management::problem;

/// Another organization of this instance: its id, and a program with a key of its own.
pub async fn another_organization(server: &Server, name: &str) -> (String, Http) {
    let admin = server.admin();
    let made = admin.post_json("/v1/organizations", json!({"name": name})).await.expect(201).json();
    let id = text(&made, "id");
    let keys = format!("/v1/organizations/{id}/api-keys");
    let key = admin.post_json(&keys, json!({"name": "CI"})).await.expect(201).json();
    (id, server.http().api_key(&text(&key, "id"), &text(&key, "api_secret")))
}

fn ids(listed: &Value, list: &str, id: &str) -> Vec<String> {
    listed[list].as_array().unwrap_or_else(|| panic!("{listed} has {list}")).iter().map(|row| text(row, id)).collect()
}

on_both_engines! {
    async fn the_operator_registers_people_who_can_sign_in(engine: Engine) {
        let server = Server::start(engine).await;
        let admin = server.admin();
        let body = json!({"email": "Ada@Example.com", "name": "Ada", "password": "analytical engine",
                          "email_verified": true});
        let made = admin.post_json("/v1/users", &body).await.expect(201);
        assert!(made.position().is_some() && made.header("etag").is_some());
        let made = made.json();
        assert_eq!(
            (&made["email"], &made["name"], &made["email_verified"], &made["status"]),
            (&json!("Ada@Example.com"), &json!("Ada"), &json!(true), &json!("active"))
        );
        assert!(made["createdAt"].is_string() && !made.to_string().contains("analytical"), "{made}");
        let id = text(&made, "id");
        assert_eq!(admin.get(&format!("/api/v1/users/{id}")).await.expect(200).json(), made);
        let listed = admin.get("/v1/users").await.expect(200).json();
        assert_eq!(ids(&listed, "users", "id"), [server.owner().user_id.clone(), id]);

        let taken = problem(admin.post_json("/v1/users", &body).await, 409);
        assert_eq!((&taken["code"], &taken["errors"][0]["pointer"]), (&json!("email_taken"), &json!("/email")));
        let form = [("email", "ada@example.com"), ("password", "analytical engine")];
        server.http().post_form("/sign-in", &form).await.expect(303);
        the_log_tells_the_same(server).await;
    }

    async fn a_registration_that_cannot_be_names_its_field(engine: Engine) {
        let server = Server::start(engine).await;
        for (body, field) in [
            (json!({"email": "nobody", "name": "Ada"}), "email"),
            (json!({"email": "ada@example.com", "name": ""}), "name"),
            (json!({"email": "ada@example.com", "name": "Ada", "password": "short"}), "password"),
            (json!({"email": "ada@example.com", "name": "Ada", "shoe_size": 38}), "shoe_size"),
            (json!({"email": "ada@example.com", "name": "Ada", "emailVerified": "yes"}), "emailVerified"),
        ] {
            let refused = problem(server.admin().post_json("/v1/users", &body).await, 400);
            assert_eq!(refused["errors"][0]["pointer"], format!("/{field}"), "{refused}");
        }
        let missing = problem(server.admin().post_json("/v1/users", json!({"name": "Ada"})).await, 400);
        assert!(text(&missing, "detail").contains("email"), "{missing}");
    }

    async fn a_registration_sent_twice_registers_once(engine: Engine) {
        let server = Server::start(engine).await;
        let admin = server.admin().with("idempotency-key", "ada-1");
        let body = json!({"email": "ada@example.com", "name": "Ada", "password": "analytical engine"});
        let first = admin.post_json("/v1/users", &body).await.expect(201).json();
        let again = admin.post_json("/v1/users", &body).await.expect(201).json();
        assert_eq!(first, again);
        let other = json!({"email": "eve@example.com", "name": "Eve"});
        let reused = problem(admin.post_json("/v1/users", &other).await, 422);
        assert_eq!(reused["code"], "idempotency_key_reused");
    }

    async fn an_organizations_key_sees_its_own_people_only(engine: Engine) {
        let server = Server::start(engine).await;
        let (_, umbrella) = another_organization(&server, "Umbrella").await;
        let ada = json!({"email": "ada@example.com", "name": "Ada"});
        let ada = text(&server.admin().post_json("/v1/users", &ada).await.expect(201).json(), "id");
        let refused = problem(umbrella.get(&format!("/v1/users/{ada}")).await, 404);
        assert_eq!(refused["code"], "user_not_found");
        problem(umbrella.get("/v1/users/user_unknown").await, 404);

        let vouched = json!({"email": "eve@example.com", "name": "Eve", "email_verified": true});
        let refused = problem(umbrella.post_json("/v1/users", &vouched).await, 403);
        assert_eq!(refused["errors"][0]["pointer"], "/email_verified");
        let eve = json!({"email": "eve@example.com", "name": "Eve"});
        let eve = umbrella.post_json("/v1/users", &eve).await.expect(201).json();
        assert_eq!(eve["email_verified"], false);
        let eve = text(&eve, "id");
        umbrella.get(&format!("/v1/users/{eve}")).await.expect(200);
        // The operator owns it too, having made it without naming another owner.
        let listed = umbrella.get("/v1/users").await.expect(200).json();
        assert_eq!(ids(&listed, "users", "id"), [server.owner().user_id.clone(), eve]);
        the_log_tells_the_same(server).await;
    }

    async fn a_key_knows_who_made_it(engine: Engine) {
        let server = Server::start(engine).await;
        let me = server.admin().get("/api/v1/users/me").await.expect(200).json();
        assert_eq!((&me["id"], &me["email"]), (&json!(server.owner().user_id), &json!(server.owner().owner.email)));
        let (_, umbrella) = another_organization(&server, "Umbrella").await;
        problem(umbrella.get("/v1/users/me").await, 404);
    }
}
