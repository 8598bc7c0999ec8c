//! A PostgreSQL server of a test's own, on a free port, with a data folder that goes with it.

use std::{
    fs::{self, File, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Output,
    time::Duration,
};

use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection, postgres::PgConnectOptions};
use tempfile::TempDir;
use tokio::process::Command;

use crate::{
    Patience, folders,
    process::{Process, Signal, User, free_port},
};

pub struct Postgres {
    // Fields are dropped in this order: the server must end before its folder goes.
    process: Option<Process>,
    folder: TempDir,
    installation: Installation,
    port: u16,
    durable: bool,
}

impl Postgres {
    /// A server that does not wait for the disk: what it committed survives its own death, not the machine's.
    pub async fn start() -> Self {
        Self::with(false).await
    }

    /// A server as production has it, `fsync` included.
    pub async fn durable() -> Self {
        Self::with(true).await
    }

    async fn with(durable: bool) -> Self {
        let installation = Installation::find();
        let template = installation.template().await;
        let folder = folders::temporary_folder_in(&installation.data, "postgres");
        allow_others_in(folder.path());
        run(Command::new("cp").arg("-a").arg(&template).arg(folder.path().join("data"))).await;

        let mut server = Self { process: None, folder, installation, port: 0, durable };
        for _ in 0..5 {
            server.port = free_port();
            if server.begin().await {
                return server;
            }
        }
        panic!("found no free port for PostgreSQL in five tries")
    }

    /// A connection string for `database`; `postgres` is there from the start.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// Makes a database and answers its connection string.
    pub async fn create_database(&self, name: &str) -> String {
        let statement = format!("CREATE DATABASE \"{}\"", name.replace('"', "\"\""));
        let mut connection = self.connect("postgres").await;
        connection
            .execute(AssertSqlSafe(statement))
            .await
            .unwrap_or_else(|error| panic!("cannot create the database {name}: {error}"));
        self.url(name)
    }

    pub async fn connect(&self, database: &str) -> PgConnection {
        let url = self.url(database);
        PgConnection::connect(&url).await.unwrap_or_else(|error| panic!("cannot connect to {url}: {error}"))
    }

    /// Ends connections and server at once, as a crash does.
    pub async fn kill(&mut self) {
        // SIGKILL would leave shared memory behind; to clients SIGQUIT looks the same.
        self.end(Signal::Quit).await;
    }

    /// Ends the server in good order.
    pub async fn stop(&mut self) {
        self.end(Signal::Interrupt).await;
    }

    /// Starts the server again on the same port and data after `kill` or `stop`.
    pub async fn restart(&mut self) {
        self.stop().await;
        assert!(self.begin().await, "port {} was taken while PostgreSQL was down", self.port);
    }

    async fn end(&mut self, signal: Signal) {
        if let Some(mut process) = self.process.take() {
            let ended = process.end(signal, Duration::from_secs(20)).await;
            assert!(ended.is_some(), "PostgreSQL did not end\n{}", process.output());
        }
    }

    /// Answers false if the port was taken.
    async fn begin(&mut self) -> bool {
        let data = self.folder.path().join("data");
        let wait_for_disk = if self.durable { "on" } else { "off" };
        let (port, user) = (self.port, self.installation.user());
        let mut process = Process::start(
            "postgres",
            &self.installation.bin.join("postgres"),
            user,
            self.folder.path(),
            Signal::Quit,
            |command| {
                command.arg("-D").arg(&data).env("TZ", "UTC").args([
                    "-c",
                    "listen_addresses=127.0.0.1",
                    "-c",
                    &format!("port={port}"),
                    // A socket's path has at most 107 bytes, which a deep clone exceeds; TCP does for all.
                    "-c",
                    "unix_socket_directories=",
                    "-c",
                    "max_connections=300",
                    "-c",
                    "shared_buffers=32MB",
                    "-c",
                    &format!("fsync={wait_for_disk}"),
                    "-c",
                    &format!("full_page_writes={wait_for_disk}"),
                ]);
            },
        );

        let options: PgConnectOptions = self.url("postgres").parse().expect("our own URL is well formed");
        let patience = Patience::of(Duration::from_secs(30));
        loop {
            let connection = tokio::time::timeout(Duration::from_secs(2), options.connect()).await;
            // Asked after connecting: if another server has taken the port, it answers, and ours has ended.
            if !process.running() && process.stderr().contains("could not bind") {
                return false;
            }
            assert!(process.running() && patience.is_left().await, "PostgreSQL is not ready\n{}", process.output());
            if let Ok(Ok(connection)) = connection {
                let _ = connection.close().await;
                self.process = Some(process);
                return true;
            }
        }
    }
}

/// Debian's binaries, and where a server of theirs may keep data.
struct Installation {
    bin: PathBuf,
    major: u32,
    data: PathBuf,
    /// PostgreSQL refuses to run as root.
    as_root: bool,
}

impl Installation {
    fn find() -> Self {
        let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let newest = versions
            .filter_map(|entry| Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path().join("bin"))))
            .filter(|(_, bin)| bin.join("initdb").exists() && bin.join("postgres").exists())
            .max();
        let Some((major, bin)) = newest else {
            panic!("PostgreSQL's server is missing: install the Debian package postgresql")
        };
        let as_root = rustix::process::geteuid().is_root();
        let target = folders::temporary();
        let data = if as_root && !others_reach(target) { std::env::temp_dir() } else { target.to_owned() };
        Self { bin, major, data, as_root }
    }

    fn user(&self) -> User {
        if self.as_root { User::Other("postgres") } else { User::Same }
    }

    /// A data folder to copy, since `initdb` takes seconds. It is made once and kept.
    async fn template(&self) -> PathBuf {
        let owner = if self.as_root { "root" } else { "user" };
        let folder = self.data.join(format!("optare-template-postgres-{}-{owner}", self.major));
        let data = folder.join("data");
        let made = folder.join("made");
        fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("cannot make {}: {error}", folder.display()));

        let lock = File::create(folder.join("lock")).expect("a lock file can be made in a folder of ours");
        let lock =
            tokio::task::spawn_blocking(move || lock.lock().map(|()| lock)).await.expect("locking does not panic");
        let _held = lock.unwrap_or_else(|error| panic!("cannot lock {}: {error}", folder.display()));

        if !made.exists() {
            let _ = fs::remove_dir_all(&data);
            fs::create_dir(&data).unwrap_or_else(|error| panic!("cannot make {}: {error}", data.display()));
            allow_others_in(&folder);
            let mut initdb = if self.as_root {
                run(Command::new("chown").arg("postgres:postgres").arg(&data)).await;
                let mut command = Command::new("setpriv");
                command
                    .args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"])
                    .arg(self.bin.join("initdb"));
                command
            } else {
                Command::new(self.bin.join("initdb"))
            };
            initdb.args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]);
            run(initdb.arg("-D").arg(&data)).await;
            fs::write(made, "").expect("a file can be made in a folder of ours");
        }
        data
    }
}

async fn run(command: &mut Command) -> Output {
    let shown = format!("{:?}", command.as_std());
    let output =
        command.kill_on_drop(true).output().await.unwrap_or_else(|error| panic!("cannot run {shown}: {error}"));
    assert!(output.status.success(), "{shown} failed: {}", String::from_utf8_lossy(&output.stderr));
    output
}

fn allow_others_in(folder: &Path) {
    fs::set_permissions(folder, Permissions::from_mode(0o755)).expect("the mode of a folder of ours can be changed");
}

/// Whether the user `postgres` gets to `folder`, e.g. not below root's home.
fn others_reach(folder: &Path) -> bool {
    folder.ancestors().all(|folder| fs::metadata(folder).is_ok_and(|found| found.permissions().mode() & 0o001 != 0))
}
