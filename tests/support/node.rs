//! Scripts for Node.js: browser tests and the guides' examples.

use std::time::Duration;

use crate::{
    folders::{temporary_folder, workspace},
    process::{Process, Signal, User, in_path},
};

pub struct Node;

impl Node {
    /// Runs a script, named from the root of the repository, to its end and answers what it wrote to standard output.
    pub async fn run(script: &str, environment: &[(&str, &str)]) -> String {
        let Some(program) = in_path("node") else { panic!("node is missing: install the Debian package nodejs") };
        let path = workspace().join(script);
        let folder = path.parent().filter(|_| path.is_file()).unwrap_or_else(|| panic!("there is no script {script}"));

        let logs = temporary_folder("node");
        // SIGTERM lets a script close the browser that it opened.
        let mut process = Process::start("node", &program, User::Same, logs.path(), Signal::Terminate, |command| {
            command.arg(&path).current_dir(folder).envs(environment.iter().copied());
        });
        match process.exit(Duration::from_secs(180)).await {
            Some(status) if status.success() => process.stdout(),
            Some(status) => panic!("node {script} ended with {status}"),
            None => panic!("node {script} did not end within three minutes"),
        }
    }
}
