//! A program that runs beside a test and ends with it, e.g. `optare demo` or an example.

use std::{path::Path, process::Command, time::Duration};

use tempfile::TempDir;

use crate::{
    Patience,
    folders::temporary_folder,
    process::{Process, Signal, User},
    server::{in_use, optare, passed_on},
    within,
};

pub struct Program {
    name: &'static str,
    // Fields are dropped in this order: the program must end before its logs go.
    process: Process,
    _logs: TempDir,
}

impl Program {
    /// Starts `optare` and waits until it has written `ready` to standard output.
    pub async fn optare(arguments: &[&str], ready: &str) -> Self {
        Self::start("optare", &optare(), ready, |command| {
            command.args(arguments).env_clear().envs(passed_on());
        })
        .await
    }

    pub(crate) async fn start(name: &'static str, program: &Path, ready: &str, prepare: impl Fn(&mut Command)) -> Self {
        let logs = temporary_folder(name);
        let patience = Patience::of(Duration::from_secs(10));
        loop {
            let mut process = Process::start(name, program, User::Same, logs.path(), Signal::Terminate, &prepare);
            let is_ready = within(Duration::from_secs(60), || {
                let is_ready = process.stdout().contains(ready);
                (is_ready || !process.running()).then_some(is_ready)
            })
            .await;
            match is_ready {
                Some(true) => return Self { name, process, _logs: logs },
                // A port that was free may be taken for a moment.
                Some(false) if in_use(&process.stderr()) && patience.is_left().await => {}
                Some(false) => panic!("{name} ended before it wrote {ready:?}"),
                None => panic!("{name} did not write {ready:?} within 60 seconds"),
            }
        }
    }

    pub fn stdout(&self) -> String {
        self.process.stdout()
    }

    pub fn stderr(&self) -> String {
        self.process.stderr()
    }

    /// Asks it to end and expects that it does so in good order.
    pub async fn stop(mut self) {
        match self.process.end(Signal::Terminate, Duration::from_secs(30)).await {
            Some(status) => assert!(status.success(), "{} ended with {status}", self.name),
            None => panic!("{} did not end within 30 seconds of SIGTERM", self.name),
        }
    }
}
