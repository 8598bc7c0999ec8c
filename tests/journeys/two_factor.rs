//! A second factor: set up with an authenticator app, asked for at sign-in, replaced by a recovery code.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use serde_json::json;
use support::steps::*;
use support::{Answer, Http, Server, Setup, on_both_engines};

/// An authenticator app whose clock goes with the server's.
struct Authenticator {
    key: Vec<u8>,
    ahead: u64,
}

impl Authenticator {
    /// Reads the secret off the page.
    fn read(page: &str) -> Self {
        let rest = page.split_once("<code id=\"secret\">").expect("the page shows the secret").1;
        let secret: String = rest.split('<').next().unwrap_or_default().split_whitespace().collect();
        let (mut key, mut bits, mut count) = (Vec::new(), 0_u32, 0);
        for digit in secret.bytes() {
            let value = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".iter().position(|each| *each == digit).expect("base32");
            (bits, count) = (bits << 5 | value as u32, count + 5);
            if count >= 8 {
                count -= 8;
                key.push((bits >> count & 0xff) as u8);
            }
        }
        Self { key, ahead: 0 }
    }

    /// Lets time pass on the server, so that there is a code that was not used.
    async fn wait(&mut self, server: &Server, seconds: u64) {
        server.http().post_json("/dev/clock", json!({"advance_seconds": seconds})).await.expect(200);
        self.ahead += seconds;
    }

    /// The code of now (RFC 6238).
    fn code(&self) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970").as_secs() + self.ahead;
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &self.key);
        let tag = hmac::sign(&key, &(now / 30).to_be_bytes());
        let offset = usize::from(tag.as_ref()[19] & 15);
        let number = u32::from_be_bytes(tag.as_ref()[offset..offset + 4].try_into().expect("four bytes"));
        format!("{:06}", (number & 0x7fff_ffff) % 1_000_000)
    }
}

/// Sets the owner's second factor up; answers the app and the recovery codes.
async fn set_up(server: &Server, browser: &Http) -> (Authenticator, Vec<String>) {
    let password = [("current_password", server.owner().owner.password.as_str())];
    let begun = browser.post_form("/account/two-factor", &password).await.expect(303);
    let page = browser.get(begun.location()).await.expect(200).text();
    assert!(
        page.contains("otpauth://totp/Optare%20ID:olga%40example.com?secret=") && page.contains("<svg class=\"qr\"")
    );
    let app = Authenticator::read(&page);
    let page = browser.post_form("/account/two-factor/set-up", &[("code", "000000x")]).await.expect(200).text();
    assert!(page.contains("This code is wrong"), "{page}");
    let page = browser.post_form("/account/two-factor/set-up", &[("code", &app.code())]).await.expect(200).text();
    let codes: Vec<String> =
        page.split("<li><code>").skip(1).map(|rest| rest.split('<').next().unwrap_or_default().to_owned()).collect();
    assert_eq!(codes.len(), 10, "{page}");
    (app, codes)
}

/// Address and password; what follows is the code.
async fn password(server: &Server, browser: &Http) {
    let owner = &server.owner().owner;
    let form = [("email", owner.email.as_str()), ("password", owner.password.as_str()), ("continue", "/portal/apps")];
    let answer = browser.post_form("/sign-in", &form).await.expect(303);
    assert_eq!(answer.location(), "/sign-in/code?continue=%2Fportal%2Fapps");
    browser.get(answer.location()).await.expect(200);
    assert!(browser.get("/account").await.expect(303).location().starts_with("/sign-in?"), "nobody is signed in yet");
}

async fn code(browser: &Http, code: &str) -> Answer {
    browser.post_form("/sign-in/code", &[("code", code), ("continue", "/portal/apps")]).await
}

on_both_engines! {
    async fn a_second_factor_is_asked_for_and_each_code_counts_once(engine: Engine) {
        let server = Server::start(engine).await;
        let owner = signed_in_owner(&server).await;
        let wrong = owner.post_form("/account/two-factor", &[("current_password", "wrong")]).await.expect(200).text();
        assert!(wrong.contains("This is not your current password"), "{wrong}");
        let (mut app, codes) = set_up(&server, &owner).await;
        assert!(owner.get("/account/two-factor").await.text().contains("Recovery codes left: 10"));

        let browser = server.http();
        password(&server, &browser).await;
        // The code that turned it on is used up.
        assert!(code(&browser, &app.code()).await.expect(200).text().contains("was used before"));
        app.wait(&server, 60).await;
        let now = app.code();
        assert_eq!(code(&browser, &now).await.expect(303).location(), "/portal/apps");
        let sessions = browser.get("/account/sessions").await.expect(200).text();
        assert!(sessions.contains("with a second factor"), "{sessions}");
        // That sign-in is over, and its code too.
        assert!(code(&browser, &now).await.expect(303).location().ends_with("done=over"));
        let other = server.http();
        password(&server, &other).await;
        assert!(code(&other, &now).await.expect(200).text().contains("was used before"));
        let log = server.stdout() + &server.stderr();
        assert!(log.contains("/sign-in/code") && !log.contains(&now) && !log.contains(&codes[0]), "{log}");
        the_log_tells_the_same(server).await;
    }

    async fn of_two_who_use_a_code_at_once_only_one_gets_in(engine: Engine) {
        let server = Server::start(engine).await;
        let owner = signed_in_owner(&server).await;
        let (mut app, codes) = set_up(&server, &owner).await;
        app.wait(&server, 60).await;
        for used in [app.code(), codes[0].clone()] {
            let (one, other) = (server.http(), server.http());
            password(&server, &one).await;
            password(&server, &other).await;
            let answers = tokio::join!(code(&one, &used), code(&other, &used));
            let admitted = [&answers.0, &answers.1].into_iter().filter(|answer| answer.status == 303).count();
            assert_eq!(admitted, 1, "{used}: {} and {}", answers.0.status, answers.1.status);
            // The other one counts as a guess.
            server.http().post_json("/dev/clock", serde_json::json!({"advance_seconds": 60})).await.expect(200);
        }
        the_log_tells_the_same(server).await;
    }

    async fn a_recovery_code_signs_in_once(engine: Engine) {
        let server = Server::start(engine).await;
        let owner = signed_in_owner(&server).await;
        let (_, codes) = set_up(&server, &owner).await;
        let browser = server.http();
        password(&server, &browser).await;
        code(&browser, &codes[3].to_uppercase()).await.expect(303);
        assert!(browser.get("/account/two-factor").await.text().contains("Recovery codes left: 9"));
        let again = server.http();
        password(&server, &again).await;
        assert!(code(&again, &codes[3]).await.expect(200).text().contains("was used before"));
        code(&again, &codes[4]).await.expect(303);

        let current = [("current_password", server.owner().owner.password.as_str())];
        let page = browser.post_form("/account/two-factor/recovery-codes", &current).await.expect(200).text();
        assert_eq!(page.matches("<li><code>").count(), 10, "{page}");
        let last = server.http();
        password(&server, &last).await;
        assert!(code(&last, &codes[5]).await.expect(200).text().contains("was used before"), "they are replaced");
        the_log_tells_the_same(server).await;
    }

    async fn codes_are_not_guessed_and_a_sign_in_does_not_wait_for_ever(engine: Engine) {
        let setup = Setup::new(engine).await.env("OPTARE_SIGN_IN_TRIES", 8).env("OPTARE_SIGN_IN_PAUSE", 60);
        let server = setup.start().await;
        let owner = signed_in_owner(&server).await;
        let (mut app, _) = set_up(&server, &owner).await;
        app.wait(&server, 60).await;
        let browser = server.http();
        password(&server, &browser).await;
        for _ in 0..5 {
            code(&browser, "guess").await.expect(200);
        }
        assert!(code(&browser, &app.code()).await.expect(303).location().ends_with("done=over"), "five are enough");
        password(&server, &browser).await;
        code(&browser, "guess").await.expect(200);
        code(&browser, "guess").await.expect(200);
        let paused = code(&browser, &app.code()).await.expect(429);
        assert!(paused.header("retry-after").is_some(), "{}", paused.text());
        // The browser that the account knows is not held off by those guesses.
        owner.post_form("/sign-out", &[]).await.expect(303);
        password(&server, &owner).await;
        code(&owner, &app.code()).await.expect(303);
        the_log_tells_the_same(server).await;
    }

    async fn a_second_factor_is_turned_off_with_the_password(engine: Engine) {
        let server = Server::start(engine).await;
        let owner = signed_in_owner(&server).await;
        set_up(&server, &owner).await;
        owner.post_form("/account/two-factor/turn-off", &[("current_password", "wrong")]).await.expect(200);
        password(&server, &server.http()).await;
        let current = [("current_password", server.owner().owner.password.as_str())];
        let off = owner.post_form("/account/two-factor/turn-off", &current).await.expect(303);
        let page = owner.get(off.location()).await.expect(200).text();
        assert!(page.contains("Two-factor sign-in is turned off."), "{page}");
        signed_in_owner(&server).await.get("/account").await.expect(200);
        the_log_tells_the_same(server).await;
    }
}
