//! The real binary, started as an operator starts it.

use std::{
    ffi::OsStr,
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Output, Stdio},
    sync::Arc,
    time::Duration,
};

use serde::Deserialize;
use tempfile::TempDir;
use tokio::{io::AsyncWriteExt, process::Command};

use crate::{
    Engine, Http, Nats, Patience, Postgres,
    folders::{self, temporary_folder},
    process::{Process, Signal, User},
    within,
};

/// Variables of the outside that a server may see; everything else would make tests depend on who runs them.
const PASSED_ON: [&str; 5] = ["PATH", "HOME", "RUST_LOG", "RUST_BACKTRACE", "LLVM_PROFILE_FILE"];

const DATABASE: &str = "optare";

/// One node, with the data that it serves.
pub struct Server {
    // Fields are dropped in this order: the server must end before its data goes.
    process: Option<Process>,
    setup: Setup,
    address: SocketAddr,
    logs: TempDir,
    /// Who set this instance up; absent after `Setup::without_owner`.
    owner: Option<Initialised>,
}

/// What a server is started with.
#[derive(Clone)]
pub struct Setup {
    engine: Engine,
    data: Arc<TempDir>,
    postgres: Option<Arc<Postgres>>,
    environment: Vec<(String, String)>,
    arguments: Vec<String>,
    owner: Option<Owner>,
}

/// Whom `optare init` registers.
#[derive(Debug, Clone)]
pub struct Owner {
    pub email: String,
    pub name: String,
    pub organization: String,
    pub password: String,
}

impl Default for Owner {
    fn default() -> Self {
        Self {
            email: "olga@example.com".to_owned(),
            name: "Olga Owner".to_owned(),
            organization: "Acme".to_owned(),
            password: "correct horse battery staple".to_owned(),
        }
    }
}

/// What `optare init` answers.
#[derive(Debug, Clone, Deserialize)]
pub struct Initialised {
    pub organization_id: String,
    pub user_id: String,
    pub api_key: String,
    pub api_secret: String,
    #[serde(skip)]
    pub owner: Owner,
}

impl Setup {
    /// Engine and data, with a PostgreSQL server of its own where one is needed.
    pub async fn new(engine: Engine) -> Self {
        let postgres = match engine {
            Engine::Sqlite => None,
            Engine::Postgres => Some(Postgres::start().await),
        };
        Self::with(engine, postgres).await
    }

    /// The same with a PostgreSQL that the test has started, e.g. a durable one.
    pub async fn on(postgres: Postgres) -> Self {
        Self::with(Engine::Postgres, Some(postgres)).await
    }

    async fn with(engine: Engine, postgres: Option<Postgres>) -> Self {
        let mut environment = Vec::new();
        if let Some(postgres) = &postgres {
            environment.push(("DATABASE_URL".to_owned(), postgres.create_database(DATABASE).await));
        }
        Self {
            engine,
            data: Arc::new(temporary_folder("data")),
            postgres: postgres.map(Arc::new),
            environment,
            arguments: Vec::new(),
            owner: Some(Owner::default()),
        }
    }

    pub fn env(mut self, name: &str, value: impl ToString) -> Self {
        self.environment.push((name.to_owned(), value.to_string()));
        self
    }

    /// Adds an argument to `optare serve`.
    pub fn arg(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    pub fn nats(self, nats: &Nats) -> Self {
        self.env("NATS_URL", nats.url())
    }

    pub fn owner(mut self, owner: Owner) -> Self {
        self.owner = Some(owner);
        self
    }

    /// Leaves the instance empty, as it is before `optare init`.
    pub fn without_owner(mut self) -> Self {
        self.owner = None;
        self
    }

    /// Initialises the instance, unless it is to stay empty, and serves it.
    pub async fn start(self) -> Server {
        let owner = match &self.owner {
            Some(owner) => Some(self.init(owner).await),
            None => None,
        };
        Server::serve(self, owner).await
    }

    /// Runs `optare init` on this data.
    pub async fn init(&self, owner: &Owner) -> Initialised {
        let Owner { email, name, organization, password } = owner;
        let mut command = self.command(["init", "--email", email, "--name", name, "--organization", organization]);
        command.args(["--password-stdin", "--output", "json", "--data"]).arg(self.data());
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run optare init: {error}"));
        let mut stdin = child.stdin.take().expect("standard input was asked for");
        // It may refuse before it reads; then its output below says why.
        let _ = stdin.write_all(password.as_bytes()).await;
        drop(stdin);
        let output = child.wait_with_output().await.unwrap_or_else(|error| panic!("optare init was lost: {error}"));
        assert!(output.status.success(), "optare init failed ({})\n{}", output.status, both(&output));
        let initialised: Initialised = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("optare init answered no such JSON ({error})\n{}", both(&output)));
        Initialised { owner: owner.clone(), ..initialised }
    }

    /// Runs any `optare` command in this environment and waits for its end.
    pub async fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Output {
        self.command(arguments).output().await.unwrap_or_else(|error| panic!("cannot run optare: {error}"))
    }

    /// An `optare` command in this environment, for tests that need its input or output piece by piece.
    pub fn command<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new(optare());
        command.args(arguments).kill_on_drop(true).stdin(Stdio::null()).current_dir(self.data());
        command.env_clear().envs(self.variables());
        command
    }

    pub fn engine(&self) -> Engine {
        self.engine
    }

    pub fn data(&self) -> &Path {
        self.data.path()
    }

    pub fn postgres(&self) -> Option<&Postgres> {
        self.postgres.as_deref()
    }

    pub fn database_url(&self) -> Option<String> {
        Some(self.postgres()?.url(DATABASE))
    }

    fn variables(&self) -> impl Iterator<Item = (String, String)> {
        passed_on().chain(self.environment.iter().cloned())
    }
}

impl Server {
    /// An initialised instance on data of its own.
    pub async fn start(engine: Engine) -> Self {
        Setup::new(engine).await.start().await
    }

    async fn serve(setup: Setup, owner: Option<Initialised>) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut server = Self { process: None, setup, address, logs: temporary_folder("logs"), owner };
        server.begin().await;
        server
    }

    /// One more node on the same database, with a data folder of its own that holds the same master key.
    pub async fn another_node(&self) -> Self {
        assert!(self.setup.engine == Engine::Postgres, "only instances on PostgreSQL have more than one node");
        let data = temporary_folder("data");
        let key = self.setup.data().join("master.key");
        if key.exists() {
            fs::copy(&key, data.path().join("master.key"))
                .expect("a file can be copied from one folder of ours to another");
        }
        Self::serve(Setup { data: Arc::new(data), ..self.setup.clone() }, self.owner.clone()).await
    }

    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A client without credentials.
    pub fn http(&self) -> Http {
        Http::new(&self.base_url())
    }

    /// A program with the API key that `optare init` made.
    pub fn admin(&self) -> Http {
        let owner = self.owner();
        self.http().api_key(&owner.api_key, &owner.api_secret)
    }

    #[track_caller]
    pub fn owner(&self) -> &Initialised {
        self.owner.as_ref().expect("a test that asks for the owner lets the instance have one")
    }

    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// What the current process has written so far.
    pub fn stdout(&self) -> String {
        self.process.as_ref().map(Process::stdout).unwrap_or_default()
    }

    pub fn stderr(&self) -> String {
        self.process.as_ref().map(Process::stderr).unwrap_or_default()
    }

    /// Sends a signal and does not wait, e.g. `Signal::Stop` for a node that hangs.
    pub fn signal(&mut self, signal: Signal) {
        if let Some(process) = &mut self.process {
            process.signal(signal);
        }
    }

    pub fn running(&mut self) -> bool {
        self.process.as_mut().is_some_and(Process::running)
    }

    /// Ends the process as a power cut does: nothing is said, nothing is flushed.
    pub async fn kill9(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.end(Signal::Kill, Duration::from_secs(10)).await;
        }
    }

    /// Asks the server to end and expects that it does so in good order.
    pub async fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            match process.end(Signal::Terminate, Duration::from_secs(30)).await {
                Some(status) => assert!(status.success(), "optare serve ended with {status}\n{}", process.output()),
                None => panic!("optare serve did not end within 30 seconds of SIGTERM\n{}", process.output()),
            }
        }
    }

    /// Serves the same data on the same port again; stops first what still runs.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.begin().await;
    }

    /// The same with other settings, e.g. `server.restart_with(|setup| setup.env(…))`.
    pub async fn restart_with(&mut self, change: impl FnOnce(Setup) -> Setup) {
        self.stop().await;
        self.setup = change(self.setup.clone());
        self.begin().await;
    }

    async fn begin(&mut self) {
        let program = optare();
        let patience = Patience::of(Duration::from_secs(10));
        let mut process = loop {
            let mut process =
                Process::start("optare", &program, User::Same, self.logs.path(), Signal::Kill, |command| {
                    command
                        .args(["serve", "--dev", "--listen", &self.address.to_string(), "--data"])
                        .arg(self.setup.data());
                    command.args(&self.setup.arguments).current_dir(self.setup.data());
                    command.env_clear().envs(self.setup.variables());
                });
            let listening = within(Duration::from_secs(60), || {
                let line = process.stdout().lines().find_map(address_in);
                if line.is_none() && !process.running() { Some(None) } else { line.map(Some) }
            })
            .await;
            match listening {
                Some(Some(address)) => {
                    self.address = address;
                    break process;
                }
                // Between two processes of ours another one may use the port for a moment.
                Some(None) if in_use(&process.stderr()) && patience.is_left().await => {}
                Some(None) => panic!("optare serve ended before it listened\n{}", process.output()),
                None => panic!("optare serve did not listen within 60 seconds\n{}", process.output()),
            }
        };

        let http = self.http();
        let patience = Patience::of(Duration::from_secs(60));
        loop {
            let answer = http.try_send(http.request(reqwest::Method::GET, "/readyz")).await;
            if answer.is_ok_and(|answer| answer.status == 200) {
                break;
            }
            assert!(process.running() && patience.is_left().await, "optare serve is not ready\n{}", process.output());
        }
        self.process = Some(process);
    }
}

pub(crate) fn passed_on() -> impl Iterator<Item = (String, String)> {
    PASSED_ON.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)))
}

/// The binary under test.
pub fn optare() -> PathBuf {
    let path = std::env::var_os("OPTARE_BIN").map_or_else(|| folders::binaries().join("optare"), PathBuf::from);
    assert!(path.exists(), "{} is missing: run `cargo build` first", path.display());
    path
}

fn address_in(line: &str) -> Option<SocketAddr> {
    line.split_once("listening on http://")?.1.trim().parse().ok()
}

pub(crate) fn in_use(log: &str) -> bool {
    log.to_lowercase().contains("address already in use") || log.to_lowercase().contains("address in use")
}

fn both(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
