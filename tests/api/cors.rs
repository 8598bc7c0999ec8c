//! Scripts in browsers: those from origins that a client lists may call the token endpoint, and no others (R103).

use reqwest::Method;
use serde_json::json;
use support::steps::{text, the_log_tells_the_same};
use support::{Answer, Server, on_both_engines};

const ORIGIN: &str = "https://spa.example";

async fn preflight(server: &Server, path: &str, origin: &str) -> Answer {
    let http = server.http().with("origin", origin).with("access-control-request-method", "POST");
    http.send(http.request(Method::OPTIONS, path)).await
}

fn allowed(answer: &Answer) -> Option<&str> {
    assert_eq!(answer.header("access-control-allow-credentials"), None);
    answer.header("access-control-allow-origin")
}

on_both_engines! {
    async fn only_origins_that_a_client_lists_get_an_answer_they_can_read(engine: Engine) {
        let server = Server::start(engine).await;
        let admin = server.admin();
        assert_eq!(allowed(&preflight(&server, "/oauth/token", ORIGIN).await), None);
        let body = json!({"name": "SPA", "type": "spa", "allowed_origins": [ORIGIN, "http://localhost:3000"]});
        let client = admin.post_json("/v1/clients", body).await.expect(201).json();
        let path = format!("/v1/clients/{}", text(&client, "client_id"));

        for endpoint in ["/oauth/token", "/oauth/userinfo"] {
            let asked = preflight(&server, endpoint, ORIGIN).await.expect(204);
            assert_eq!(allowed(&asked), Some(ORIGIN));
            assert!(asked.header("access-control-allow-methods").is_some_and(|methods| methods.contains("POST")));
            assert!(asked.header("access-control-allow-headers").is_some_and(|names| names.contains("authorization")));
            assert!(asked.header("vary").is_some_and(|vary| vary.contains("origin")));
            for stranger in ["https://spa.example:8443", "http://spa.example", "https://evil.example", "null"] {
                assert_eq!(allowed(&preflight(&server, endpoint, stranger).await), None, "{stranger}");
            }
        }
        let form = [("grant_type", "authorization_code"), ("client_id", text(&client, "client_id").as_str())].map(
            |(name, value)| (name.to_owned(), value.to_owned()));
        let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let answer = server.http().with("origin", ORIGIN).post_form("/oauth/token", &form).await.expect(400);
        assert_eq!(allowed(&answer), Some(ORIGIN));
        let answer = server.http().with("origin", "https://evil.example").post_form("/oauth/token", &form).await;
        assert_eq!(allowed(&answer), None);
        assert!(answer.header("vary").is_some_and(|vary| vary.contains("origin")), "caches must tell them apart");
        let answer = server.http().post_form("/oauth/token", &form).await.expect(400);
        assert_eq!(allowed(&answer), None);

        admin.post_json(&format!("{path}/disable"), json!({})).await.expect(200);
        assert_eq!(allowed(&preflight(&server, "/oauth/token", ORIGIN).await), None, "a disabled client allows none");
        admin.post_json(&format!("{path}/enable"), json!({})).await.expect(200);
        assert_eq!(allowed(&preflight(&server, "/oauth/token", ORIGIN).await), Some(ORIGIN));
        admin.patch_json(&path, json!({"allowed_origins": ["http://localhost:3000"]})).await.expect(200);
        assert_eq!(allowed(&preflight(&server, "/oauth/token", ORIGIN).await), None);
        assert_eq!(
            allowed(&preflight(&server, "/oauth/token", "http://localhost:3000").await),
            Some("http://localhost:3000")
        );
        admin.delete(&path).await.expect(204);
        assert_eq!(allowed(&preflight(&server, "/oauth/token", "http://localhost:3000").await), None);
        the_log_tells_the_same(server).await;
    }

    async fn what_is_open_to_all_stays_so_and_the_rest_is_for_no_script(engine: Engine) {
        let server = Server::start(engine).await;
        let body = json!({"name": "SPA", "type": "spa", "allowed_origins": [ORIGIN]});
        server.admin().post_json("/v1/clients", body).await.expect(201);
        let browser = server.http().with("origin", ORIGIN);
        for path in ["/.well-known/openid-configuration", "/.well-known/jwks.json"] {
            assert_eq!(allowed(&browser.get(path).await.expect(200)), Some("*"));
        }
        for path in ["/v1/users", "/oauth/introspect", "/oauth/authorize", "/sign-in"] {
            assert_eq!(allowed(&preflight(&server, path, ORIGIN).await), None, "{path}");
            assert_eq!(allowed(&browser.get(path).await), None, "{path}");
        }
    }
}
