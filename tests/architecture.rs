//! Which crate may use which; ARCHITECTURE.md draws the same arrows.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde::Deserialize;
use support::workspace;

enum Uses {
    Only(&'static [&'static str]),
    All,
}

fn may_use(member: &str) -> Uses {
    Uses::Only(match member {
        "domain" | "migrations" | "evidence" => &[],
        "database" => &["migrations"],
        "eventstore" => &["database", "evidence"],
        "projections" | "webhooks" => &["domain", "eventstore", "database"],
        "api" => &["domain", "eventstore", "projections", "webhooks", "database"],
        "portal" => &["api", "domain", "projections"],
        "cli" | "tests" | "benches" => return Uses::All,
        _ => panic!("{member} is new: say here and in ARCHITECTURE.md what it may use"),
    })
}

#[test]
fn crates_use_only_what_lies_below_them() {
    let members = members();
    let ours = |name: &str| members.iter().any(|member| member.name == name);
    let mut wrong = Vec::new();
    for member in &members {
        let Uses::Only(allowed) = may_use(&member.name) else { continue };
        for used in member.dependencies.iter().map(|dependency| dependency.name.as_str()) {
            if ours(used) && !allowed.contains(&used) {
                wrong.push(format!("{} must not use {used}", member.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn only_database_and_eventstore_speak_to_a_driver() {
    const DRIVERS: [&str; 6] =
        ["sqlx-postgres", "sqlx-sqlite", "tokio-postgres", "postgres", "rusqlite", "libsqlite3-sys"];
    // What a row type needs that is filled by a query of `database`.
    const DERIVES: [&str; 2] = ["FromRow", "Type"];

    let mut wrong = Vec::new();
    for member in members() {
        if ["database", "eventstore", "tests", "benches"].contains(&member.name.as_str()) {
            continue;
        }
        for dependency in member.dependencies.iter().filter(|used| DRIVERS.contains(&used.name.as_str())) {
            wrong.push(format!("{} must not depend on {}", member.name, dependency.name));
        }
        let folder = member.manifest_path.parent().expect("a manifest lies in a folder");
        for file in rust_files(&folder.join("src")) {
            let text =
                fs::read_to_string(&file).unwrap_or_else(|error| panic!("cannot read {}: {error}", file.display()));
            for name in names_after(&text, "sqlx::").into_iter().filter(|name| !DERIVES.contains(name)) {
                wrong.push(format!("{} must not name sqlx::{name}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
}

fn members() -> Vec<Package> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()))
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(workspace())
        .output()
        .expect("Cargo, which built this test, can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Metadata = serde_json::from_slice(&output.stdout).expect("Cargo answers in its own format");
    metadata.packages
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// The names that follow a path, each of `{…}` if there are several.
fn names_after<'a>(text: &'a str, path: &str) -> Vec<&'a str> {
    let first_word = |text: &'a str| text.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
    text.split(path)
        .skip(1)
        .flat_map(|rest| match rest.strip_prefix('{') {
            Some(group) => {
                group.split('}').next().unwrap_or_default().split(',').map(|name| first_word(name.trim())).collect()
            }
            None => vec![first_word(rest)],
        })
        .filter(|name| !name.is_empty())
        .collect()
}
