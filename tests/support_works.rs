//! What tests rely on: servers start, come back and go; the receiver behaves as it is told.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use support::{Behaviour, Engine, Http, Nats, Node, Postgres, Receiver, eventually, on_both_engines, temporary_folder};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::timeout,
};

#[tokio::test]
async fn postgres_answers_and_two_servers_do_not_meet() {
    let (one, other) = tokio::join!(Postgres::start(), Postgres::start());
    assert_ne!(one.url("postgres"), other.url("postgres"));

    one.create_database("here").await;
    let answer: i32 = sqlx::query_scalar("SELECT 1").fetch_one(&mut one.connect("here").await).await.unwrap();
    assert_eq!(answer, 1);

    let found: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = 'here')")
        .fetch_one(&mut other.connect("postgres").await)
        .await
        .unwrap();
    assert!(!found, "what one server was told must not reach the other");
}

#[tokio::test]
async fn postgres_keeps_what_it_committed_when_it_is_killed() {
    let mut postgres = Postgres::start().await;
    let url = postgres.url("postgres");
    sqlx::raw_sql("CREATE TABLE kept (n INT); INSERT INTO kept VALUES (7)")
        .execute(&mut postgres.connect("postgres").await)
        .await
        .unwrap();

    postgres.kill().await;
    postgres.restart().await;

    assert_eq!(postgres.url("postgres"), url);
    let kept: i32 =
        sqlx::query_scalar("SELECT n FROM kept").fetch_one(&mut postgres.connect("postgres").await).await.unwrap();
    assert_eq!(kept, 7);
}

#[tokio::test]
async fn a_durable_postgres_waits_for_the_disk() {
    let postgres = Postgres::durable().await;
    let setting: String =
        sqlx::query_scalar("SHOW fsync").fetch_one(&mut postgres.connect("postgres").await).await.unwrap();
    assert_eq!(setting, "on");
}

#[tokio::test]
async fn nothing_of_a_server_is_left_behind() {
    let postgres = Postgres::start().await;
    let query = "SELECT current_setting('data_directory'), pg_postmaster_pid FROM (SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1)::int AS pg_postmaster_pid) AS file";
    let (folder, process): (String, i32) =
        sqlx::query_as(query).fetch_one(&mut postgres.connect("postgres").await).await.unwrap();
    assert!(Path::new(&folder).exists() && Path::new(&format!("/proc/{process}")).exists());

    drop(postgres);

    assert!(!Path::new(&folder).exists(), "{folder} is left");
    assert!(!Path::new(&format!("/proc/{process}")).exists(), "process {process} is left");
}

#[tokio::test]
async fn nats_greets_and_comes_back_on_its_port() {
    let mut nats = Nats::start().await;
    let port = nats.port();
    assert!(nats_info(port).await.contains(r#""jetstream":true"#));

    nats.stop().await;
    assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err(), "a stopped server must not answer");
    nats.restart().await;
    assert_eq!(nats.port(), port);
    nats_info(port).await;
}

#[tokio::test]
async fn nats_remembers_a_stream_until_it_is_wiped() {
    let mut nats = Nats::start().await;
    assert!(
        jetstream(&nats, "STREAM.CREATE.orders", r#"{"name":"orders","subjects":["orders"]}"#)
            .await
            .contains(r#""created""#)
    );

    nats.restart().await;
    assert!(jetstream(&nats, "STREAM.INFO.orders", "").await.contains(r#""created""#));

    nats.wipe().await;
    assert!(jetstream(&nats, "STREAM.INFO.orders", "").await.contains("stream not found"));
}

#[tokio::test]
async fn a_receiver_records_what_arrives() {
    let receiver = Receiver::start().await;
    let answer = client()
        .post(receiver.url("/hook?tenant=acme"))
        .header("webhook-id", "msg_1")
        .body("{ \"a\":1 }")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.text().await.unwrap(), r#"{"received": true}"#);

    let requests = receiver.wait_for(1).await;
    assert_eq!(requests[0].path, "/hook");
    assert_eq!(requests[0].query.as_deref(), Some("tenant=acme"));
    assert_eq!(requests[0].header("webhook-id"), Some("msg_1"));
    assert_eq!(requests[0].body, "{ \"a\":1 }", "the bytes as they came, for signatures");
    assert_eq!(requests[0].json()["a"], 1);
}

#[tokio::test]
async fn a_receiver_follows_its_script_and_stays_with_the_last_line() {
    let receiver = Receiver::start().await;
    receiver.script("/hook", [Behaviour::status(500), Behaviour::retry_after(429, 7), Behaviour::Received]);

    let mut answers = Vec::new();
    for _ in 0..4 {
        let answer = client().post(receiver.url("/hook")).send().await.unwrap();
        answers.push((answer.status().as_u16(), answer.headers().get("retry-after").is_some()));
    }
    assert_eq!(answers, [(500, false), (429, true), (200, false), (200, false)]);
    assert_eq!(client().post(receiver.url("/other")).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_receiver_can_be_a_bad_one() {
    let receiver = Receiver::start().await;
    let brief = Duration::from_millis(300);

    receiver.behave("/close", Behaviour::Close);
    let error = client().post(receiver.url("/close")).send().await.unwrap_err();
    assert!(!error.is_connect() && !error.is_timeout(), "{error:?}");

    receiver.behave("/hang", Behaviour::Hang);
    assert!(timeout(brief, client().post(receiver.url("/hang")).send()).await.is_err());

    receiver.behave("/drip", Behaviour::Drip);
    let answer = client().post(receiver.url("/drip")).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(timeout(brief, answer.bytes()).await.is_err(), "the body must have no end");

    receiver.behave("/late", Behaviour::Late(brief));
    let start = Instant::now();
    client().post(receiver.url("/late")).send().await.unwrap();
    assert!(start.elapsed() >= brief);
    assert_eq!(receiver.requests().len(), 4);
}

#[tokio::test]
async fn a_receiver_knows_what_it_has_not_answered_yet() {
    let receiver = Receiver::start().await;
    receiver.behave("/hook", Behaviour::Hang);
    let first = tokio::spawn(client().post(receiver.url("/hook")).send());
    receiver.wait_for(1).await;
    let second = tokio::spawn(client().post(receiver.url("/hook")).send());
    assert_eq!(receiver.wait_for(2).await[1].others_waiting, 1);

    first.abort();
    second.abort();
    receiver.behave("/hook", Behaviour::Received);
    eventually("who hung up waits no more", async || {
        client().post(receiver.url("/hook")).send().await.unwrap();
        (receiver.requests().last().unwrap().others_waiting == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_receiver_that_is_down_refuses_until_it_is_back() {
    let mut receiver = Receiver::start().await;
    let url = receiver.url("/hook");
    receiver.stop().await;
    assert!(client().post(&url).send().await.unwrap_err().is_connect());
    receiver.restart().await;
    assert_eq!(client().post(&url).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_client_keeps_cookies_and_shows_redirects() {
    let receiver = Receiver::start().await;
    let headers = [("set-cookie", "session=abc; Path=/; HttpOnly"), ("location", "/callback?code=auth_1&state=s%20t")];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    receiver.behave("/authorize", Behaviour::Answer { status: 302, headers, body: String::new() });
    let http = Http::new(&receiver.url("/"));

    let answer = http.get("/authorize").await.expect(302);
    assert_eq!(answer.location_parameter("code").as_deref(), Some("auth_1"));
    assert_eq!(answer.location_parameter("state").as_deref(), Some("s t"));

    http.api_key("key_1", "sk_1").post_form("/form", &[("a", "1 2"), ("b", "&")]).await.expect(200);
    http.basic("app_1", "secret").delete("/thing").await;
    http.stranger().get("/nobody").await;

    let seen = receiver.requests();
    assert_eq!(seen[1].header("cookie"), Some("session=abc"));
    assert_eq!(seen[1].header("authorization"), Some("Bearer key_1"));
    assert_eq!(seen[1].header("x-api-secret"), Some("sk_1"));
    assert_eq!(seen[1].body, "a=1+2&b=%26");
    assert_eq!(seen[2].header("authorization"), Some("Basic YXBwXzE6c2VjcmV0"));
    assert_eq!(seen[3].header("cookie"), None);
}

#[tokio::test]
async fn a_node_script_gets_its_environment_and_fails_loudly() {
    let folder = temporary_folder("script");
    let script = folder.path().join("greet.mjs");
    fs::write(&script, "console.log(`hello ${process.env.NAME}`); if (process.env.NAME === 'nobody') process.exit(3)")
        .unwrap();
    let script = script.to_str().unwrap().to_owned();

    assert_eq!(Node::run(&script, &[("NAME", "Ada")]).await, "hello Ada\n");

    let failed = tokio::spawn(async move { Node::run(&script, &[("NAME", "nobody")]).await }).await.unwrap_err();
    let message = failed.into_panic().downcast::<String>().unwrap();
    assert!(message.contains("exit status: 3"), "{message}");
}

on_both_engines! {
    async fn a_body_runs_once_for_each_engine(engine: Engine) {
        let name = std::thread::current().name().unwrap_or_default().to_owned();
        let expected = if engine == Engine::Sqlite { "sqlite" } else { "postgres" };
        assert!(name.ends_with(expected), "{name} was given {engine:?}");
    }
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

async fn nats_info(port: u16) -> String {
    let mut line = String::new();
    BufReader::new(TcpStream::connect(("127.0.0.1", port)).await.unwrap()).read_line(&mut line).await.unwrap();
    assert!(line.starts_with("INFO {"), "{line}");
    line
}

/// Asks JetStream over the bare protocol, so that the harness needs no client of its own.
async fn jetstream(nats: &Nats, subject: &str, body: &str) -> String {
    let mut lines = BufReader::new(TcpStream::connect(("127.0.0.1", nats.port())).await.unwrap());
    let length = body.len();
    let ask = format!(
        "CONNECT {{\"verbose\":false}}\r\nSUB answers 1\r\nPUB $JS.API.{subject} answers {length}\r\n{body}\r\n"
    );
    lines.write_all(ask.as_bytes()).await.unwrap();
    let mut line = String::new();
    while !line.starts_with('{') {
        line.clear();
        timeout(Duration::from_secs(10), lines.read_line(&mut line)).await.expect("JetStream answers").unwrap();
    }
    line
}
