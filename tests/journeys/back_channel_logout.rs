//! Back-channel logout: a client that a user signed in to is told when the session ends, by a token that it can verify.

use serde_json::{Value, json};
use support::jwt::{header_of, verified};
use support::steps::*;
use support::{Behaviour, Http, Receiver, Request, Server, Setup, eventually, on_both_engines, seed};
use url::form_urlencoded;

const PATH: &str = "/backchannel-logout";

/// Two installed apps, one of which wants to hear of logouts, and the receiver of both.
struct Installed {
    receiver: Receiver,
    told: (App, Credentials),
    silent: (App, Credentials),
}

async fn two_apps(server: &mut Server, settings: Value) -> Installed {
    let receiver = Receiver::start().await;
    let mut apps = Vec::new();
    for name in ["told", "silent"] {
        let app = an_app(server, &receiver, name).await;
        install(server, &app).await;
        let credentials = credentials(&webhook(&receiver, &app, 1).await);
        apps.push((app, credentials));
    }
    let silent = apps.pop().expect("two apps");
    let told = apps.pop().expect("two apps");
    let mut all = json!({"backchannel_logout_uri": receiver.url(PATH)});
    all.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    seed::client_settings(server, &told.1.client_id, all).await;
    Installed { receiver, told, silent }
}

/// Signs the owner in to both apps within one session: the ID token of the one that is told.
async fn signed_in_to_both(server: &Server, installed: &Installed) -> (Http, Value) {
    let browser = signed_in_owner(server).await;
    let issued = tokens(server, &browser, &installed.told.0, &installed.told.1).await;
    tokens(server, &browser, &installed.silent.0, &installed.silent.1).await;
    (browser, verified(server, &text(&issued, "id_token")).await)
}

fn logout_token(request: &Request) -> String {
    assert_eq!(request.header("content-type"), Some("application/x-www-form-urlencoded"));
    let mut form = form_urlencoded::parse(&request.body);
    let (name, token) = form.next().expect("the body has a parameter");
    assert!(name == "logout_token" && form.next().is_none());
    token.into_owned()
}

async fn notice(installed: &Installed, n: usize) -> Request {
    eventually(&format!("logout notice {n}"), async || installed.receiver.requests_to(PATH).get(n - 1).cloned()).await
}

/// What the log has of it; it is written after the client's answer.
async fn noted(server: &Server) -> bool {
    server.stderr().contains("told ")
}

on_both_engines! {
    async fn a_client_is_told_that_the_session_ended(engine: Engine) {
        let mut server = Server::start(engine).await;
        let installed = two_apps(&mut server, json!({"id_token_signed_response_alg": "RS256"})).await;
        let (browser, id_token) = signed_in_to_both(&server, &installed).await;
        browser.post_form("/sign-out", &[]).await.expect(303);

        let token = logout_token(&notice(&installed, 1).await);
        let claims = verified(&server, &token).await;
        assert_eq!(header_of(&token).typ.as_deref(), Some("logout+jwt"));
        assert_eq!(serde_json::to_value(header_of(&token).alg).unwrap(), "RS256");
        for same in ["iss", "aud", "sub", "sid"] {
            assert_eq!(claims[same], id_token[same], "{same}");
        }
        assert_eq!(claims["events"], json!({"http://schemas.openid.net/event/backchannel-logout": {}}));
        assert!(claims["jti"].is_string() && claims.get("nonce").is_none(), "{claims}");
        assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 120);
        // Not after a restart either, and the other app never.
        eventually("the log has it", async || noted(&server).await.then_some(())).await;
        server.restart().await;
        let (browser, second) = signed_in_to_both(&server, &installed).await;
        browser.post_form("/sign-out", &[]).await.expect(303);
        let next = verified(&server, &logout_token(&notice(&installed, 2).await)).await;
        assert_eq!(next["sid"], second["sid"]);
        assert_ne!(next["jti"], claims["jti"]);
        assert_eq!(installed.receiver.requests_to(PATH).len(), 2);
        the_log_tells_the_same(server).await;
    }

    async fn a_client_that_was_down_is_told_later_with_the_same_id(engine: Engine) {
        let mut server = Setup::new(engine).await.env("OPTARE_LOGOUT_RETRY", "0.2").env("OPTARE_LOGOUT_TIMEOUT", "1").start().await;
        let installed = two_apps(&mut server, json!({})).await;
        installed.receiver.script(PATH, [Behaviour::status(500), Behaviour::Received]);
        let (browser, _) = signed_in_to_both(&server, &installed).await;
        browser.post_form("/sign-out", &[]).await.expect(303);
        let first = verified(&server, &logout_token(&notice(&installed, 1).await)).await;
        let second = verified(&server, &logout_token(&notice(&installed, 2).await)).await;
        assert_eq!((&first["jti"], &first["sid"]), (&second["jti"], &second["sid"]));

        // Given up after as many attempts as there are waits, and one.
        installed.receiver.behave(PATH, Behaviour::Hang);
        let (browser, _) = signed_in_to_both(&server, &installed).await;
        browser.post_form("/sign-out", &[]).await.expect(303);
        eventually("it is given up", async || server.stderr().contains("gave up telling").then_some(())).await;
        assert_eq!(installed.receiver.requests_to(PATH).len(), 4);
        the_log_tells_the_same(server).await;
    }

    async fn what_was_acknowledged_is_not_sent_again_when_the_tables_are_rebuilt(engine: Engine) {
        let mut server = Server::start(engine).await;
        let installed = two_apps(&mut server, json!({})).await;
        let (browser, _) = signed_in_to_both(&server, &installed).await;
        browser.post_form("/sign-out", &[]).await.expect(303);
        notice(&installed, 1).await;
        eventually("the log has it", async || noted(&server).await.then_some(())).await;
        server.stop().await;
        seed::forget_rows(&server, &["logout_notices", "logout_parties", "logout_endpoints"], "logout_notices@1").await;
        server.restart().await;
        let (browser, second) = signed_in_to_both(&server, &installed).await;
        browser.post_form("/sign-out", &[]).await.expect(303);
        let next = verified(&server, &logout_token(&notice(&installed, 2).await)).await;
        assert_eq!(next["sid"], second["sid"], "the first one is not sent again");
        the_log_tells_the_same(server).await;
    }

    async fn a_new_password_ends_every_session_and_a_client_that_hangs_delays_no_other(engine: Engine) {
        let mut server = Setup::new(engine).await.env("OPTARE_LOGOUT_TIMEOUT", "30").start().await;
        let installed = two_apps(&mut server, json!({})).await;
        let hanging = json!({"backchannel_logout_uri": installed.receiver.url("/hangs")});
        seed::client_settings(&mut server, &installed.silent.1.client_id, hanging).await;
        installed.receiver.behave("/hangs", Behaviour::Hang);
        let mut sessions = Vec::new();
        for _ in 0..6 {
            let (_browser, id_token) = signed_in_to_both(&server, &installed).await;
            sessions.push(text(&id_token, "sid"));
        }
        let user_id = server.owner().user_id.clone();
        seed::new_password(&mut server, &user_id, 2).await;

        let mut told = Vec::new();
        for n in 1..=6 {
            told.push(text(&verified(&server, &logout_token(&notice(&installed, n).await)).await, "sid"));
        }
        told.sort();
        sessions.sort();
        assert_eq!(told, sessions);
        assert!(installed.receiver.requests_to("/hangs").len() <= 4, "it holds no more than its share");
        installed.receiver.behave("/hangs", Behaviour::Received);
        server.kill9().await;
        server.restart().await;
        the_log_tells_the_same(server).await;
    }

    async fn a_deleted_client_is_told_of_its_sessions(engine: Engine) {
        let mut server = Server::start(engine).await;
        let installed = two_apps(&mut server, json!({"id_token_signed_response_alg": "EdDSA"})).await;
        let (_browser, id_token) = signed_in_to_both(&server, &installed).await;
        let path = format!("/v1/organizations/{}/installations", server.owner().organization_id);
        let all = server.admin().get(&path).await.expect(200).json();
        let installation = all["installations"]
            .as_array()
            .and_then(|all| all.iter().find(|each| each["app_id"] == installed.told.0.id.as_str()))
            .unwrap_or_else(|| panic!("no installation in {all}"));
        uninstall(&server, installation).await.expect(204);
        let token = logout_token(&notice(&installed, 1).await);
        assert_eq!(serde_json::to_value(header_of(&token).alg).unwrap(), "EdDSA");
        assert_eq!(verified(&server, &token).await["sid"], id_token["sid"]);
        the_log_tells_the_same(server).await;
    }
}
