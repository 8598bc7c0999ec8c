//! OAuth clients by the management API (section G).

use serde_json::{Value, json};
use support::steps::{an_app, credentials, install, text, the_log_tells_the_same, webhook};
use support::{Answer, Receiver, Server, on_both_engines};

use crate::management::problem;
use crate::users::another_organization;

const CALLBACK: &str = "https://crm.example/auth/callback";

async fn a_web_client(server: &Server) -> Value {
    let body = json!({"name": "CRM", "type": "web", "redirect_uris": [CALLBACK]});
    server.admin().post_json("/v1/clients", body).await.expect(201).json()
}

/// A token request of this client with a code that nobody issued: right credentials get as far as the code.
async fn ask_for_a_token(server: &Server, client_id: &str, secret: &str) -> Answer {
    let form = [
        ("grant_type", "authorization_code"),
        ("code", "auth_nobody"),
        ("redirect_uri", CALLBACK),
        ("client_id", client_id),
        ("client_secret", secret),
    ];
    server.http().post_form("/oauth/token", &form).await
}

async fn is_let_in(server: &Server, client_id: &str, secret: &str) -> bool {
    let answer = ask_for_a_token(server, client_id, secret).await;
    match answer.json()["error"].as_str() {
        Some("invalid_grant") => answer.expect(400).status == 400,
        Some("invalid_client") => answer.expect(401).status != 401,
        other => panic!("{other:?} is no answer to these credentials: {}", answer.text()),
    }
}

async fn advance(server: &Server, seconds: i64) {
    server.http().post_json("/dev/clock", json!({"advance_seconds": seconds})).await.expect(200);
}

on_both_engines! {
    async fn each_type_gets_the_id_secret_and_scopes_that_fit_it(engine: Engine) {
        let server = Server::start(engine).await;
        for (kind, prefix, has_secret, scopes) in [
            ("web", "client_", true, json!(["openid", "profile", "email", "organization", "offline_access"])),
            ("spa", "client_", false, json!(["openid", "profile", "email", "organization", "offline_access"])),
            ("native", "client_", false, json!(["openid", "profile", "email", "organization", "offline_access"])),
            ("m2m", "srv_", true, json!([])),
        ] {
            let body = json!({"name": "One of four", "type": kind});
            let made = server.admin().post_json("/v1/clients", body).await.expect(201);
            assert!(made.position().is_some() && made.header("etag") == Some("\"1\""));
            let made = made.json();
            assert!(text(&made, "client_id").starts_with(prefix), "{made}");
            assert_eq!(made["client_secret"].as_str().is_some_and(|secret| secret.starts_with("sk_")), has_secret);
            assert_eq!((&made["allowed_scopes"], &made["redirect_uris"]), (&scopes, &json!([])));
            assert_eq!(made["organization_id"], server.owner().organization_id);
        }
        let listed = server.admin().get("/v1/clients").await.expect(200);
        assert_eq!(listed.json()["clients"].as_array().map(Vec::len), Some(4));
        assert!(!listed.text().contains("sk_"), "{}", listed.text());
        the_log_tells_the_same(server).await;
    }

    async fn every_setting_is_kept_in_both_spellings_and_untouched_ones_stay(engine: Engine) {
        let server = Server::start(engine).await;
        let admin = server.admin();
        let settings = json!({
            "name": "CRM", "description": "Customers", "redirect_uris": [CALLBACK],
            "post_logout_redirect_uris": ["https://crm.example/bye"], "allowed_origins": ["https://crm.example"],
            "allowed_scopes": ["openid", "email", "read:products"], "allowed_audiences": ["https://api.crm.example"],
            "token_endpoint_auth_method": "client_secret_basic", "logo_uri": "https://crm.example/logo.png",
            "backchannel_logout_uri": "https://crm.example/logout", "initiate_login_uri": "https://crm.example/login",
            "first_party": true, "require_s256": true, "ignore_unknown_scopes": true,
            "id_token_signed_response_alg": "ES256", "access_token_lifetime": 60, "refresh_token_lifetime": 3600,
            "refresh_token_absolute_lifetime": 86400,
            "jwks": {"keys": [{"kty": "EC", "crv": "P-256", "x": "x", "y": "y"}]},
        });
        let mut body = settings.clone();
        body["type"] = json!("web");
        let made = admin.post_json("/v1/clients", body).await.expect(201).json();
        let path = format!("/v1/clients/{}", text(&made, "client_id"));
        let same = |shown: &Value, changed: &[&str]| {
            for (name, value) in settings.as_object().expect("settings are an object") {
                assert!(changed.contains(&name.as_str()) || shown[name] == *value, "{name} of {shown}");
            }
        };
        same(&made, &[]);
        same(&admin.get(&path).await.expect(200).json(), &[]);
        let change = json!({"accessTokenLifetime": null, "logout_uris": [], "description": "All customers"});
        let changed = admin.patch_json(&path, change).await.expect(200);
        assert!(changed.position().is_some() && changed.header("etag") == Some("\"2\""));
        let shown = admin.get(&path).await.expect(200).json();
        assert_eq!(shown, changed.json());
        same(&shown, &["access_token_lifetime", "post_logout_redirect_uris", "description"]);
        assert_eq!(
            (&shown["access_token_lifetime"], &shown["post_logout_redirect_uris"], &shown["description"]),
            (&json!(null), &json!([]), &json!("All customers"))
        );
        the_log_tells_the_same(server).await;
    }

    async fn what_does_not_fit_is_refused_by_the_name_of_the_field(engine: Engine) {
        let server = Server::start(engine).await;
        let admin = server.admin();
        let client = a_web_client(&server).await;
        let path = format!("/v1/clients/{}", text(&client, "client_id"));
        for (change, pointer) in [
            (json!({"colour": "blue"}), "/colour"),
            (json!({"name": ""}), "/name"),
            (json!({"redirect_uris": ["https://crm.example/cb", "https://crm.example/#part"]}), "/redirect_uris/1"),
            (json!({"redirect_uris": ["http://crm.example/cb"]}), "/redirect_uris/0"),
            (json!({"redirect_uris": ["https://*.crm.example/cb"]}), "/redirect_uris/0"),
            (json!({"redirect_uris": ["com.example.crm:/cb"]}), "/redirect_uris"),
            (json!({"allowedOrigins": ["https://crm.example/path"]}), "/allowedOrigins/0"),
            (json!({"allowed_scopes": ["two words"]}), "/allowed_scopes/0"),
            (json!({"token_endpoint_auth_method": "none"}), "/token_endpoint_auth_method"),
            (json!({"token_endpoint_auth_method": "private_key_jwt"}), "/jwks"),
            (json!({"access_token_lifetime": 86_401}), "/access_token_lifetime"),
            (json!({"access_token_lifetime": -1}), "/access_token_lifetime"),
            (json!({"id_token_signed_response_alg": "none"}), "/id_token_signed_response_alg"),
            (json!({"type": "spa"}), "/type"),
        ] {
            let refused = problem(admin.patch_json(&path, &change).await, 400);
            assert_eq!(refused["errors"][0]["pointer"], pointer, "{change}: {refused}");
        }
        for (body, pointer) in [
            (json!({"name": "x"}), "/type"),
            (json!({"name": "x", "type": "desktop"}), "/type"),
            (json!({"type": "web"}), "/name"),
            (json!({"name": "x", "type": "m2m", "redirect_uris": [CALLBACK]}), "/redirect_uris"),
            (json!({"name": "x", "type": "spa", "token_endpoint_auth_method": "client_secret_post"}),
             "/token_endpoint_auth_method"),
        ] {
            let refused = problem(admin.post_json("/v1/clients", &body).await, 400);
            assert_eq!(refused["errors"][0]["pointer"], pointer, "{body}: {refused}");
        }
        let elsewhere = json!({"name": "x", "type": "web", "organization_id": "org_unknown"});
        let (_, umbrella) = another_organization(&server, "Umbrella").await;
        problem(umbrella.post_json("/v1/clients", elsewhere).await, 404);
        assert_eq!(admin.get("/v1/clients").await.expect(200).json()["clients"].as_array().map(Vec::len), Some(1));
    }

    async fn a_request_sent_twice_makes_one_client_and_shows_its_secret_once(engine: Engine) {
        let server = Server::start(engine).await;
        let admin = server.admin().with("idempotency-key", "crm-1");
        let body = json!({"name": "CRM", "type": "web"});
        let mut first = admin.post_json("/v1/clients", &body).await.expect(201).json();
        let again = admin.post_json("/v1/clients", &body).await.expect(201).json();
        assert!(first.as_object_mut().is_some_and(|first| first.remove("client_secret").is_some()));
        assert_eq!(first, again);
    }

    async fn both_secrets_work_while_they_overlap(engine: Engine) {
        let server = Server::start(engine).await;
        let client = a_web_client(&server).await;
        let (id, old) = (text(&client, "client_id"), text(&client, "client_secret"));
        let path = format!("/v1/clients/{id}");
        assert!(is_let_in(&server, &id, &old).await);
        assert!(!is_let_in(&server, &id, "sk_wrong").await);

        let rotated = server.admin().post_json(&format!("{path}/secrets"), json!({})).await.expect(201).json();
        let new = text(&rotated, "client_secret");
        let shown = server.admin().get(&path).await.expect(200);
        assert!(!shown.text().contains(&old) && !shown.text().contains(&new));
        let secrets = shown.json()["secrets"].clone();
        assert_eq!((&secrets[0]["id"], &secrets[0]["expiresAt"]), (&rotated["secret_id"], &json!(null)));
        assert_eq!(secrets[0]["last_four"], new[new.len() - 4..]);
        assert_eq!(secrets[1]["expiresAt"], rotated["previousExpiresAt"]);
        assert!(is_let_in(&server, &id, &old).await && is_let_in(&server, &id, &new).await);
        advance(&server, 24 * 3600 - 60).await;
        assert!(is_let_in(&server, &id, &old).await, "a minute before the day is over");
        advance(&server, 61).await;
        assert!(!is_let_in(&server, &id, &old).await && is_let_in(&server, &id, &new).await);
        let secrets = server.admin().get(&path).await.expect(200).json()["secrets"].clone();
        assert_eq!(secrets.as_array().map(Vec::len), Some(1));
        the_log_tells_the_same(server).await;
    }

    async fn an_overlap_is_chosen_left_out_or_cut_short(engine: Engine) {
        let server = Server::start(engine).await;
        let admin = server.admin();
        let client = a_web_client(&server).await;
        let (id, first) = (text(&client, "client_id"), text(&client, "client_secret"));
        let secrets = format!("/v1/clients/{id}/secrets");
        let rotate = async |body: Value| admin.post_json(&secrets, body).await.expect(201).json();

        let second = rotate(json!({"overlap_seconds": 100})).await;
        let third = rotate(json!({"overlapSeconds": 100})).await;
        assert!(!is_let_in(&server, &id, &first).await, "a second rotation ends the oldest");
        assert!(is_let_in(&server, &id, &text(&second, "client_secret")).await);
        advance(&server, 101).await;
        assert!(!is_let_in(&server, &id, &text(&second, "client_secret")).await);

        let fourth = rotate(json!({"revoke_previous": true})).await;
        assert!(!is_let_in(&server, &id, &text(&third, "client_secret")).await);
        let fifth = text(&rotate(json!({})).await, "client_secret");
        admin.delete(&format!("{secrets}/{}", text(&fourth, "secret_id"))).await.expect(204);
        assert!(!is_let_in(&server, &id, &text(&fourth, "client_secret")).await, "revoked at once");
        assert!(is_let_in(&server, &id, &fifth).await);
        let unknown = admin.delete(&format!("{secrets}/sec_unknown")).await;
        assert_eq!(problem(unknown, 404)["code"], "secret_not_found");
        let both = admin.post_json(&secrets, json!({"overlap_seconds": 5, "revoke_previous": true})).await;
        assert_eq!(problem(both, 400)["errors"][0]["pointer"], "/overlap_seconds");
        let spa = admin.post_json("/v1/clients", json!({"name": "SPA", "type": "spa"})).await.expect(201).json();
        let none = admin.post_json(&format!("/v1/clients/{}/secrets", text(&spa, "client_id")), json!({})).await;
        assert_eq!(problem(none, 400)["code"], "secret_not_allowed");
        the_log_tells_the_same(server).await;
    }

    async fn a_disabled_client_is_refused_at_once_and_comes_back_at_once(engine: Engine) {
        let server = Server::start(engine).await;
        let client = a_web_client(&server).await;
        let (id, secret) = (text(&client, "client_id"), text(&client, "client_secret"));
        let path = format!("/v1/clients/{id}");
        let request = |method: &str| format!("{path}/{method}");
        let nothing = server.admin().request(reqwest::Method::POST, &request("disable"));
        assert_eq!(server.admin().send(nothing).await.expect(200).json()["status"], "disabled");
        assert!(!is_let_in(&server, &id, &secret).await);
        server.admin().patch_json(&path, json!({"name": "Still here"})).await.expect(200);
        let enabled = server.admin().post_json(&request("enable"), json!({})).await.expect(200).json();
        assert_eq!((&enabled["status"], &enabled["name"]), (&json!("active"), &json!("Still here")));
        assert!(is_let_in(&server, &id, &secret).await);

        server.admin().delete(&path).await.expect(204);
        assert!(!is_let_in(&server, &id, &secret).await);
        assert_eq!(problem(server.admin().get(&path).await, 404)["code"], "client_not_found");
        problem(server.admin().post_json(&request("enable"), json!({})).await, 404);
        assert_eq!(server.admin().get("/v1/clients").await.expect(200).json()["clients"], json!([]));
        the_log_tells_the_same(server).await;
    }

    async fn another_organizations_client_does_not_exist(engine: Engine) {
        let server = Server::start(engine).await;
        let client = a_web_client(&server).await;
        let path = format!("/v1/clients/{}", text(&client, "client_id"));
        let (umbrella_id, umbrella) = another_organization(&server, "Umbrella").await;
        for answer in [
            umbrella.get(&path).await,
            umbrella.patch_json(&path, json!({"name": "Mine"})).await,
            umbrella.delete(&path).await,
            umbrella.post_json(&format!("{path}/secrets"), json!({})).await,
            umbrella.delete(&format!("{path}/secrets/sec_1")).await,
            umbrella.post_json(&format!("{path}/disable"), json!({})).await,
            umbrella.post_json(&format!("{path}/enable"), json!({})).await,
        ] {
            assert_eq!(problem(answer, 404)["code"], "client_not_found");
        }
        assert_eq!(umbrella.get("/v1/clients").await.expect(200).json()["clients"], json!([]));
        let own = server.owner().organization_id.clone();
        problem(umbrella.get(&format!("/v1/clients?organization_id={own}")).await, 404);

        // The operator makes and lists clients of any organization.
        let body = json!({"name": "Theirs", "type": "spa", "organizationId": umbrella_id});
        let theirs = server.admin().post_json("/v1/clients", body).await.expect(201).json();
        let listed = server.admin().get(&format!("/v1/clients?organization_id={umbrella_id}")).await.expect(200).json();
        assert_eq!(listed["clients"][0]["client_id"], theirs["client_id"]);
        umbrella.get(&format!("/v1/clients/{}", text(&theirs, "client_id"))).await.expect(200);
    }

    async fn an_installed_apps_client_is_its_vendors_to_change(engine: Engine) {
        let server = Server::start(engine).await;
        let receiver = Receiver::start().await;
        let app = an_app(&server, &receiver, "crm").await;
        install(&server, &app).await;
        let credentials = credentials(&webhook(&receiver, &app, 1).await);
        let path = format!("/v1/clients/{}", credentials.client_id);
        let admin = server.admin();
        for answer in [
            admin.patch_json(&path, json!({"name": "Mine"})).await,
            admin.delete(&path).await,
            admin.post_json(&format!("{path}/secrets"), json!({})).await,
        ] {
            assert_eq!(problem(answer, 409)["code"], "client_of_an_app");
        }
        admin.post_json(&format!("{path}/disable"), json!({})).await.expect(200);
        assert!(!is_let_in(&server, &credentials.client_id, &credentials.client_secret).await);
        admin.post_json(&format!("{path}/enable"), json!({})).await.expect(200);
        assert!(is_let_in(&server, &credentials.client_id, &credentials.client_secret).await);
    }
}
