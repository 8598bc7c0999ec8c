//! OAuth as the guides describe it: what an app gets, and what it is told when something is wrong.

use serde_json::{Value, json};
use support::{Http, Receiver, Server, on_both_engines};

use support::steps::*;

/// An installed app, its credentials, and a browser in which the owner is signed in.
async fn an_installed_app(server: &Server) -> (Receiver, App, Credentials, Http) {
    let receiver = Receiver::start().await;
    let app = an_app(server, &receiver, "customer-service").await;
    install(server, &app).await;
    let credentials = credentials(&webhook(&receiver, &app, 1).await);
    (receiver, app, credentials, signed_in_owner(server).await)
}

fn error(answer: &Value) -> (&str, &str) {
    (answer["error"].as_str().unwrap_or_default(), answer["error_description"].as_str().unwrap_or_default())
}

on_both_engines! {
    async fn signing_in_on_the_way_loses_no_parameter(engine: Engine) {
        let server = Server::start(engine).await;
        let (_receiver, app, credentials, _) = an_installed_app(&server).await;
        let state = "a b+c&d=ü✓{\"x\":1}";
        let path = authorize(&[
            ("client_id", &credentials.client_id),
            ("redirect_uri", &app.redirect_uri),
            ("response_type", "code"),
            ("scope", SCOPES),
            ("state", state),
            ("nonce", "n-1"),
        ]);
        let browser = server.http();
        let to_sign_in = browser.get(&path).await.expect(303);
        assert!(to_sign_in.location().starts_with("/sign-in?"), "{}", to_sign_in.location());
        let goes_on = to_sign_in.location_parameter("continue").expect("the request is kept");

        let owner = &server.owner().owner;
        let wrong = [("email", owner.email.as_str()), ("password", "not the password"), ("continue", &goes_on)];
        let page = browser.post_form("/sign-in", &wrong).await;
        assert!(page.text().contains("E-mail address or password is wrong"), "{}", page.text());

        let right = [("email", owner.email.as_str()), ("password", owner.password.as_str()), ("continue", &goes_on)];
        let signed_in = goes_on_to(browser.post_form("/sign-in", &right).await);
        let back = browser.get(&signed_in).await.expect(303);
        assert_eq!(back.location_parameter("state").as_deref(), Some(state));
        let code = back.location_parameter("code").expect("the app gets a code");
        let tokens = exchange(&server, &app, &credentials, &code).await.expect(200).json();
        let id_token = claims_of(&text(&tokens, "id_token"));
        assert_eq!((&id_token["nonce"], &id_token["aud"]), (&json!("n-1"), &json!(credentials.client_id)));
        assert_eq!((&id_token["iss"], &id_token["sub"]), (&json!(server.base_url()), &json!(server.owner().user_id)));
        the_log_tells_the_same(server).await;
    }

    async fn the_sign_in_page_does_what_the_app_asks_for(engine: Engine) {
        let server = Server::start(engine).await;
        let (_receiver, app, credentials, _) = an_installed_app(&server).await;
        let hints = "&login_hint=olga%40example.com&ui_locales=fr%20de-AT%20en";
        let browser = server.http().with("accept-language", "en");
        let to_sign_in = browser.get(&format!("{}{hints}", open(&app, &credentials))).await.expect(303);
        let page = browser.get(to_sign_in.location()).await.expect(200);
        let policy = page.header("content-security-policy").expect("every page has a policy").to_owned();
        assert!(policy.contains("form-action 'self';") && !policy.contains("unsafe"), "{policy}");
        let page = page.text();
        assert!(page.contains("<html lang=\"de\">") && page.contains("The customer-service app"), "{page}");
        assert!(page.contains("autocomplete=\"username\" required value=\"olga@example.com\""), "{page}");
        // What the person chooses counts more than what the app says.
        browser.get("/language?to=en").await.expect(303);
        let page = browser.get(to_sign_in.location()).await.expect(200).text();
        assert!(page.contains("<html lang=\"en\">"), "{page}");
        the_log_tells_the_same(server).await;
    }

    async fn each_entry_of_the_guides_troubleshooting_has_its_exact_text(engine: Engine) {
        let server = Server::start(engine).await;
        let (_receiver, app, credentials, browser) = an_installed_app(&server).await;
        let request = |changes: &[(&str, &str)]| {
            let mut parameters = vec![
                ("client_id", credentials.client_id.as_str()),
                ("redirect_uri", app.redirect_uri.as_str()),
                ("response_type", "code"),
                ("scope", SCOPES),
                ("state", "s"),
            ];
            for change in changes {
                parameters.retain(|(name, _)| *name != change.0);
                parameters.push(*change);
            }
            authorize(&parameters)
        };

        let page = browser.get(&request(&[("client_id", "app_unknown")])).await.expect(400).text();
        assert!(page.contains("invalid_client: Client not found"), "{page}");
        for uri in ["https://customer-service.example/auth/callback/", "https://evil.example/auth/callback"] {
            let page = browser.get(&request(&[("redirect_uri", uri)])).await.expect(400).text();
            assert!(page.contains("invalid_request: redirect_uri not registered"), "{page}");
        }
        let back = browser.get(&request(&[("scope", "openid profil")])).await.expect(303);
        assert_eq!(back.location_parameter("error").as_deref(), Some("invalid_scope"));
        assert_eq!(back.location_parameter("error_description").as_deref(), Some("Requested scope not allowed"));
        assert_eq!(back.location_parameter("state").as_deref(), Some("s"));
        let back = browser.get(&request(&[("response_type", "token")])).await.expect(303);
        assert_eq!(back.location_parameter("error").as_deref(), Some("unsupported_response_type"));
        let silent = server.http().get(&request(&[("prompt", "none")])).await.expect(303);
        assert_eq!(silent.location_parameter("error").as_deref(), Some("login_required"));

        let answer = userinfo(&server, "no.such.token").await.expect(401);
        assert_eq!(error(&answer.json()), ("invalid_token", "Access token is invalid or expired"));
        server.http().get("/oauth/userinfo").await.expect(401);

        let back = browser.get(&request(&[])).await.expect(303);
        let code = back.location_parameter("code").expect("the app gets a code");
        server.http().post_json("/dev/clock", json!({"advance_seconds": 301})).await.expect(200);
        let answer = exchange(&server, &app, &credentials, &code).await.expect(400).json();
        assert_eq!(error(&answer), ("invalid_grant", "Authorization code has expired"));
        let wrong = Credentials { client_secret: "secret_wrong".into(), ..credentials.clone() };
        let answer = exchange(&server, &app, &wrong, &code).await.expect(401).json();
        assert_eq!(error(&answer), ("invalid_client", "Client authentication failed"));
        the_log_tells_the_same(server).await;
    }

    async fn a_code_works_once_and_its_second_use_ends_what_came_of_it(engine: Engine) {
        let server = Server::start(engine).await;
        let (_receiver, app, credentials, browser) = an_installed_app(&server).await;
        let back = browser.get(&open(&app, &credentials)).await.expect(303);
        let code = back.location_parameter("code").expect("the app gets a code");
        let tokens = exchange(&server, &app, &credentials, &code).await.expect(200).json();
        userinfo(&server, &text(&tokens, "access_token")).await.expect(200);
        let answer = exchange(&server, &app, &credentials, &code).await.expect(400).json();
        assert_eq!(answer["error"], "invalid_grant");
        userinfo(&server, &text(&tokens, "access_token")).await.expect(401);
        let answer = refresh(&server, &credentials, &text(&tokens, "refresh_token")).await.expect(400).json();
        assert_eq!(answer["error"], "invalid_grant");
        the_log_tells_the_same(server).await;
    }

    async fn a_refresh_token_rotates_and_a_lost_answer_is_forgiven(engine: Engine) {
        let server = Server::start(engine).await;
        let (_receiver, app, credentials, browser) = an_installed_app(&server).await;
        let first = text(&tokens(&server, &browser, &app, &credentials).await, "refresh_token");
        refresh(&server, &credentials, &first).await.expect(200);
        // The answer got lost: the same token is sent again.
        let second = refresh(&server, &credentials, &first).await.expect(200).json();
        let third = refresh(&server, &credentials, &text(&second, "refresh_token")).await.expect(200).json();
        userinfo(&server, &text(&third, "access_token")).await.expect(200);
        // Its successor was used meanwhile: somebody stole one of them.
        refresh(&server, &credentials, &first).await.expect(400);
        refresh(&server, &credentials, &text(&third, "refresh_token")).await.expect(400);
        userinfo(&server, &text(&third, "access_token")).await.expect(401);
        the_log_tells_the_same(server).await;
    }

    async fn the_token_endpoint_takes_forms_and_json_and_basic_but_not_two_at_once(engine: Engine) {
        let server = Server::start(engine).await;
        let (_receiver, app, credentials, browser) = an_installed_app(&server).await;
        let code = async || {
            let back = browser.get(&open(&app, &credentials)).await.expect(303);
            back.location_parameter("code").expect("the app gets a code")
        };
        let (id, secret) = (credentials.client_id.as_str(), credentials.client_secret.as_str());
        let json = json!({
            "grant_type": "authorization_code", "code": code().await, "client_id": id, "client_secret": secret,
            "redirect_uri": app.redirect_uri,
        });
        server.http().post_json("/oauth/token", json).await.expect(200);

        let basic = server.http().basic(id, secret);
        let (first, second) = (code().await, code().await);
        let form = |code| [("grant_type", "authorization_code"), ("code", code), ("redirect_uri", app.redirect_uri.as_str())];
        basic.post_form("/oauth/token", &form(&first)).await.expect(200);
        let both = [form(&second).as_slice(), &[("client_secret", secret)]].concat();
        let answer = basic.post_form("/oauth/token", &both).await.expect(400).json();
        assert_eq!(answer["error"], "invalid_request");
        let answer = server.http().basic(id, "wrong").post_form("/oauth/token", &form(&second)).await.expect(401);
        assert!(answer.header("www-authenticate").is_some_and(|challenge| challenge.starts_with("Basic")));
        the_log_tells_the_same(server).await;
    }

    async fn pkce_binds_a_code_to_who_asked_for_it(engine: Engine) {
        let server = Server::start(engine).await;
        let (_receiver, app, credentials, browser) = an_installed_app(&server).await;
        // RFC 7636 appendix B.
        let (verifier, challenge) =
            ("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
        let path = format!("{}&code_challenge={challenge}&code_challenge_method=S256", open(&app, &credentials));
        let code = async || browser.get(&path).await.expect(303).location_parameter("code").expect("a code");
        let exchange_with = async |code: &str, verifier: Option<&str>| {
            let mut form = vec![
                ("grant_type", "authorization_code"),
                ("code", code),
                ("redirect_uri", &app.redirect_uri),
                ("client_id", &credentials.client_id),
                ("client_secret", &credentials.client_secret),
            ];
            form.extend(verifier.map(|verifier| ("code_verifier", verifier)));
            server.http().post_form("/oauth/token", &form).await
        };
        let first = code().await;
        assert_eq!(exchange_with(&first, None).await.expect(400).json()["error"], "invalid_grant");
        let wrong = "a".repeat(43);
        assert_eq!(exchange_with(&first, Some(&wrong)).await.expect(400).json()["error"], "invalid_grant");
        exchange_with(&first, Some(verifier)).await.expect(200);
        // The guide's own example has 42 characters, which no SHA-256 has (C24).
        let short = format!("{}&code_challenge={}&code_challenge_method=S256", open(&app, &credentials), &challenge[..42]);
        let back = browser.get(&short).await.expect(303);
        assert_eq!(back.location_parameter("error").as_deref(), Some("invalid_request"));
        the_log_tells_the_same(server).await;
    }
}

/// The claims of a JWT, unverified: that a client library accepts it is tested with client libraries.
fn claims_of(token: &str) -> Value {
    use base64::Engine as _;
    let payload = token.split('.').nth(1).expect("a JWT has three parts");
    let bytes = base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(payload).expect("base64url");
    serde_json::from_slice(&bytes).expect("JSON")
}
