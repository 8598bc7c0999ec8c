//! `optare bench oidc`: what OpenID Connect costs over HTTP, beside a bare axum handler (or, where a password is
//! hashed, bare argon2id) in the same run; and how little of it depends on what happened before.
//!
//! Servers are processes of their own; the driver shares the machine with them.

mod callers;
mod http;
mod instance;
mod server;
mod signing;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use database::ScratchDatabase;

use super::measure::{Failure, Sample, drive};
use super::report::{Rounds, Row, print, print_heading, write_json};
use callers::{Bare, BareHash, Case};
use http::Connection;
use instance::Target;
use server::{Place, Server};

const BENCH: &str = "oidc";
const BARE: &str = "bare handler";
const BARE_HASH: &str = "bare argon2id";

/// Measures sign-ins and tokens over HTTP against a bare handler.
#[derive(Debug, clap::Args)]
pub struct OidcArgs {
    /// A PostgreSQL server; databases of its own are made there and dropped at the end.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// A folder for the data, on the disk that is to be measured [default: a temporary one].
    #[arg(long)]
    pub data: Option<PathBuf>,
    /// Another build of optare to measure [default: this one].
    #[arg(long)]
    pub program: Option<PathBuf>,
    /// How long each case runs in each round.
    #[arg(long, default_value_t = 2.0)]
    pub seconds: f64,
    /// How often; the median counts.
    #[arg(long, default_value_t = 3)]
    pub rounds: usize,
    /// Numbers of connections, each with one request at a time.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 8, 64])]
    pub clients: Vec<usize>,
    /// Measures sign-ins and code flows also after so many, against an empty instance; e.g. 1000000.
    #[arg(long, default_value_t = 0)]
    pub past_sign_ins: u32,
    /// Writes one JSON object per row to this file.
    #[arg(long)]
    pub json: Option<PathBuf>,
}

/// Runs the benchmark and prints its table.
///
/// # Errors
/// When a server or a database cannot be used, or the settings make no sense.
pub async fn oidc(args: OidcArgs) -> Result<(), Box<dyn Error>> {
    run(args).await.map_err(|problem| problem as Box<dyn Error>)
}

/// Serves the baseline until it is killed.
///
/// # Errors
/// When it cannot listen.
pub async fn bare_server() -> Result<(), Box<dyn Error>> {
    server::bare().await.map_err(|problem| problem as Box<dyn Error>)
}

async fn run(args: OidcArgs) -> Result<(), Failure> {
    if args.rounds == 0 || args.clients.contains(&0) || !(0.1..=600.0).contains(&args.seconds) {
        return Err("--rounds and --clients start at 1, --seconds at 0.1 (and end at 600)".into());
    }
    let parent = args.data.clone().unwrap_or_else(std::env::temp_dir);
    std::fs::create_dir_all(&parent).map_err(|problem| format!("{} cannot be used: {problem}", parent.display()))?;
    let folder = tempfile::Builder::new().prefix("optare-bench-").tempdir_in(parent)?;
    print_heading();
    let mut rows = Vec::new();
    signing::measure(args.rounds, Duration::from_secs_f64(args.seconds / 4.0), BENCH, &mut rows).await?;
    match &args.database_url {
        None => println!("postgres  skipped: no server is given (--database-url or DATABASE_URL)"),
        Some(server) => {
            let mut scratch = Vec::new();
            for _ in 0..2 {
                scratch.push(ScratchDatabase::create(server, "optare_bench").await?);
            }
            let urls = [0, 1].map(|n| Some(scratch[n].url().to_owned()));
            let data = folder.path().join("postgres");
            let measured = tokio::select! {
                measured = measure("postgres", urls, &data, &args, &mut rows) => measured,
                stopped = tokio::signal::ctrl_c() => stopped.map_err(Into::into).and(Err("interrupted".into())),
            };
            for each in scratch {
                each.remove().await?;
            }
            measured?;
        }
    }
    measure("sqlite", [None, None], &folder.path().join("sqlite"), &args, &mut rows).await?;
    if let Some(file) = &args.json {
        write_json(file, &rows).map_err(|problem| format!("{} cannot be written: {problem}", file.display()))?;
    }
    Ok(())
}

/// Round by round the baseline and each case, so that each sees the same weather.
async fn measure(
    engine: &'static str,
    [url, url_of_full]: [Option<String>; 2],
    folder: &Path,
    args: &OidcArgs,
    rows: &mut Vec<Row>,
) -> Result<(), Failure> {
    let program = args.program.clone().map_or_else(std::env::current_exe, Ok)?;
    let place = |name: &str, database_url: Option<String>| Place {
        program: program.clone(),
        data: folder.join(name),
        database_url,
    };
    let empty = place("empty", url);
    let (target, bare) = (Target::new(&empty, 0).await?, empty.serve_bare().await?);
    let idle = target.server.memory();
    let time = Duration::from_secs_f64(args.seconds);

    for &clients in &args.clients {
        let (mut bares, mut hashes) = (Vec::<Sample>::new(), Vec::new());
        let mut cases = Vec::new();
        for case in Case::ALL {
            match warm_up(case, &target, clients, time).await {
                Ok(()) => cases.push((case, Vec::new())),
                Err(problem) => println!("{engine:<9} {:<18} {clients:>7}  skipped: {problem}", case.name()),
            }
        }
        for _ in 0..args.rounds {
            bares.push(drive(bare_callers(&bare, clients).await?, time).await?);
            let turns = BareHash::turns();
            hashes.push(drive((0..clients).map(|_| BareHash(turns.clone())).collect(), time).await?);
            for (case, samples) in &mut cases {
                samples.push(sample(*case, &target, clients, time).await?);
            }
        }
        let bare = Rounds { case: BARE, samples: &bares };
        let hash = Rounds { case: BARE_HASH, samples: &hashes };
        let mut done =
            vec![Row::new(BENCH, engine, clients, &bare, None), Row::new(BENCH, engine, clients, &hash, None)];
        for (case, samples) in &cases {
            let baseline = if case.hashes_a_password() { &hash } else { &bare };
            done.push(Row::new(BENCH, engine, clients, &Rounds { case: case.name(), samples }, Some(baseline)));
        }
        done.iter().for_each(print);
        rows.extend(done);
    }
    if let (Some((idle, _)), Some((now, peak))) = (idle, target.server.memory()) {
        println!(
            "{engine:<9} resident memory of the server: {idle:.0} MiB idle, {now:.0} MiB after, {peak:.0} MiB peak"
        );
    }
    if args.past_sign_ins > 0 {
        let full = place("full", url_of_full);
        eprintln!("{engine}: writing {} past sign-ins", args.past_sign_ins);
        let full = Target::new(&full, args.past_sign_ins).await?;
        growth(engine, &target, &full, args, rows).await?;
        if let Some((now, peak)) = full.server.memory() {
            println!("{engine:<9} resident memory with a past: {now:.0} MiB, {peak:.0} MiB peak");
        }
        full.server.stop().await?;
    }
    target.server.stop().await?;
    bare.stop().await
}

/// The same after many sign-ins as in an empty instance.
async fn growth(
    engine: &'static str,
    empty: &Target,
    full: &Target,
    args: &OidcArgs,
    rows: &mut Vec<Row>,
) -> Result<(), Failure> {
    let time = Duration::from_secs_f64(args.seconds);
    for (case, names) in [
        (Case::SignIn, ["sign-in, empty", "sign-in, past"]),
        (Case::CodeFlow, ["code flow, empty", "code flow, past"]),
        (Case::Refresh, ["refresh, empty", "refresh, past"]),
    ] {
        let clients = 8;
        let (mut without, mut with) = (Vec::new(), Vec::new());
        warm_up(case, full, clients, time).await?;
        for _ in 0..args.rounds {
            without.push(sample(case, empty, clients, time).await?);
            with.push(sample(case, full, clients, time).await?);
        }
        let without = Rounds { case: names[0], samples: &without };
        let row = Row::new(BENCH, engine, clients, &Rounds { case: names[1], samples: &with }, Some(&without));
        print(&row);
        rows.push(row);
    }
    Ok(())
}

/// Shows that the case works at all, and brings what it needs into memory.
async fn warm_up(case: Case, target: &Target, clients: usize, time: Duration) -> Result<(), Failure> {
    use super::measure::Caller;
    case.caller(target).await?.call().await?;
    if !case.hashes_a_password() {
        sample(case, target, clients, Duration::from_millis(300).min(time)).await?;
    }
    Ok(())
}

async fn sample(case: Case, target: &Target, clients: usize, time: Duration) -> Result<Sample, Failure> {
    let mut callers = Vec::with_capacity(clients);
    for _ in 0..clients {
        callers.push(case.caller(target).await?);
    }
    drive(callers, time).await
}

async fn bare_callers(bare: &Server, clients: usize) -> Result<Vec<Bare>, Failure> {
    let mut callers = Vec::with_capacity(clients);
    for _ in 0..clients {
        callers.push(Bare(Connection::open(&bare.address).await?));
    }
    Ok(callers)
}
