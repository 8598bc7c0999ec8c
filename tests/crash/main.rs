//! The server is killed at random moments, again and again: nothing that was acknowledged is lost, nothing
//! overtakes, and what comes twice is the same message.

use std::collections::HashSet;
use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use support::steps::{App, an_app, assert_in_order, text, the_log_tells_the_same};
use support::{Answer, Http, Receiver, Server, Setup, eventually, on_both_engines};

/// Installs and uninstalls in all.
const ROUNDS: usize = 50;
/// Lanes that they are spread over.
const APPS: usize = 5;
/// After so many of them the server is killed.
const ROUNDS_PER_KILL: usize = 5;

on_both_engines! {
    async fn no_install_is_lost_when_the_server_is_killed_at_random_moments(engine: Engine) {
        let receiver = Receiver::start().await;
        let setup = Setup::new(engine)
            .await
            .env("OPTARE_WEBHOOK_TIMEOUT", "1")
            .env("OPTARE_WEBHOOK_LEASE_MARGIN", "0.5")
            .env("OPTARE_WEBHOOK_RETRY", "0.1")
            .env("OPTARE_WEBHOOK_SWEEP", "0.1");
        let mut server = setup.start().await;
        let mut apps = Vec::new();
        for n in 0..APPS {
            apps.push((an_app(&server, &receiver, &format!("app-{n}")).await, None::<Value>));
        }
        let mut acknowledged: Vec<Vec<(&str, String)>> = vec![Vec::new(); APPS];
        for round in 0..ROUNDS {
            let lane = round % APPS;
            let (app, installation) = &mut apps[lane];
            let kill = round % ROUNDS_PER_KILL == ROUNDS_PER_KILL - 1;
            match installation.take() {
                None => {
                    let answer = through_a_kill(&mut server, kill, |admin| install(admin, app, round)).await;
                    let installed = answer.expect(201).json();
                    acknowledged[lane].push(("app.installed", text(&installed, "client_id")));
                    *installation = Some(installed);
                }
                Some(installed) => {
                    let answer = through_a_kill(&mut server, kill, |admin| uninstall(admin, &installed)).await;
                    // Gone already, if the first answer was lost.
                    assert!(answer.status == 204 || (kill && answer.status == 404), "{answer:?}");
                    acknowledged[lane].push(("app.uninstalled", text(&installed, "client_id")));
                }
            }
        }
        for (lane, (app, _)) in apps.iter().enumerate() {
            eventually(&format!("all webhooks of lane {lane}"), async || {
                let arrived = first_arrivals(&receiver, app);
                (arrived.last() == acknowledged[lane].last().map(|(event, client)| (event.to_string(), client.clone())).as_ref())
                    .then_some(())
            })
            .await;
            assert_in_order(&receiver.requests_to(&app.webhook_path));
            assert_all_arrived(&first_arrivals(&receiver, app), &acknowledged[lane]);
        }
        the_log_tells_the_same(server).await;
    }
}

/// Event and client of each webhook, the first time that it came.
fn first_arrivals(receiver: &Receiver, app: &App) -> Vec<(String, String)> {
    let mut seen = HashSet::new();
    let requests = receiver.requests_to(&app.webhook_path);
    let first = requests.iter().filter(|request| seen.insert(request.header("webhook-id").map(str::to_owned)));
    first.map(|request| (text(&request.json(), "event"), text(&request.json(), "clientId"))).collect()
}

/// Everything acknowledged arrived in order; only an install and its uninstall may both be missing, when the first
/// was never attempted.
fn assert_all_arrived(arrived: &[(String, String)], acknowledged: &[(&str, String)]) {
    let mut arrived = arrived.iter().peekable();
    for (event, client) in acknowledged {
        let next = arrived.next_if(|(name, id)| name == event && id == client);
        let cancelled = acknowledged.iter().filter(|(_, id)| id == client).count() == 2;
        assert!(next.is_some() || cancelled, "{event} of {client} was lost; next came {:?}", arrived.peek());
    }
    assert_eq!(arrived.next(), None, "nothing came that was not asked for");
}

/// Sends a request; if `kill`, the server is killed somewhere in the middle of it or of what follows from it, and
/// the request is sent again after the restart.
async fn through_a_kill(server: &mut Server, kill: bool, request: impl Fn(Http) -> (Http, RequestBuilder)) -> Answer {
    let (http, first) = request(server.admin());
    if !kill {
        return http.send(first).await;
    }
    let sent = tokio::spawn(async move { http.try_send(first).await });
    tokio::time::sleep(Duration::from_millis(random_below(40))).await;
    server.kill9().await;
    let answered = sent.await.expect("sending does not panic");
    server.restart().await;
    match answered {
        Ok(answer) => answer,
        Err(_) => {
            let (http, again) = request(server.admin());
            http.send(again).await
        }
    }
}

/// The idempotency key makes it safe to send again.
fn install(admin: Http, app: &App, round: usize) -> (Http, RequestBuilder) {
    let admin = admin.with("idempotency-key", &format!("round-{round}"));
    let path = format!("/v1/organizations/{}/installations", app.organization_id);
    let request = admin.request(Method::POST, &path).json(&json!({"app_id": app.id}));
    (admin, request)
}

fn uninstall(admin: Http, installation: &Value) -> (Http, RequestBuilder) {
    let (organization, id) = (text(installation, "organization_id"), text(installation, "id"));
    let request = admin.request(Method::DELETE, &format!("/v1/organizations/{organization}/installations/{id}"));
    (admin, request)
}

fn random_below(bound: u64) -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0) % bound
}
