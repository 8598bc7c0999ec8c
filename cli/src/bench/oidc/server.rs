//! The servers that are measured: processes of their own, so that their memory is theirs alone.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use axum::Router;
use axum::routing::get;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

use crate::bench::measure::Failure;

pub const EMAIL: &str = "bench@example.com";
pub const PASSWORD: &str = "correct horse battery staple";

/// Which program, with which data.
#[derive(Debug, Clone)]
pub struct Place {
    pub program: PathBuf,
    pub data: PathBuf,
    pub database_url: Option<String>,
}

/// What `optare init` answers.
#[derive(Debug, Clone, Deserialize)]
pub struct Initialised {
    pub organization_id: String,
    pub api_key: String,
    pub api_secret: String,
}

/// A running server.
pub struct Server {
    child: Child,
    /// Host and port.
    pub address: String,
}

impl Place {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).env_clear().kill_on_drop(true).stdin(Stdio::null()).stderr(Stdio::piped());
        command.env("OPTARE_LOG", "warn").stdout(Stdio::piped());
        command
    }

    fn with_data(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(arguments);
        command.arg("--data").arg(&self.data);
        if let Some(url) = &self.database_url {
            command.env("DATABASE_URL", url);
        }
        command
    }

    /// Sets a new instance up.
    pub async fn init(&self) -> Result<Initialised, Failure> {
        let init = ["init", "--email", EMAIL, "--name", "Bench", "--organization", "Bench"];
        let mut command = self.with_data(&init);
        command.args(["--password-stdin", "--output", "json"]).stdin(Stdio::piped());
        let mut child = command.spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(PASSWORD.as_bytes()).await?;
        }
        let output = child.wait_with_output().await?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// Serves it. `--dev` lets webhooks go to the driver.
    pub async fn serve(&self) -> Result<Server, Failure> {
        Server::started(self.with_data(&["serve", "--dev", "--listen", "127.0.0.1:0"])).await
    }

    /// Serves nothing but one handler.
    pub async fn serve_bare(&self) -> Result<Server, Failure> {
        Server::started(self.command(&["bench", "bare-server"])).await
    }
}

impl Server {
    async fn started(mut command: Command) -> Result<Self, Failure> {
        let mut child = command.stderr(Stdio::inherit()).spawn()?;
        let stdout = child.stdout.take().ok_or("the server has no output")?;
        let mut lines = BufReader::new(stdout).lines();
        while let Some(line) = lines.next_line().await? {
            if let Some(address) = line.strip_prefix("listening on http://") {
                let address = address.to_owned();
                tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                return Ok(Self { child, address });
            }
        }
        Err("the server ended before it listened".into())
    }

    /// Resident memory now and at its peak, in MiB.
    pub fn memory(&self) -> Option<(f64, f64)> {
        let status =
            std::fs::read_to_string(Path::new("/proc").join(self.child.id()?.to_string()).join("status")).ok()?;
        let kib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().trim_end_matches("kB").trim().parse::<f64>().ok()
        };
        Some((kib("VmRSS:")? / 1024.0, kib("VmHWM:")? / 1024.0))
    }

    /// Ends it in good order.
    pub async fn stop(mut self) -> Result<(), Failure> {
        if let Some(id) = self.child.id() {
            Command::new("kill").arg(id.to_string()).status().await?;
        }
        self.child.wait().await?;
        Ok(())
    }
}

/// The baseline: axum with one handler that answers a few bytes.
pub async fn bare() -> Result<(), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on http://{}", listener.local_addr()?);
    let answer = || async { ([("content-type", "application/json")], r#"{"sub":"user_bench"}"#) };
    axum::serve(listener, Router::new().route("/bare", get(answer))).await?;
    Ok(())
}
