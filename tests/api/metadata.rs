//! Discovery, keys and health.

use serde_json::{Value, json};
use support::{Server, on_both_engines};

on_both_engines! {
    async fn discovery_names_every_endpoint_under_the_issuer(engine: Engine) {
        let server = Server::start(engine).await;
        let document = server.http().get("/.well-known/openid-configuration").await.expect(200);
        assert_eq!(document.header("content-type"), Some("application/json"));
        let document = document.json();
        let base = server.base_url();
        assert_eq!(document["issuer"], base);
        for (name, path) in [
            ("authorization_endpoint", "/oauth/authorize"),
            ("token_endpoint", "/oauth/token"),
            ("userinfo_endpoint", "/oauth/userinfo"),
            ("revocation_endpoint", "/oauth/revoke"),
            ("introspection_endpoint", "/oauth/introspect"),
            ("end_session_endpoint", "/oauth/logout"),
            ("jwks_uri", "/.well-known/jwks.json"),
        ] {
            assert_eq!(document[name], format!("{base}{path}"));
        }
        assert_eq!(document["response_types_supported"], json!(["code"]));
        assert_eq!(document["id_token_signing_alg_values_supported"], json!(["RS256", "ES256", "EdDSA"]));
        let same = server.http().get("/.well-known/oauth-authorization-server").await.expect(200).json();
        assert_eq!(same, document);
    }

    async fn keys_are_public_and_stay_the_same_over_a_restart(engine: Engine) {
        let mut server = Server::start(engine).await;
        let before = server.http().get("/.well-known/jwks.json").await.expect(200).json();
        let keys = before["keys"].as_array().expect("keys");
        let algorithms: Vec<&Value> = keys.iter().map(|key| &key["alg"]).collect();
        assert_eq!(algorithms, [&json!("RS256"), &json!("ES256"), &json!("EdDSA")]);
        for private in ["d", "p", "q", "dp", "dq", "qi", "k"] {
            assert!(keys.iter().all(|key| key.get(private).is_none()), "{private} is private");
        }
        server.restart().await;
        assert_eq!(server.http().get("/.well-known/jwks.json").await.expect(200).json(), before);
    }

    async fn a_healthy_node_says_so(engine: Engine) {
        let server = Server::start(engine).await;
        server.http().get("/healthz").await.expect(200);
        let ready = server.http().get("/readyz").await.expect(200).json();
        assert_eq!(ready["ready"], true);
        assert!(ready["read_models"].as_object().is_some_and(|models| models.len() >= 6), "{ready}");
    }
}
