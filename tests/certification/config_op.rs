//! Config OP.

use serde_json::Value;
use support::{Server, on_both_engines};

on_both_engines! {
    async fn discovery_endpoint_verification(engine: Engine) {
        let server = Server::start(engine).await;
        let answer = server.http().get("/.well-known/openid-configuration").await.expect(200);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        let document = answer.json();
        assert_eq!(document["issuer"], server.base_url());

        let list = |name: &str| -> Vec<&str> {
            let list = document[name].as_array().unwrap_or_else(|| panic!("{name} is a list in {document}"));
            list.iter().map(|each| each.as_str().unwrap_or_else(|| panic!("{name} lists texts"))).collect()
        };
        assert_eq!(list("response_types_supported"), ["code"]);
        assert_eq!(list("response_modes_supported"), ["query", "form_post"]);
        assert_eq!(list("grant_types_supported"), ["authorization_code", "refresh_token", "client_credentials"]);
        assert_eq!(list("subject_types_supported"), ["public"]);
        assert!(list("id_token_signing_alg_values_supported").contains(&"RS256"));
        assert!(!list("id_token_signing_alg_values_supported").contains(&"none"));
        for method in ["client_secret_post", "client_secret_basic", "private_key_jwt", "none"] {
            assert!(list("token_endpoint_auth_methods_supported").contains(&method), "{method}");
        }
        assert!(list("claims_supported").contains(&"sub"));
        assert_eq!(list("code_challenge_methods_supported"), ["S256", "plain"]);
        assert_eq!(list("ui_locales_supported"), ["en", "de"]);
        let standard =
            ["openid", "profile", "email", "offline_access", "organization", "organization:read", "organization:write"];
        assert_eq!(list("scopes_supported"), standard);
        for flag in ["request_parameter_supported", "request_uri_parameter_supported"] {
            assert_eq!(document[flag], false, "{flag}");
        }
        for flag in [
            "claims_parameter_supported",
            "authorization_response_iss_parameter_supported",
            "backchannel_logout_supported",
            "backchannel_logout_session_supported",
        ] {
            assert_eq!(document[flag], true, "{flag}");
        }

        // Every endpoint is there, and none answers with a fault of the server.
        let endpoints = document.as_object().expect("the document is an object").iter();
        for (name, address) in endpoints.filter(|(name, _)| name.ends_with("_endpoint") || *name == "jwks_uri") {
            let address = address.as_str().unwrap_or_else(|| panic!("{name} is an address"));
            assert!(address.starts_with(&format!("{}/", server.base_url())), "{name}");
            let status = server.http().get(address).await.status;
            assert!(status.as_u16() != 404 && !status.is_server_error(), "{name} answered {status}");
        }

        let keys = server.http().get(document["jwks_uri"].as_str().expect("checked above")).await.expect(200);
        let keys = keys.json();
        let keys = keys["keys"].as_array().expect("a JWK Set has keys");
        assert!(keys.iter().any(|key| key["kty"] == "RSA"), "RS256 needs an RSA key");
        for key in keys {
            assert!(key["kid"].is_string() && key["use"] == "sig" && key["alg"].is_string(), "{key}");
            let private = ["d", "p", "q", "dp", "dq", "qi", "k"];
            assert!(private.iter().all(|member| key.get(*member).is_none_or(Value::is_null)), "{key}");
        }
    }
}
