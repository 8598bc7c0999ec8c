//! The program at the terminal: each mistake gets one line that says what is wrong and how to mend it.

use std::process::Output;

use support::{Engine, Owner, Server, Setup, Signal, on_both_engines};

fn said(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    assert!(!output.status.success(), "it should have failed: {said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    said
}

on_both_engines! {
    async fn an_instance_is_initialised_once(engine: Engine) {
        let mut server = Server::start(engine).await;
        server.stop().await;
        let setup = server.setup();
        let owner = Owner::default();
        let data = setup.data().display().to_string();
        let again = setup
            .run(["init", "--dev", "--data", &data, "--email", &owner.email, "--name", &owner.name,
                  "--organization", &owner.organization, "--password-stdin"])
            .await;
        assert_eq!(said(&again), "optare: this instance is already initialised");
    }

    async fn it_drains_and_ends_well_on_ctrl_c(engine: Engine) {
        let mut server = Server::start(engine).await;
        server.signal(Signal::Interrupt);
        support::eventually("the server ends", async || (!server.running()).then_some(())).await;
        server.stop().await;
    }
}

#[tokio::test]
async fn mistakes_are_told_in_one_line() {
    let setup = Setup::new(Engine::Sqlite).await;
    let data = setup.data().display().to_string();
    let serve = async |more: &[&str]| {
        let arguments = [&["serve", "--listen", "127.0.0.1:0", "--data", &data], more].concat();
        said(&setup.run(arguments).await)
    };
    let refused = serve(&["--database-url", "postgres://nobody@127.0.0.1:1/none"]).await;
    assert!(refused.contains("127.0.0.1:1/none cannot be reached") && refused.contains("DATABASE_URL"), "{refused}");
    let refused = serve(&["--database-url", "mysql://x"]).await;
    assert!(refused.contains("postgres://"), "{refused}");
    let refused = serve(&["--base-url", "https://id.example/path"]).await;
    assert!(refused.contains("--base-url must be an origin"), "{refused}");
    let refused = serve(&["--master-key", "short"]).await;
    assert!(refused.contains("32 bytes in base64"), "{refused}");
    let refused = serve(&["--webhook-timeout", "0"]).await;
    assert!(refused.contains("--webhook-timeout"), "{refused}");

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let refused = said(&setup.run(["serve", "--data", &data, "--listen", &address]).await);
    assert!(refused.contains("address already in use") && refused.contains("--listen"), "{refused}");

    let usage = setup.run(["serve", "--colour", "blue"]).await;
    assert!(said(&usage).contains("unexpected argument '--colour'") && usage.status.code() == Some(2));
    let usage = setup.run(["serve", "--dta", "x"]).await;
    assert!(said(&usage).contains("--data"), "a similar option is named");
    let usage =
        setup.run(["init", "--email", "nobody", "--name", "N", "--organization", "O", "--password-stdin"]).await;
    assert!(said(&usage).contains("--email") && said(&usage).contains("@"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_is_used_by_one_process_and_never_by_an_older_program() {
    let mut server = Server::start(Engine::Sqlite).await;
    let data = server.setup().data().to_owned();
    let folder = data.display().to_string();
    let serve = ["serve", "--listen", "127.0.0.1:0", "--data", &folder];
    let refused = said(&server.setup().run(serve).await);
    assert!(refused.contains("is in use by another optare"), "{refused}");

    server.stop().await;
    let db = sqlx_lite(&data.join("log.sqlite")).await;
    sqlx::query("INSERT INTO log_migrations SELECT 9999, 'future', installed_on, success, checksum, execution_time FROM log_migrations LIMIT 1")
        .execute(&db)
        .await
        .unwrap();
    db.close().await;
    let refused = said(&server.setup().run(serve).await);
    assert!(refused.contains("newer version of optare"), "{refused}");

    std::fs::write(data.join("log.sqlite"), b"this is no database, and never was one; it only has its name").unwrap();
    for suffix in ["log.sqlite-wal", "log.sqlite-shm"] {
        let _ = std::fs::remove_file(data.join(suffix));
    }
    let refused = said(&server.setup().run(serve).await);
    assert!(refused.contains("cannot be read as a database") && refused.contains("backup"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_master_key_is_refused_at_the_start() {
    let mut server = Server::start(Engine::Sqlite).await;
    server.stop().await;
    let data = server.setup().data().display().to_string();
    let other = [
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--data",
        &data,
        "--master-key",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    ];
    let refused = said(&server.setup().run(other).await);
    assert!(refused.contains("the master key does not open"), "{refused}");
}

async fn sqlx_lite(file: &std::path::Path) -> sqlx::SqlitePool {
    sqlx::SqlitePool::connect_with(sqlx::sqlite::SqliteConnectOptions::new().filename(file)).await.unwrap()
}
