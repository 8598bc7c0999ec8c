//! Rotating the signing keys while people are signed in: nobody notices, unless a key was compromised.

use serde_json::{Value, json};
use support::jwt::{kid_of, published_kids, verified};
use support::steps::*;
use support::{Engine, Http, Receiver, Server, Setup, eventually, on_both_engines};

/// An installed app and a browser in which the owner is signed in.
async fn an_installed_app(server: &Server) -> (Receiver, App, Credentials, Http) {
    let receiver = Receiver::start().await;
    let app = an_app(server, &receiver, "customer-service").await;
    install(server, &app).await;
    let credentials = credentials(&webhook(&receiver, &app, 1).await);
    (receiver, app, credentials, signed_in_owner(server).await)
}

async fn advance(server: &Server, seconds: u32) {
    server.http().post_json("/dev/clock", json!({"advance_seconds": seconds})).await.expect(200);
}

fn states(keys: &Value, state: &str) -> usize {
    keys["keys"].as_array().expect("a list of keys").iter().filter(|key| key["state"] == state).count()
}

fn kids_of(tokens: &Value) -> [String; 2] {
    ["id_token", "access_token"].map(|name| kid_of(&text(tokens, name)))
}

on_both_engines! {
    async fn a_rotation_overlaps(engine: Engine) {
        let server = Setup::new(engine).await.env("OPTARE_KEY_RETENTION", 3600).start().await;
        let (_receiver, app, credentials, browser) = an_installed_app(&server).await;
        let first = tokens(&server, &browser, &app, &credentials).await;
        let old_kids = published_kids(&server).await;
        assert_eq!(old_kids.len(), 3);

        let rotated = server.admin().post_json("/v1/keys/rotate", json!({})).await.expect(200).json();
        assert_eq!((states(&rotated, "upcoming"), states(&rotated, "signing")), (3, 3));
        assert_eq!(published_kids(&server).await.len(), 6, "the new keys are published at once");
        let second = tokens(&server, &browser, &app, &credentials).await;
        assert_eq!(kids_of(&second), kids_of(&first), "and sign when verifiers know them");

        advance(&server, 901).await;
        let third = tokens(&server, &browser, &app, &credentials).await;
        assert!(kids_of(&third).iter().all(|kid| !old_kids.contains(kid)));
        for issued in [&first, &third] {
            userinfo(&server, &text(issued, "access_token")).await.expect(200);
            assert_eq!(verified(&server, &text(issued, "id_token")).await["sub"], json!(server.owner().user_id));
        }
        let again = refresh(&server, &credentials, &text(&first, "refresh_token")).await.expect(200).json();
        userinfo(&server, &text(&again, "access_token")).await.expect(200);

        advance(&server, 3600).await;
        let kids = published_kids(&server).await;
        assert_eq!((kids.len(), kids.iter().filter(|kid| old_kids.contains(kid)).count()), (3, 0));
        userinfo(&server, &text(&first, "access_token")).await.expect(401);
        let listed = server.admin().get("/v1/keys").await.expect(200).json();
        assert_eq!((states(&listed, "signing"), states(&listed, "retired")), (3, 3));
        the_log_tells_the_same(server).await;
    }

    async fn what_a_compromised_key_signed_is_refused_at_once(engine: Engine) {
        let mut server = Server::start(engine).await;
        let (_receiver, app, credentials, browser) = an_installed_app(&server).await;
        let issued = tokens(&server, &browser, &app, &credentials).await;
        let [id_kid, access_kid] = kids_of(&issued);
        let request = json!({"algorithm": "ES256", "revoke": true});
        let rotate = server.admin().with("idempotency-key", "once");
        let first = rotate.post_json("/v1/keys/rotate", &request).await.expect(200).json();
        assert_eq!(rotate.post_json("/v1/keys/rotate", &request).await.expect(200).json()["added"], first["added"]);

        userinfo(&server, &text(&issued, "access_token")).await.expect(401);
        let kids = published_kids(&server).await;
        assert!(kids.len() == 3 && kids.contains(&id_kid) && !kids.contains(&access_kid));
        let again = refresh(&server, &credentials, &text(&issued, "refresh_token")).await.expect(200).json();
        userinfo(&server, &text(&again, "access_token")).await.expect(200);

        server.restart().await;
        userinfo(&server, &text(&issued, "access_token")).await.expect(401);
        userinfo(&server, &text(&again, "access_token")).await.expect(200);
        the_log_tells_the_same(server).await;
    }

    async fn only_the_operator_looks_after_the_keys(engine: Engine) {
        let server = Server::start(engine).await;
        server.http().get("/v1/keys").await.expect(401);
        server.http().post_json("/v1/keys/rotate", json!({})).await.expect(401);
        let answer = server.admin().post_json("/v1/keys/rotate", json!({"algorithm": "none"})).await.expect(400).json();
        assert!(answer["detail"].as_str().unwrap().contains("must be one of RS256, ES256, EdDSA"), "{answer}");
        let listed = server.admin().get("/v1/keys").await.expect(200).text();
        assert!(!listed.contains("public_key") && !listed.contains("\"d\""), "{listed}");
        the_log_tells_the_same(server).await;
    }

    async fn the_command_line_rotates_on_the_instance_or_through_its_server(engine: Engine) {
        let mut server = Server::start(engine).await;
        let data = server.setup().data().display().to_string();
        let before = published_kids(&server).await;

        let (api_key, api_secret) = (server.owner().api_key.clone(), server.owner().api_secret.clone());
        let mut command = server.setup().command(["keys", "rotate", "--algorithm", "ES256", "--now", "--url"]);
        command.arg(server.base_url()).env("OPTARE_API_KEY", api_key).env("OPTARE_API_SECRET", api_secret);
        let output = command.output().await.expect("optare runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(published_kids(&server).await.len(), 4);

        let here = ["keys", "rotate", "--revoke", "--output", "json", "--data", &data];
        if engine == Engine::Sqlite {
            let refused = server.setup().run(here).await;
            let said = String::from_utf8_lossy(&refused.stderr).into_owned();
            assert!(!refused.status.success() && said.contains("--url"), "{said}");
            server.stop().await;
        }
        let output = server.setup().run(here).await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let printed: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!((states(&printed, "signing"), states(&printed, "revoked")), (3, 4));
        if engine == Engine::Sqlite {
            server.restart().await;
        }
        eventually("the running server knows the new keys", async || {
            let kids = published_kids(&server).await;
            (kids.len() == 3 && kids.iter().all(|kid| !before.contains(kid))).then_some(())
        })
        .await;
        the_log_tells_the_same(server).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_node_signs_with_the_new_key() {
    let first = Setup::new(Engine::Postgres).await.env("OPTARE_BASE_URL", "http://id.example").start().await;
    let second = first.another_node().await;
    let (_receiver, app, credentials, _) = an_installed_app(&first).await;
    let browsers = [signed_in_owner(&first).await, signed_in_owner(&second).await];
    assert_eq!(published_kids(&first).await, published_kids(&second).await, "nodes have the same keys");
    let issued = tokens(&first, &browsers[0], &app, &credentials).await;

    first.admin().post_json("/v1/keys/rotate", json!({"now": true})).await.expect(200);
    let new = kids_of(&tokens(&first, &browsers[0], &app, &credentials).await);
    assert_ne!(new, kids_of(&issued));
    eventually("the other node signs with the new key", async || {
        (kids_of(&tokens(&second, &browsers[1], &app, &credentials).await) == new).then_some(())
    })
    .await;
    userinfo(&second, &text(&issued, "access_token")).await.expect(200);
    drop(second);
    the_log_tells_the_same(first).await;
}
