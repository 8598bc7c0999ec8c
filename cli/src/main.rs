//! The program `optare`: runs the service, sets it up, shows it, measures it.
//!
//! What may not live here: rules, SQL, routes. Here the parts are put together and told what to do.

mod bench;
mod demo;
mod init;
mod instance;
mod keys;
mod projections;
mod serve;
mod service;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

#[derive(Parser)]
#[command(name = "optare", version, about = "OpenID Provider and app marketplace on an append-only event log")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the service until it is told to stop (Ctrl-C, SIGTERM).
    Serve(serve::ServeArgs),
    /// Sets up a new instance: the operator's organization, its owner and the first API key.
    Init(init::InitArgs),
    /// Runs a service with demo data and a sample receiving app, to click through.
    Demo(demo::DemoArgs),
    /// Looks after the keys that sign tokens.
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Looks after the read models.
    #[command(subcommand)]
    Projections(projections::ProjectionsCommand),
    /// Measures, and prints figures and ratios against a baseline in the same run.
    #[command(subcommand)]
    Bench(BenchCommand),
}

#[derive(Subcommand)]
enum BenchCommand {
    /// Durable commands per second, beside raw single-row INSERTs.
    Append(bench::AppendArgs),
}

/// A sentence for the person at the terminal: what is wrong and how to mend it.
#[derive(Debug)]
struct Failure(String);

impl<E: std::fmt::Display> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let command = match Arguments::try_parse() {
        Ok(Arguments { command }) => command,
        Err(usage) => return explain(&usage),
    };
    log_to_stderr(if matches!(command, Command::Serve(_)) { "info" } else { "warn" });
    let outcome = match command {
        Command::Serve(args) => serve::run(args).await,
        Command::Init(args) => init::run(args).await,
        Command::Demo(args) => demo::run(args).await,
        Command::Keys(command) => keys::run(command).await,
        Command::Projections(command) => projections::run(command).await,
        Command::Bench(BenchCommand::Append(args)) => bench::append(args).await.map_err(Failure::from),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(sentence)) => {
            eprintln!("optare: {sentence}");
            ExitCode::FAILURE
        }
    }
}

/// Wrong usage in one line; help and version as they are.
fn explain(usage: &clap::Error) -> ExitCode {
    if !usage.use_stderr() {
        print!("{usage}");
        return ExitCode::SUCCESS;
    }
    if usage.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        eprint!("{usage}");
        return ExitCode::from(2);
    }
    let text = usage.to_string();
    let (problem, hints) = text.split_once("\n\n").unwrap_or((&text, ""));
    let problem = problem.trim_start_matches("error: ").split_whitespace().collect::<Vec<_>>().join(" ");
    let tip = hints.lines().find_map(|line| line.trim().strip_prefix("tip: ")).map(|tip| format!("; {tip}"));
    eprintln!("optare: {problem}{}; see optare --help", tip.unwrap_or_default());
    ExitCode::from(2)
}

/// `OPTARE_LOG` chooses what is logged, e.g. `debug` or `webhooks=debug`.
fn log_to_stderr(default: &str) {
    let filter =
        EnvFilter::try_from_env("OPTARE_LOG").unwrap_or_else(|_| EnvFilter::new(format!("{default},sqlx=warn")));
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr).init();
}
