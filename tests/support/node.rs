//! Scripts for Node.js: browser tests and the guides' examples.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    Program,
    folders::{temporary_folder, workspace},
    process::{Process, Signal, User, in_path},
};

pub struct Node;

impl Node {
    /// Runs a script, named from the root of the repository, to its end and answers what it wrote to standard output.
    pub async fn run(script: &str, environment: &[(&str, &str)]) -> String {
        let (program, path) = (node(), existing(script));
        let logs = temporary_folder("node");
        // SIGTERM lets a script close the browser that it opened.
        let mut process = Process::start("node", &program, User::Same, logs.path(), Signal::Terminate, |command| {
            command.arg(&path).current_dir(folder_of(&path)).envs(environment.iter().copied());
        });
        match process.exit(Duration::from_secs(180)).await {
            Some(status) if status.success() => process.stdout(),
            Some(status) => panic!("node {script} ended with {status}"),
            None => panic!("node {script} did not end within three minutes"),
        }
    }

    /// Starts a script that serves until the test ends, and waits until it has written `ready` to standard output.
    pub async fn start(script: &str, environment: &[(&str, &str)], ready: &str) -> Program {
        let (program, path) = (node(), existing(script));
        Program::start("node", &program, ready, |command| {
            command.arg(&path).current_dir(folder_of(&path)).envs(environment.iter().copied());
        })
        .await
    }
}

fn node() -> PathBuf {
    in_path("node").unwrap_or_else(|| panic!("node is missing: install the Debian package nodejs"))
}

fn existing(script: &str) -> PathBuf {
    let path = workspace().join(script);
    assert!(path.is_file(), "there is no script {script}");
    path
}

fn folder_of(script: &Path) -> &Path {
    script.parent().expect("a file lies in a folder")
}
