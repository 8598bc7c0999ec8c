//! A NATS server with JetStream of a test's own.

use std::{fs, path::PathBuf, time::Duration};

use serde::Deserialize;
use tempfile::TempDir;

use crate::{
    folders,
    process::{Process, Signal, User, in_path},
    within,
};

pub struct Nats {
    // Fields are dropped in this order: the server must end before its folder goes.
    process: Option<Process>,
    folder: TempDir,
    program: PathBuf,
    port: Option<u16>,
}

impl Nats {
    pub async fn start() -> Self {
        let Some(program) = in_path("nats-server") else {
            panic!("nats-server is missing: install the Debian package nats-server")
        };
        let mut nats = Self { process: None, folder: folders::temporary_folder("nats"), program, port: None };
        nats.begin().await;
        nats
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port())
    }

    pub fn port(&self) -> u16 {
        self.port.expect("a started server has a port")
    }

    /// Ends the server; what JetStream stored stays.
    pub async fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let ended = process.end(Signal::Terminate, Duration::from_secs(20)).await;
            assert!(ended.is_some(), "nats-server did not end\n{}", process.output());
        }
    }

    /// Ends the server without a farewell.
    pub async fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.end(Signal::Kill, Duration::from_secs(20)).await;
        }
    }

    /// Starts the server again on the same port with what it had stored.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.begin().await;
    }

    /// Comes back on the same port having forgotten everything, as after the loss of its disk.
    pub async fn wipe(&mut self) {
        self.stop().await;
        let _ = fs::remove_dir_all(self.folder.path().join("store"));
        self.begin().await;
    }

    async fn begin(&mut self) {
        #[derive(Deserialize)]
        struct Ports {
            nats: Vec<String>,
        }

        let (folder, port) = (self.folder.path(), self.port);
        let mut process =
            Process::start("nats-server", &self.program, User::Same, folder, Signal::Terminate, |command| {
                command.args(["-a", "127.0.0.1", "-js"]);
                command.arg("-sd").arg(folder.join("store")).arg("--ports_file_dir").arg(folder);
                // -1: the server chooses.
                command.arg("-p").arg(port.map_or("-1".to_owned(), |port| port.to_string()));
            });

        let ports_file = folder.join(format!("nats-server_{}.ports", process.id()));
        let listening = within(Duration::from_secs(20), || {
            let ports: Option<Ports> = fs::read(&ports_file).ok().and_then(|file| serde_json::from_slice(&file).ok());
            match ports {
                Some(ports) => ports.nats.first()?.rsplit(':').next()?.parse().ok(),
                None if process.running() => None,
                None => Some(0),
            }
        })
        .await;
        match listening {
            Some(port) if port != 0 => self.port = Some(port),
            _ => panic!("nats-server did not become ready\n{}", process.output()),
        }
        self.process = Some(process);
    }
}
