//! Webhooks from the installation to the receiver, on SQLite.

mod support;

use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::TimeDelta;
use domain::OAuthClient;
use serde_json::Value;
use support::{Answer, Arrived, Instance, Receiver, settings};
use tempfile::TempDir;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// As a receiver verifies it.
async fn is_signed(instance: &Instance, app_id: &domain::AppId, request: &Arrived) -> bool {
    let secret = webhooks::signing_secret(instance.store.vault(), app_id).await.expect("a secret");
    let key = secret.expose_text().and_then(|text| text.strip_prefix("whsec_")).expect("whsec_");
    let key = hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(key).expect("base64"));
    let signed = format!("{}.{}.{}", request.header("webhook-id"), request.header("webhook-timestamp"), request.body);
    format!("v1,{}", STANDARD.encode(hmac::sign(&key, signed.as_bytes()))) == request.header("webhook-signature")
}

#[tokio::test]
async fn an_installation_is_delivered_and_then_its_end() {
    let (folder, receiver) = (folder(), Receiver::start().await);
    let instance = Instance::start(folder.path(), settings()).await;
    let app_id = instance.app(Some(&receiver.url())).await;
    let installed = instance.install(&app_id).await;

    let rows = instance.wait_for(&installed, &["delivered"]).await;
    let [request] = &receiver.arrived()[..] else { panic!("one request: {:?}", receiver.arrived()) };
    let body: Value = serde_json::from_str(&request.body).expect("JSON");
    let secret = body["clientSecret"].as_str().expect("a secret");
    assert!(secret.starts_with("secret_") && secret.len() == 50, "{secret}");
    assert_eq!(
        request.body,
        format!(
            r#"{{"event":"app.installed","organizationId":"{}","clientId":"{}","clientSecret":"{secret}"}}"#,
            installed.organization_id, installed.client_id
        )
    );
    assert_eq!(request.path, "/api/webhooks/optare");
    assert_eq!(request.header("content-type"), "application/json");
    assert_eq!(request.header("webhook-id"), rows[0].delivery_id);
    assert_eq!(request.header("optare-sequence"), rows[0].log_position.to_string());
    assert_eq!(request.header("optare-attempt"), "1");
    assert!(request.header("user-agent").starts_with("Optare-Webhooks/"));
    assert!(is_signed(&instance, &app_id, request).await);

    // The secret authenticates, and exists nowhere any more.
    let client = instance.store.load_fresh::<OAuthClient>(installed.client_id.as_str()).await.expect("it loads");
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, secret.as_bytes());
    let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let client_now = client.state.active().expect("it is active");
    assert!(client_now.secret_matches(&hash.parse().expect("a hash"), instance.store.clock().now()).is_some());
    while instance.secret_of(&installed).await.is_some() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    instance.uninstall(&installed).await;
    instance.wait_for(&installed, &["delivered", "delivered"]).await;
    let arrived = receiver.arrived();
    assert_eq!(arrived.len(), 2);
    assert_eq!(
        arrived[1].body,
        format!(
            r#"{{"event":"app.uninstalled","organizationId":"{}","clientId":"{}"}}"#,
            installed.organization_id, installed.client_id
        )
    );
    assert!(is_signed(&instance, &app_id, &arrived[1]).await);
    let client = instance.store.load_fresh::<OAuthClient>(installed.client_id.as_str()).await.expect("it loads");
    assert!(client.state.active().is_none());
    instance.stop().await;
}

#[tokio::test]
async fn a_receiver_that_fails_twice_gets_the_same_message_again() {
    let (folder, receiver) = (folder(), Receiver::start().await);
    receiver.script([Answer::Status(500), Answer::Status(302)]);
    let instance = Instance::start(folder.path(), settings()).await;
    let app_id = instance.app(Some(&receiver.url())).await;
    let installed = instance.install(&app_id).await;

    let rows = instance.wait_for(&installed, &["delivered"]).await;
    let arrived = receiver.arrived();
    assert_eq!(arrived.len(), 3);
    assert!(arrived.iter().all(|request| request.body == arrived[0].body));
    assert!(arrived.iter().all(|request| request.header("webhook-id") == rows[0].delivery_id));
    let numbers: Vec<&str> = arrived.iter().map(|request| request.header("optare-attempt")).collect();
    assert_eq!(numbers, ["1", "2", "3"]);
    let statuses: Vec<_> = instance.attempts(&rows[0]).await.into_iter().map(|attempt| attempt.status).collect();
    assert_eq!(statuses, [Some(500), Some(302), Some(200)]);
    instance.stop().await;
}

#[tokio::test]
async fn what_was_never_sent_is_cancelled_with_its_end() {
    let (folder, receiver) = (folder(), Receiver::start().await);
    let mut instance = Instance::open(folder.path()).await;
    let app_id = instance.app(Some(&receiver.url())).await;
    let installed = instance.install(&app_id).await;
    instance.uninstall(&installed).await;
    let again = instance.install_for(installed.organization_id.clone(), &app_id).await;

    instance.begin(settings()).await;
    let rows = instance.wait_for(&installed, &["cancelled", "cancelled", "delivered"]).await;
    assert!(rows[0].reason.is_some() && rows[1].reason.is_some());
    let arrived = receiver.arrived();
    assert_eq!(arrived.len(), 1);
    assert!(arrived[0].body.contains(again.client_id.as_str()));
    instance.stop().await;
}

#[tokio::test]
async fn the_end_of_what_may_have_arrived_is_sent_instead_of_it() {
    let (folder, receiver) = (folder(), Receiver::start().await);
    receiver.script([Answer::Status(500)]);
    let slow = webhooks::Settings { retry_steps: vec![Duration::from_secs(3600)], ..settings() };
    let instance = Instance::start(folder.path(), slow).await;
    let app_id = instance.app(Some(&receiver.url())).await;
    let installed = instance.install(&app_id).await;
    let rows = instance.wait_for(&installed, &["retry_wait"]).await;
    assert_eq!(rows[0].reason.as_deref(), Some("attempt 1 failed: the receiver answered 500"));

    instance.uninstall(&installed).await;
    instance.wait_for(&installed, &["superseded", "delivered"]).await;
    let events: Vec<String> = receiver.arrived().into_iter().map(|request| request.body[..22].to_owned()).collect();
    assert_eq!(events, [r#"{"event":"app.installe"#, r#"{"event":"app.uninstal"#]);
    instance.stop().await;
}

#[tokio::test]
async fn a_process_that_ends_while_it_sends_goes_on_at_once_when_it_is_back() {
    let (folder, receiver) = (folder(), Receiver::start().await);
    receiver.script([Answer::Hang]);
    let patient = webhooks::Settings { timeout: Duration::from_secs(600), ..settings() };
    let url = receiver.url();
    let path = folder.path().to_owned();
    let first_life =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("it runs");
    let settings_then = patient.clone();
    let installed = first_life.spawn(async move {
        let instance = Instance::start(&path, settings_then).await;
        let app_id = instance.app(Some(&url)).await;
        let installed = instance.install(&app_id).await;
        std::mem::forget(instance);
        installed
    });
    let installed = installed.await.expect("it is installed");
    receiver.wait_for(1).await;
    first_life.shutdown_background();

    let instance = Instance::start(folder.path(), patient).await;
    let rows = instance.wait_for(&installed, &["delivered"]).await;
    let arrived = receiver.arrived();
    assert_eq!(arrived.len(), 2);
    assert_eq!(arrived[0].body, arrived[1].body);
    assert_eq!(arrived[0].header("webhook-id"), arrived[1].header("webhook-id"));
    let attempts = instance.attempts(&rows[0]).await;
    assert_eq!(attempts[0].failure.as_deref(), Some("unknown"));
    assert_eq!(attempts[1].status, Some(200));
    instance.stop().await;
}

#[tokio::test]
async fn retries_go_on_after_a_restart() {
    let (folder, receiver) = (folder(), Receiver::start().await);
    receiver.script([Answer::Status(500)]);
    let hourly = webhooks::Settings { retry_steps: vec![Duration::from_secs(3600)], ..settings() };
    let instance = Instance::start(folder.path(), hourly.clone()).await;
    let app_id = instance.app(Some(&receiver.url())).await;
    let installed = instance.install(&app_id).await;
    instance.wait_for(&installed, &["retry_wait"]).await;
    instance.stop().await;

    let instance = Instance::start(folder.path(), hourly).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(receiver.arrived().len(), 1);
    instance.advance(TimeDelta::hours(2));
    instance.wait_for(&installed, &["delivered"]).await;
    assert_eq!(receiver.arrived().len(), 2);
    instance.stop().await;
}

#[tokio::test]
async fn tables_that_were_lost_are_filled_again_and_send_nothing_twice() {
    let (folder, receiver) = (folder(), Receiver::start().await);
    let instance = Instance::start(folder.path(), settings()).await;
    let app_id = instance.app(Some(&receiver.url())).await;
    let kept = instance.install(&app_id).await;
    let ended = instance.install(&app_id).await;
    let before = instance.wait_for(&kept, &["delivered"]).await;
    instance.wait_for(&ended, &["delivered"]).await;
    instance.uninstall(&ended).await;
    instance.wait_for(&ended, &["delivered", "delivered"]).await;
    instance.stop().await;
    for file in ["views.sqlite", "views.sqlite-wal", "views.sqlite-shm"] {
        let _ = std::fs::remove_file(folder.path().join(file));
    }

    let instance = Instance::start(folder.path(), settings()).await;
    let after = instance.wait_for(&kept, &["delivered"]).await;
    instance.wait_for(&ended, &["delivered", "delivered"]).await;
    assert_eq!(before[0].delivery_id, after[0].delivery_id);
    let new = instance.install(&app_id).await;
    instance.wait_for(&new, &["delivered"]).await;
    assert_eq!(receiver.arrived().len(), 4);
    instance.stop().await;
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_left_alone_until_the_app_has_a_new_url() {
    let (folder, gone, new) = (folder(), Receiver::start().await, Receiver::start().await);
    gone.script([Answer::Status(410)]);
    let instance = Instance::start(folder.path(), settings()).await;
    let app_id = instance.app(Some(&gone.url())).await;
    let first = instance.install(&app_id).await;
    let rows = instance.wait_for(&first, &["held"]).await;
    assert!(rows[0].reason.as_deref().is_some_and(|reason| reason.contains("410")), "{rows:?}");
    let second = instance.install(&app_id).await;
    instance.wait_for(&second, &["held"]).await;
    assert_eq!(gone.arrived().len(), 1);

    instance.change_url(&app_id, &new.url()).await;
    instance.wait_for(&first, &["delivered"]).await;
    instance.wait_for(&second, &["delivered"]).await;
    assert_eq!((gone.arrived().len(), new.arrived().len()), (1, 2));
    instance.stop().await;
}

#[tokio::test]
async fn a_receiver_that_asks_for_time_gets_it() {
    let (folder, receiver) = (folder(), Receiver::start().await);
    receiver.script([Answer::With { status: 429, header: ("retry-after", "60".to_owned()) }]);
    let instance = Instance::start(folder.path(), settings()).await;
    let app_id = instance.app(Some(&receiver.url())).await;
    let installed = instance.install(&app_id).await;
    instance.wait_for(&installed, &["retry_wait"]).await;
    instance.advance(TimeDelta::seconds(50));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(receiver.arrived().len(), 1);
    instance.advance(TimeDelta::seconds(11));
    instance.wait_for(&installed, &["delivered"]).await;
    instance.stop().await;
}

#[tokio::test]
async fn after_the_horizon_it_is_given_up_and_the_lane_goes_on() {
    let (folder, receiver) = (folder(), Receiver::start().await);
    receiver.script([Answer::Status(500), Answer::Status(500)]);
    let slow = webhooks::Settings { retry_steps: vec![Duration::from_secs(30 * 86_400)], ..settings() };
    let instance = Instance::start(folder.path(), slow).await;
    let app_id = instance.app(Some(&receiver.url())).await;
    let installed = instance.install(&app_id).await;
    instance.wait_for(&installed, &["retry_wait"]).await;
    instance.advance(TimeDelta::days(5) + TimeDelta::minutes(1));
    let rows = instance.wait_for(&installed, &["exhausted"]).await;
    assert_eq!(rows[0].reason.as_deref(), Some("the receiver answered 500"));

    instance.uninstall(&installed).await;
    instance.wait_for(&installed, &["exhausted", "delivered"]).await;
    instance.stop().await;
}

#[tokio::test]
async fn an_echoed_secret_is_masked() {
    let (folder, receiver) = (folder(), Receiver::start().await);
    receiver.script([Answer::Echo]);
    let instance = Instance::start(folder.path(), settings()).await;
    let app_id = instance.app(Some(&receiver.url())).await;
    let installed = instance.install(&app_id).await;
    let rows = instance.wait_for(&installed, &["delivered"]).await;
    let response = instance.attempts(&rows[0]).await.remove(0).response.expect("an answer");
    assert!(response.ends_with(r#""clientSecret":"[secret]"}"#), "{response}");
    instance.stop().await;
}

#[tokio::test]
async fn a_receiver_that_hangs_delays_nobody_else() {
    let (folder, hanging, prompt) = (folder(), Receiver::start().await, Receiver::start().await);
    hanging.script(std::iter::repeat_n(Answer::Hang, 100));
    let narrow = webhooks::Settings { concurrency: 8, timeout: Duration::from_secs(60), ..settings() };
    let instance = Instance::start(folder.path(), narrow).await;
    let (slow_app, quick_app) = (instance.app(Some(&hanging.url())).await, instance.app(Some(&prompt.url())).await);
    for _ in 0..20 {
        instance.install(&slow_app).await;
    }
    hanging.wait_for(4).await;
    for _ in 0..20 {
        let installed = instance.install(&quick_app).await;
        instance.wait_for(&installed, &["delivered"]).await;
    }
    assert_eq!(hanging.arrived().len(), 4);
}

#[tokio::test]
async fn an_app_without_a_url_is_told_nothing() {
    let (folder, receiver) = (folder(), Receiver::start().await);
    let instance = Instance::start(folder.path(), settings()).await;
    let (silent, told) = (instance.app(None).await, instance.app(Some(&receiver.url())).await);
    let unheard = instance.install(&silent).await;
    let heard = instance.install(&told).await;
    instance.wait_for(&heard, &["delivered"]).await;
    assert!(instance.deliveries(&unheard).await.is_empty());
    assert!(instance.secret_of(&unheard).await.is_some());
    instance.stop().await;
}

#[tokio::test]
async fn outside_of_development_nothing_is_sent_to_this_machine() {
    let (folder, receiver) = (folder(), Receiver::start().await);
    let strict =
        webhooks::Settings { allow_private: false, retry_steps: vec![Duration::from_secs(3600)], ..settings() };
    let instance = Instance::start(folder.path(), strict).await;
    let app_id = instance.app(Some(&receiver.url().replace("http:", "https:"))).await;
    let installed = instance.install(&app_id).await;
    let rows = instance.wait_for(&installed, &["retry_wait"]).await;
    assert_eq!(instance.attempts(&rows[0]).await[0].failure.as_deref(), Some("address"));
    assert!(receiver.arrived().is_empty());
    instance.stop().await;
}

#[tokio::test]
async fn without_a_nats_server_webhooks_are_delivered_all_the_same() {
    let (folder, receiver) = (folder(), Receiver::start().await);
    let mut instance = Instance::open(folder.path()).await;
    // Nobody listens on the port of a listener that is gone.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    instance.begin_with_nats(settings(), Some(format!("nats://{nobody}"))).await.expect("webhooks start");
    let app_id = instance.app(Some(&receiver.url())).await;
    let installed = instance.install(&app_id).await;
    instance.wait_for(&installed, &["delivered"]).await;
    instance.stop().await;
}

#[tokio::test]
async fn a_malformed_nats_address_is_refused_with_a_remedy() {
    let folder = folder();
    let mut instance = Instance::open(folder.path()).await;
    let refused = instance.begin_with_nats(settings(), Some("nats://:not a port".to_owned())).await;
    let refused = refused.expect_err("it is refused").to_string();
    assert!(refused.starts_with("NATS_URL is not usable: ") && refused.contains("nats://host:4222"), "{refused}");
}
