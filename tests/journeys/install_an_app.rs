//! Installing an app, receiving its webhook, signing in through it, and taking it away again.

use serde_json::json;
use support::{Behaviour, Receiver, Server, on_both_engines};

use support::steps::*;

on_both_engines! {
    async fn an_installed_app_gets_credentials_that_work_until_it_is_uninstalled(engine: Engine) {
        let (server, receiver) = (Server::start(engine).await, Receiver::start().await);
        let app = an_app(&server, &receiver, "customer-service").await;

        let installation = install(&server, &app).await;
        let installed = webhook(&receiver, &app, 1).await;
        let credentials = credentials(&installed);
        assert_eq!(credentials.organization_id, server.owner().organization_id);
        assert_eq!(credentials.client_id, text(&installation, "client_id"));
        assert!(credentials.client_secret.starts_with("secret_"));
        assert!(is_signed(&installed, &app.webhook_secret), "{:?}", installed.headers);

        let browser = signed_in_owner(&server).await;
        let back = browser.get(&open(&app, &credentials)).await.expect(303);
        assert!(back.location().starts_with("https://customer-service.example/auth/callback?"), "{}", back.location());
        assert_eq!(back.location_parameter("state").as_ref(), Some(&credentials.organization_id));
        assert_eq!(back.location_parameter("iss"), Some(server.base_url()));
        let code = back.location_parameter("code").expect("the app gets a code");
        assert!(code.starts_with("auth_"));

        let tokens = exchange(&server, &app, &credentials, &code).await.expect(200);
        assert_eq!(tokens.header("cache-control"), Some("no-store"));
        let tokens = tokens.json();
        assert_eq!((&tokens["token_type"], &tokens["expires_in"]), (&json!("Bearer"), &json!(3600)));
        assert_eq!(tokens["scope"], SCOPES);

        let owner = server.owner();
        let claims = userinfo(&server, &text(&tokens, "access_token")).await.expect(200).json();
        assert_eq!(
            claims,
            json!({
                "sub": owner.user_id, "email": owner.owner.email, "email_verified": true, "name": owner.owner.name,
                "organization_id": owner.organization_id, "organizationId": owner.organization_id,
                "organization_name": owner.owner.organization, "role": "owner",
                "licenses": [], "entitlements": [],
            })
        );

        uninstall(&server, &installation).await.expect(204);
        let refused = userinfo(&server, &text(&tokens, "access_token")).await.expect(401).json();
        assert_eq!(refused["error"], "invalid_token");
        assert_eq!(refused["error_description"], "Access token is invalid or expired");
        let refused = refresh(&server, &credentials, &text(&tokens, "refresh_token")).await.expect(401).json();
        assert_eq!((&refused["error"], &refused["error_description"]), (&json!("invalid_client"), &json!("Client not found")));
        let page = browser.get(&open(&app, &credentials)).await.expect(400).text();
        assert!(page.contains("Invalid Client") && page.contains("invalid_client: Client not found"), "{page}");

        let uninstalled = webhook(&receiver, &app, 2).await;
        assert_eq!(
            uninstalled.json(),
            json!({
                "event": "app.uninstalled", "organizationId": owner.organization_id, "clientId": credentials.client_id,
            })
        );
        assert!(is_signed(&uninstalled, &app.webhook_secret));
        the_log_tells_the_same(server).await;
    }

    async fn installing_again_brings_new_credentials(engine: Engine) {
        let (server, receiver) = (Server::start(engine).await, Receiver::start().await);
        let app = an_app(&server, &receiver, "bot").await;
        let first = install(&server, &app).await;
        let old = credentials(&webhook(&receiver, &app, 1).await);
        uninstall(&server, &first).await.expect(204);
        webhook(&receiver, &app, 2).await;
        install(&server, &app).await;
        let new = credentials(&webhook(&receiver, &app, 3).await);

        assert_ne!(old.client_id, new.client_id);
        assert_ne!(old.client_secret, new.client_secret);
        let browser = signed_in_owner(&server).await;
        tokens(&server, &browser, &app, &new).await;
        assert_in_order(&receiver.requests_to(&app.webhook_path));
        the_log_tells_the_same(server).await;
    }

    async fn asking_twice_installs_once(engine: Engine) {
        let (server, receiver) = (Server::start(engine).await, Receiver::start().await);
        let app = an_app(&server, &receiver, "crm").await;
        let path = format!("/v1/organizations/{}/installations", server.owner().organization_id);
        let admin = server.admin().with("idempotency-key", "click-1");
        let first = admin.post_json(&path, json!({"app_id": app.id})).await.expect(201).json();
        let again = admin.post_json(&path, json!({"app_id": app.id})).await.expect(201).json();
        assert_eq!(first, again, "the same key and body give the same answer");
        let other = server.admin().post_json(&path, json!({"app_id": app.id})).await.expect(200).json();
        assert_eq!(other, first, "an app that is installed stays as it is");
        let refused = admin.post_json(&path, json!({"appId": app.id})).await.expect(422).json();
        assert_eq!(refused["code"], "idempotency_key_reused");

        webhook(&receiver, &app, 1).await;
        uninstall(&server, &first).await.expect(204);
        uninstall(&server, &first).await.expect(404);
        webhook(&receiver, &app, 2).await;
        assert_eq!(receiver.requests_to(&app.webhook_path).len(), 2, "one webhook each");
        the_log_tells_the_same(server).await;
    }

    async fn a_receiver_that_fails_gets_the_same_message_again_and_nothing_overtakes_it(engine: Engine) {
        let receiver = Receiver::start().await;
        let setup = support::Setup::new(engine).await.env("OPTARE_WEBHOOK_RETRY", "0.1").env("OPTARE_WEBHOOK_SWEEP", "0.1");
        let server = setup.start().await;
        let app = an_app(&server, &receiver, "customer-service").await;
        receiver.script(
            &app.webhook_path,
            [Behaviour::status(500), Behaviour::Close, Behaviour::status(404), Behaviour::Received],
        );
        let installation = install(&server, &app).await;
        webhook(&receiver, &app, 4).await;
        uninstall(&server, &installation).await.expect(204);

        let last = webhook(&receiver, &app, 5).await;
        let requests = receiver.requests_to(&app.webhook_path);
        assert_in_order(&requests);
        let ids: Vec<_> = requests.iter().map(|request| request.header("webhook-id")).collect();
        assert!(ids[..4].iter().all(|id| *id == ids[0]), "the install was tried until it was taken: {ids:?}");
        assert_eq!(last.json()["event"], "app.uninstalled");
        assert_eq!(requests[3].header("optare-attempt"), Some("4"));
        the_log_tells_the_same(server).await;
    }

    async fn an_install_that_was_never_taken_is_not_sent_after_its_uninstall(engine: Engine) {
        let receiver = Receiver::start().await;
        let setup = support::Setup::new(engine).await.env("OPTARE_WEBHOOK_RETRY", "0.2").env("OPTARE_WEBHOOK_SWEEP", "0.1");
        let server = setup.start().await;
        let app = an_app(&server, &receiver, "crm").await;
        receiver.behave(&app.webhook_path, Behaviour::status(500));
        let first = install(&server, &app).await;
        webhook(&receiver, &app, 1).await;
        uninstall(&server, &first).await.expect(204);
        let second = install(&server, &app).await;
        receiver.behave(&app.webhook_path, Behaviour::Received);

        let events = support::eventually("the second install is taken", async || {
            let events: Vec<_> = receiver.requests_to(&app.webhook_path).iter().map(support::Request::json).collect();
            events.last().is_some_and(|event| event["clientId"] == second["client_id"]).then_some(events)
        })
        .await;
        let gone = events.iter().position(|event| event["event"] == "app.uninstalled").expect("the uninstall is sent");
        assert!(events[gone..].iter().all(|event| event["event"] != "app.installed" || event["clientId"] != first["client_id"]));
        assert_in_order(&receiver.requests_to(&app.webhook_path));
        the_log_tells_the_same(server).await;
    }

    async fn one_hanging_receiver_delays_nobody_else(engine: Engine) {
        let (server, receiver) = (Server::start(engine).await, Receiver::start().await);
        let hanging = an_app(&server, &receiver, "hanging").await;
        receiver.behave(&hanging.webhook_path, Behaviour::Hang);
        install(&server, &hanging).await;
        webhook(&receiver, &hanging, 1).await;
        for name in ["first", "second", "third"] {
            let app = an_app(&server, &receiver, name).await;
            install(&server, &app).await;
            credentials(&webhook(&receiver, &app, 1).await);
        }
        receiver.behave(&hanging.webhook_path, Behaviour::Close);
        the_log_tells_the_same(server).await;
    }
}
