mod support;
use std::time::{Duration, Instant};
use support::{Instance, Receiver, settings, Answer};

fn nats(store: &str) -> std::process::Child {
    std::process::Command::new("nats-server").args(["-a","127.0.0.1","-p","14399","-js","-sd",store]).stderr(std::process::Stdio::null()).stdout(std::process::Stdio::null()).spawn().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn nats_goes_and_comes() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let s1 = tempfile::tempdir().unwrap();
    let s2 = tempfile::tempdir().unwrap();
    unsafe_env();
    let quiet = webhooks::Settings { sweep: Duration::from_secs(3600), ..settings() };
    let mut server = nats(s1.path().to_str().unwrap());
    tokio::time::sleep(Duration::from_millis(500)).await;
    let a = Instance::start(folder.path(), quiet.clone()).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let app = a.app(Some(&receiver.url())).await;
    let mut t = vec![];
    for _ in 0..20 {
        let b = Instant::now();
        let i = a.install(&app).await;
        let n = receiver.arrived().len() + 1;
        receiver.wait_for(n).await;
        t.push(b.elapsed().as_millis());
        a.wait_for(&i, &["delivered"]).await;
    }
    eprintln!("with nats: {t:?}");
    eprintln!("{}", js("jsz?streams=true&consumers=true"));
    server.kill().unwrap(); server.wait().unwrap();
    let mut t = vec![];
    for _ in 0..5 {
        let b = Instant::now();
        let i = a.install(&app).await;
        a.wait_for(&i, &["delivered"]).await;
        t.push(b.elapsed().as_millis());
    }
    eprintln!("nats killed: {t:?}");
    let mut server = nats(s2.path().to_str().unwrap());
    for round in 0..12 {
        let b = Instant::now();
        let i = a.install(&app).await;
        a.wait_for(&i, &["delivered"]).await;
        eprintln!("nats wiped and back, round {round}: {:?}", b.elapsed());
        tokio::time::sleep(Duration::from_millis(1000)).await;
    }
    server.kill().unwrap();
    a.stop().await;
}
fn unsafe_env() {}
fn js(_: &str) -> String { String::new() }

#[tokio::test(flavor = "multi_thread")]
async fn throughput() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let usual = webhooks::Settings { sweep: Duration::from_secs(1), ..settings() };
    let a = std::sync::Arc::new(Instance::start(folder.path(), usual).await);
    let app = a.app(Some(&receiver.url())).await;
    let mut t = vec![];
    for _ in 0..50 {
        let b = Instant::now();
        let _ = a.install(&app).await;
        let n = receiver.arrived().len() + 1;
        receiver.wait_for(n).await;
        t.push(b.elapsed().as_micros());
    }
    t.sort();
    eprintln!("one by one: p50 {} us p90 {} us max {}", t[25], t[45], t[49]);
    let apps = futures_apps(&a, &receiver, 16).await;
    let b = Instant::now();
    let mut tasks = vec![];
    for w in 0..16 { let (a, app) = (a.clone(), apps[w].clone()); tasks.push(tokio::spawn(async move { for _ in 0..50 { a.install(&app).await; } })); }
    for t in tasks { t.await.unwrap(); }
    eprintln!("800 installed in {:?}", b.elapsed());
    receiver.wait_for(850).await;
    eprintln!("800 delivered in {:?}", b.elapsed());
    let _ = Answer::Hang;
}
async fn futures_apps(a: &Instance, r: &Receiver, n: usize) -> Vec<domain::AppId> { let mut v = vec![]; for _ in 0..n { v.push(a.app(Some(&r.url())).await); } v }
