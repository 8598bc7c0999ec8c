//! Guessing passwords: strangers are held off, owners never.

use serde_json::{Value, json};
use support::steps::*;
use support::{Answer, Http, Server, Setup, mail_to, on_both_engines};

async fn sign_in(browser: &Http, server: &Server, password: &str) -> Answer {
    let email = server.owner().owner.email.as_str();
    browser.post_form("/sign-in", &[("email", email), ("password", password)]).await
}

/// Where the log ends.
async fn head(server: &Server) -> Value {
    server.http().get("/readyz").await.expect(200).json()["head"].clone()
}

async fn wait(server: &Server, seconds: u32) {
    server.http().post_json("/dev/clock", json!({"advance_seconds": seconds})).await.expect(200);
}

on_both_engines! {
    async fn strangers_are_held_off_and_the_owner_is_not(engine: Engine) {
        let setup = Setup::new(engine).await.env("OPTARE_SIGN_IN_TRIES", 3).env("OPTARE_SIGN_IN_PAUSE", 60);
        let server = setup.start().await;
        let password = server.owner().owner.password.clone();
        let known = signed_in_owner(&server).await;
        let stranger = server.http();
        for _ in 0..3 {
            assert!(sign_in(&stranger, &server, "a guess").await.expect(200).text().contains("is wrong"));
        }
        // From now on not even the right password is looked at, from whatever browser without a past here.
        let paused = sign_in(&server.http(), &server, &password).await.expect(429);
        assert!(paused.text().contains("Too many failed sign-ins. Try again in"), "{}", paused.text());
        let seconds: i64 = paused.header("retry-after").and_then(|text| text.parse().ok()).expect("Retry-After");
        assert!((1..=60).contains(&seconds), "{seconds}");
        let told = head(&server).await;
        for _ in 0..5 {
            sign_in(&stranger, &server, "a guess").await.expect(429);
        }
        assert_eq!(head(&server).await, told, "a try in a pause is no event");

        sign_in(&known, &server, &password).await.expect(303);
        sign_in(&stranger, &server, &password).await.expect(429);
        wait(&server, 61).await;
        assert!(sign_in(&stranger, &server, "a guess").await.expect(200).text().contains("is wrong"));
        // The pause doubles.
        wait(&server, 61).await;
        sign_in(&stranger, &server, &password).await.expect(429);
        wait(&server, 61).await;
        sign_in(&stranger, &server, &password).await.expect(303);
        // And is forgotten: this browser is known now, and another one has its tries again.
        assert!(sign_in(&server.http(), &server, "a guess").await.expect(200).text().contains("is wrong"));
        the_log_tells_the_same(server).await;
    }

    async fn guesses_at_once_are_counted_like_guesses_one_by_one(engine: Engine) {
        let setup = Setup::new(engine).await.env("OPTARE_SIGN_IN_TRIES", 3).env("OPTARE_SIGN_IN_PAUSE", 600);
        let server = setup.start().await;
        let email = server.owner().owner.email.clone();
        let guesses: Vec<_> = (0..12)
            .map(|number| {
                let (browser, email) = (server.http(), email.clone());
                tokio::spawn(async move {
                    let form = [("email", email.as_str()), ("password", &format!("guess {number}"))];
                    browser.post_form("/sign-in", &form).await.status.as_u16()
                })
            })
            .collect();
        let mut answers = Vec::new();
        for guess in guesses {
            answers.push(guess.await.expect("a guess is answered"));
        }
        answers.sort_unstable();
        assert_eq!(answers, [[200; 3].as_slice(), &[429; 9]].concat());
        the_log_tells_the_same(server).await;
    }

    async fn a_known_browser_is_no_way_around(engine: Engine) {
        let setup = Setup::new(engine).await.env("OPTARE_SIGN_IN_TRIES", 3).env("OPTARE_SIGN_IN_PAUSE", 60);
        let server = setup.start().await;
        let password = server.owner().owner.password.clone();
        let known = signed_in_owner(&server).await;
        for _ in 0..3 {
            sign_in(&known, &server, "a guess").await.expect(200);
        }
        sign_in(&known, &server, &password).await.expect(429);
        // It is counted by itself.
        sign_in(&server.http(), &server, &password).await.expect(303);
        // Who proves otherwise to be the owner need not wait.
        let email = server.owner().owner.email.clone();
        known.post_form("/forgot-password", &[("email", &email)]).await.expect(200);
        let token = mail_to(&server, &email, 1).await.token();
        let new = "another password";
        known.post_form("/reset-password", &[("token", token.as_str()), ("password", new)]).await.expect(303);
        sign_in(&known, &server, new).await.expect(303);
        the_log_tells_the_same(server).await;
    }

    async fn an_owner_with_a_new_browser_gets_in_by_mail_whatever_strangers_do(engine: Engine) {
        let setup = Setup::new(engine).await.env("OPTARE_SIGN_IN_TRIES", 3).env("OPTARE_SIGN_IN_PAUSE", 60);
        let server = setup.start().await;
        let guess = async || {
            for _ in 0..4 {
                sign_in(&server.http(), &server, "a guess").await;
            }
            sign_in(&server.http(), &server, "a guess").await.expect(429);
        };
        guess().await;
        let email = server.owner().owner.email.clone();
        let browser = server.http();
        browser.post_form("/forgot-password", &[("email", &email)]).await.expect(200);
        let token = mail_to(&server, &email, 1).await.token();
        let new = "another password";
        browser.post_form("/reset-password", &[("token", token.as_str()), ("password", new)]).await.expect(303);
        guess().await;
        sign_in(&server.http(), &server, new).await.expect(429);
        sign_in(&browser, &server, new).await.expect(303);
        the_log_tells_the_same(server).await;
    }

    async fn an_address_that_tries_many_accounts_is_held_off(engine: Engine) {
        let setup = Setup::new(engine).await.env("OPTARE_SIGN_IN_ADDRESS_TRIES", 4).env("OPTARE_SIGN_IN_PAUSE", 60);
        let server = setup.env("OPTARE_TRUSTED_PROXIES", 1).start().await;
        let password = server.owner().owner.password.clone();
        let from = |address: &str| server.http().with("x-forwarded-for", address);
        for number in 0..4 {
            let email = format!("nobody-{number}@example.com");
            let form = [("email", email.as_str()), ("password", "a guess")];
            from("192.0.2.1").post_form("/sign-in", &form).await.expect(200);
        }
        // What the caller claims to have come through does not count.
        sign_in(&from("198.51.100.7, 192.0.2.1"), &server, &password).await.expect(429);
        sign_in(&from("192.0.2.2"), &server, &password).await.expect(303);
        wait(&server, 61).await;
        sign_in(&from("192.0.2.1"), &server, &password).await.expect(303);
        the_log_tells_the_same(server).await;
    }
}
