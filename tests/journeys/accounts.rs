//! What people do with their own account: registering, a forgotten password, a new one, where they are signed in.

use serde_json::json;
use support::steps::*;
use support::{Http, MailServer, Receiver, Server, Setup, mail_to, mails_to, on_both_engines};
use tokio::io::{AsyncBufReadExt, BufReader};

const ADA: &str = "ada@example.com";
const FIRST: &str = "the first password";
const SECOND: &str = "the second password";

/// Tokens of the owner for an installed app, with the browser that they come from.
struct Connected {
    browser: Http,
    credentials: Credentials,
    access_token: String,
    refresh_token: String,
    _receiver: Receiver,
}

async fn connected(server: &Server) -> Connected {
    let receiver = Receiver::start().await;
    let app = an_app(server, &receiver, "customer-service").await;
    install(server, &app).await;
    let credentials = credentials(&webhook(&receiver, &app, 1).await);
    let browser = signed_in_owner(server).await;
    let tokens = tokens(server, &browser, &app, &credentials).await;
    let (access_token, refresh_token) = (text(&tokens, "access_token"), text(&tokens, "refresh_token"));
    userinfo(server, &access_token).await.expect(200);
    Connected { browser, credentials, access_token, refresh_token, _receiver: receiver }
}

impl Connected {
    async fn has_ended(&self, server: &Server) {
        userinfo(server, &self.access_token).await.expect(401);
        let answer = refresh(server, &self.credentials, &self.refresh_token).await.expect(400).json();
        assert_eq!(answer["error"], "invalid_grant");
    }
}

async fn sign_in(browser: &Http, email: &str, password: &str) -> support::Answer {
    browser.post_form("/sign-in", &[("email", email), ("password", password)]).await
}

#[track_caller]
fn assert_signed_out(answer: support::Answer) {
    assert!(answer.expect(303).location().starts_with("/sign-in"));
}

on_both_engines! {
    async fn whoever_registers_verifies_the_address_and_signs_in(engine: Engine) {
        let server = Setup::new(engine).await.env("OPTARE_REGISTRATION", "open").start().await;
        let browser = server.http();
        browser.get("/register").await.expect(200);
        let form = |password| [("name", "Ada"), ("email", ADA), ("password", password)];
        let page = browser.post_form("/register", &form("short")).await.expect(200).text();
        assert!(page.contains("Choose a password of at least 8 characters"), "{page}");
        let sent = browser.post_form("/register", &form(FIRST)).await.expect(200).text();
        assert!(sent.contains("We have sent a mail to ada@example.com"), "{sent}");

        let mail = mail_to(&server, ADA, 1).await;
        assert!(mail.text.contains("Subject: Confirm your e-mail address"), "{}", mail.text);
        sign_in(&browser, ADA, FIRST).await.expect(303);
        let account = browser.get("/account").await.expect(200).text();
        assert!(account.contains("not confirmed") && account.contains("Ada"), "{account}");
        let page = browser.get("/portal/dashboard").await.expect(200).text();
        assert!(page.contains("No organization yet"), "{page}");

        // A mail program that looks into the link changes nothing.
        let page = browser.get(&mail.link()).await.expect(200).text();
        assert!(page.contains("Yes, confirm it"), "{page}");
        assert!(browser.get("/account").await.text().contains("not confirmed"));
        let token = mail.token();
        let verified = browser.post_form("/verify-email", &[("token", &token)]).await.expect(303);
        assert_eq!(verified.location(), "/sign-in?done=verified");
        let account = browser.get("/account").await.expect(200).text();
        assert!(!account.contains("not confirmed") && account.contains("confirmed"), "{account}");
        browser.post_form("/verify-email", &[("token", &token)]).await.expect(400);
        browser.get(&mail.link()).await.expect(400);

        // Who registers with an address that has an account is told the same, and its owner what happened.
        let again = browser.stranger().post_form("/register", &form(SECOND)).await.expect(200).text();
        assert_eq!(again, sent);
        let mail = mail_to(&server, ADA, 2).await;
        assert!(mail.text.contains("Subject: You already have an account"), "{}", mail.text);
        assert!(sign_in(&browser.stranger(), ADA, SECOND).await.expect(200).text().contains("is wrong"));
        the_log_tells_the_same(server).await;
    }

    async fn nobody_registers_where_the_operator_did_not_open_it(engine: Engine) {
        let server = Server::start(engine).await;
        let page = server.http().get("/register").await.expect(403).text();
        assert!(page.contains("You cannot register here"), "{page}");
        let form = [("name", "Ada"), ("email", ADA), ("password", FIRST)];
        server.http().post_form("/register", &form).await.expect(403);
        assert!(!server.http().get("/sign-in").await.text().contains("/register"));
        assert!(sign_in(&server.http(), ADA, FIRST).await.expect(200).text().contains("is wrong"));
        the_log_tells_the_same(server).await;
    }

    async fn a_forgotten_password_is_set_anew_and_ends_what_the_old_one_began(engine: Engine) {
        let server = Server::start(engine).await;
        let connected = connected(&server).await;
        let owner = &server.owner().owner;
        let stranger = server.http();
        let page = stranger.post_form("/forgot-password", &[("email", &owner.email)]).await.expect(200).text();
        let unknown = stranger.post_form("/forgot-password", &[("email", "nobody@example.com")]).await.expect(200).text();
        assert_eq!(page.replace(&owner.email, "nobody@example.com"), unknown);

        let mail = mail_to(&server, &owner.email, 1).await;
        assert!(mails_to(&server, "nobody@example.com").is_empty());
        let token = mail.token();
        let page = stranger.get(&mail.link()).await.expect(200).text();
        assert!(page.contains("autocomplete=\"new-password\""), "{page}");
        let short = stranger.post_form("/reset-password", &[("token", &token), ("password", "short")]).await.expect(200);
        assert!(short.text().contains("at least 8 characters"));
        userinfo(&server, &connected.access_token).await.expect(200);

        let new = [("token", token.as_str()), ("password", SECOND)];
        let done = stranger.post_form("/reset-password", &new).await.expect(303);
        assert_eq!(done.location(), "/sign-in?done=password-set");
        stranger.post_form("/reset-password", &new).await.expect(400);
        connected.has_ended(&server).await;
        assert_signed_out(connected.browser.get("/portal/dashboard").await);
        assert!(sign_in(&stranger, &owner.email, &owner.password).await.expect(200).text().contains("is wrong"));
        sign_in(&stranger, &owner.email, SECOND).await.expect(303);
        assert!(!stranger.get("/account").await.text().contains("not confirmed"), "the link proved the address");
        let log = server.stdout() + &server.stderr();
        assert!(log.contains("wrote a mail") && !log.contains(&token) && !log.contains(&owner.email), "{log}");
        the_log_tells_the_same(server).await;
    }

    async fn mails_leave_over_smtp_and_a_server_that_is_busy_is_asked_again(engine: Engine) {
        let mails = MailServer::start().await;
        let setup = Setup::new(engine).await.env("OPTARE_MAIL_URL", mails.url());
        let server = setup.env("OPTARE_MAIL_FROM", "Acme ID <id@acme.example>").start().await;
        let email = server.owner().owner.email.clone();
        server.http().post_form("/forgot-password", &[("email", &email)]).await.expect(200);
        let mail = mails.mail(1).await;
        assert!(mail.contains("From: \"Acme ID\" <id@acme.example>\r\nTo: olga@example.com\r\n"), "{mail}");
        let link = mail.lines().find(|line| line.starts_with("http")).expect("the mail has a link");
        let page = server.http().get(link).await.expect(200).text();
        assert!(page.contains("Set a new password"), "{page}");
        the_log_tells_the_same(server).await;
    }

    async fn without_a_mail_server_pages_say_so(engine: Engine) {
        let setup = Setup::new(engine).await;
        let owner = setup.init(&support::Owner::default()).await;
        let data = setup.data().display().to_string();
        // As an operator starts it, without `--dev`.
        let mut command = setup.command(["serve", "--listen", "127.0.0.1:0", "--registration", "open", "--data", &data]);
        let mut child = command.stdout(std::process::Stdio::piped()).spawn().expect("optare serve starts");
        let mut lines = BufReader::new(child.stdout.take().expect("standard output was asked for")).lines();
        let url = loop {
            let line = lines.next_line().await.expect("it writes").expect("it says where it listens");
            if let Some((_, address)) = line.split_once("listening on ") {
                break address.trim().to_owned();
            }
        };
        let http = Http::new(&url);
        for page in ["/register", "/forgot-password"] {
            let page = http.get(page).await.expect(403).text();
            assert!(page.contains("this service has no mail server"), "{page}");
        }
        sign_in(&http, &owner.owner.email, &owner.owner.password).await.expect(303);
        child.kill().await.expect("it ends");
    }

    async fn a_link_in_a_mail_does_not_work_for_ever(engine: Engine) {
        let server = Server::start(engine).await;
        let email = server.owner().owner.email.clone();
        server.http().post_form("/forgot-password", &[("email", &email)]).await.expect(200);
        let mail = mail_to(&server, &email, 1).await;
        server.http().get(&mail.link()).await.expect(200);
        server.http().post_json("/dev/clock", json!({"advance_seconds": 3601})).await.expect(200);
        let token = mail.token();
        let form = [("token", token.as_str()), ("password", SECOND)];
        server.http().post_form("/reset-password", &form).await.expect(400);
        the_log_tells_the_same(server).await;
    }

    async fn a_new_password_ends_every_session_and_token_but_goes_on_here(engine: Engine) {
        let server = Server::start(engine).await;
        let connected = connected(&server).await;
        let owner = &server.owner().owner;
        let elsewhere = signed_in_owner(&server).await;
        let change = |current, new| [("current_password", current), ("password", new)];
        let page = connected.browser.post_form("/account/password", &change("wrong", SECOND)).await.expect(200).text();
        assert!(page.contains("This is not your current password"), "{page}");
        let page = connected.browser.post_form("/account/password", &change(&owner.password, "short")).await.expect(200).text();
        assert!(page.contains("at least 8 characters"), "{page}");
        userinfo(&server, &connected.access_token).await.expect(200);

        let done = connected.browser.post_form("/account/password", &change(&owner.password, SECOND)).await.expect(303);
        let page = connected.browser.get(done.location()).await.expect(200).text();
        assert!(page.contains("Your password is changed"), "{page}");
        connected.has_ended(&server).await;
        assert_signed_out(elsewhere.get("/portal/dashboard").await);
        assert!(sign_in(&elsewhere, &owner.email, &owner.password).await.expect(200).text().contains("is wrong"));
        sign_in(&elsewhere, &owner.email, SECOND).await.expect(303);
        let mail = mail_to(&server, &owner.email, 1).await;
        assert!(mail.text.contains("Subject: Your password was changed"), "{}", mail.text);
        the_log_tells_the_same(server).await;
    }

    async fn sessions_are_listed_and_ended_one_by_one_and_everywhere(engine: Engine) {
        let server = Server::start(engine).await;
        let connected = connected(&server).await;
        let owner = &server.owner().owner;
        let phone = server.http().with("user-agent", "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Safari/604.1");
        sign_in(&phone, &owner.email, &owner.password).await.expect(303);
        let page = connected.browser.get("/account/sessions").await.expect(200).text();
        assert!(page.contains("Safari, iPhone") && page.contains("127.0.0.1") && page.contains("This browser"), "{page}");
        let ids: Vec<&str> = page
            .split("name=\"session_id\" value=\"")
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap_or_default())
            .collect();
        assert_eq!(ids.len(), 2, "{page}");

        // Somebody else's session is not there to be ended.
        let stranger = [("session_id", "session_0198f3a1000070008000000000000001")];
        connected.browser.post_form("/account/sessions", &stranger).await.expect(404);
        // The latest comes first: the phone's.
        let ended = connected.browser.post_form("/account/sessions", &[("session_id", ids[0])]).await.expect(303);
        let page = connected.browser.get(ended.location()).await.expect(200).text();
        assert!(page.contains("The session is ended.") && !page.contains("iPhone"), "{page}");
        assert_signed_out(phone.get("/account").await);
        connected.browser.get("/account").await.expect(200);

        sign_in(&phone, &owner.email, &owner.password).await.expect(303);
        let everywhere = connected.browser.post_form("/account/sessions/end-all", &[]).await.expect(303);
        assert_eq!(everywhere.location(), "/sign-in?done=signed-out-everywhere");
        connected.has_ended(&server).await;
        for browser in [&phone, &connected.browser] {
            assert_signed_out(browser.get("/account").await);
        }
        sign_in(&phone, &owner.email, &owner.password).await.expect(303);
        let page = phone.get("/account/sessions").await.expect(200).text();
        assert_eq!(page.matches("name=\"session_id\"").count(), 1, "{page}");
        the_log_tells_the_same(server).await;
    }

    async fn many_sessions_are_shown_page_by_page(engine: Engine) {
        let server = Server::start(engine).await;
        let browser = signed_in_owner(&server).await;
        for _ in 0..22 {
            signed_in_owner(&server).await;
        }
        let rows = |page: &str| page.matches("name=\"session_id\"").count();
        let page = browser.get("/account/sessions").await.expect(200).text();
        assert_eq!(rows(&page), 20);
        let rest = page.split_once("href=\"/account/sessions?before=").expect("there are more").1;
        let next = rest.split('"').next().unwrap_or_default();
        let page = browser.get(&format!("/account/sessions?before={next}")).await.expect(200).text();
        assert_eq!(rows(&page), 3);
        assert!(page.contains("This browser") && !page.contains("?before="), "the oldest is on the last page");
        the_log_tells_the_same(server).await;
    }

    async fn of_two_who_use_a_link_at_once_only_one_sets_a_password(engine: Engine) {
        let server = Server::start(engine).await;
        let email = server.owner().owner.email.clone();
        server.http().post_form("/forgot-password", &[("email", &email)]).await.expect(200);
        let token = mail_to(&server, &email, 1).await.token();
        let (one, other) = (server.http(), server.http());
        let form = |password| [("token", token.as_str()), ("password", password)];
        let (first, second) = (form(FIRST), form(SECOND));
        let answers = tokio::join!(one.post_form("/reset-password", &first), other.post_form("/reset-password", &second));
        let mut statuses = [answers.0.status.as_u16(), answers.1.status.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [303, 400]);
        the_log_tells_the_same(server).await;
    }

    async fn pages_and_mails_speak_the_language_of_the_browser_or_the_chosen_one(engine: Engine) {
        let server = Server::start(engine).await;
        let email = server.owner().owner.email.clone();
        let browser = server.http().with("accept-language", "de-AT,de;q=0.9,en;q=0.5");
        let page = browser.get("/sign-in").await.expect(200).text();
        assert!(page.contains("<html lang=\"de\">") && page.contains("Passwort vergessen?"), "{page}");
        browser.post_form("/forgot-password", &[("email", &email)]).await.expect(200);
        let mail = mail_to(&server, &email, 1).await;
        assert!(mail.text.contains("innerhalb von 1 Stunde"), "{}", mail.text);
        let chosen = browser.get("/language?to=en&back=/forgot-password").await.expect(303);
        assert_eq!(chosen.location(), "/forgot-password");
        let page = browser.get("/forgot-password").await.expect(200).text();
        assert!(page.contains("<html lang=\"en\">") && page.contains("Forgot your password?"), "{page}");
        let elsewhere = browser.get("/language?to=de&back=https://evil.example/").await.expect(303);
        assert_eq!(elsewhere.location(), "/portal/dashboard");
        the_log_tells_the_same(server).await;
    }
}
