//! Scripts for Python, each with the packages that it names.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    folders::{temporary, temporary_folder, workspace},
    process::{Process, Signal, User, in_path},
};

pub struct Python;

impl Python {
    /// Runs a script, named from the root of the repository, to its end and answers what it wrote to standard output.
    pub async fn run(script: &str, requirements: &str, environment: &[(&str, &str)]) -> String {
        let path = workspace().join(script);
        assert!(path.is_file(), "there is no script {script}");
        let python = packages(&workspace().join(requirements)).await;
        let environment = environment.iter().copied().chain([("PYTHONDONTWRITEBYTECODE", "1")]);
        run(&python, |command| {
            command.arg(&path).envs(environment);
        })
        .await
    }
}

/// A Python that has these packages; the first to ask installs them.
async fn packages(requirements: &Path) -> PathBuf {
    let wanted =
        fs::read(requirements).unwrap_or_else(|error| panic!("cannot read {}: {error}", requirements.display()));
    let folder = temporary().with_file_name("python");
    let (python, stamp) = (folder.join("bin/python"), folder.join("requirements.txt"));
    let lock = folder.with_extension("lock");
    let lock = File::create(&lock).unwrap_or_else(|error| panic!("cannot write {}: {error}", lock.display()));
    // Others may be installing the same; a lock that is dropped is released.
    let lock = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock));
    let _lock = lock.await.expect("taking a lock does not panic").expect("a file of ours can be locked");
    if fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
        return python;
    }
    let system =
        in_path("python3").unwrap_or_else(|| panic!("python3 is missing: install the Debian package python3-venv"));
    run(&system, |command| {
        // Says that ensurepip is missing, and which Debian package has it.
        command.args(["-m", "venv", "--clear"]).arg(&folder);
    })
    .await;
    run(&python, |command| {
        command.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r"]);
        command.arg(requirements);
    })
    .await;
    fs::write(&stamp, wanted).unwrap_or_else(|error| panic!("cannot write {}: {error}", stamp.display()));
    python
}

async fn run(python: &Path, prepare: impl FnOnce(&mut std::process::Command)) -> String {
    let logs = temporary_folder("python");
    let mut process = Process::start("python", python, User::Same, logs.path(), Signal::Terminate, prepare);
    match process.exit(Duration::from_secs(180)).await {
        Some(status) if status.success() => process.stdout(),
        Some(status) => panic!("{} ended with {status}", python.display()),
        None => panic!("{} did not end within three minutes", python.display()),
    }
}
