//! `tests/oracle`, a package with dependencies of its own, run as a program.

use std::time::Duration;

use crate::{
    folders::{temporary, temporary_folder, workspace},
    process::{Process, Signal, User, in_path},
};

pub struct Oracle;

impl Oracle {
    /// Has stock postgres-es read every stream of a database and fold it; fails the test where it cannot.
    /// Answers what the oracle said, which ends with what it counted.
    pub async fn reads_every_stream(database_url: &str) -> String {
        let cargo =
            std::env::var_os("CARGO").map(Into::into).or_else(|| in_path("cargo")).expect("Cargo builds the oracle");
        // A folder of its own: the one of this workspace may be locked by who runs this test.
        let target = temporary().with_file_name("oracle");
        let manifest = workspace().join("tests/oracle/Cargo.toml");
        let logs = temporary_folder("oracle");
        let mut process = Process::start("oracle", &cargo, User::Same, logs.path(), Signal::Terminate, |command| {
            command.args(["test", "--locked", "--manifest-path"]).arg(manifest).arg("--target-dir").arg(target);
            command.args(["--test", "every_stream", "--", "--include-ignored", "--nocapture"]);
            command.env("DATABASE_URL", database_url);
        });
        // Building it takes minutes where `tests/run` has not done so.
        match process.exit(Duration::from_secs(900)).await {
            Some(status) if status.success() => process.stdout(),
            Some(status) => panic!("the oracle ended with {status}"),
            None => panic!("the oracle did not end within 15 minutes"),
        }
    }
}
