//! `optare projections`

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;

use api::{App, Settings};
use clap::{Args, Subcommand};
use projections::{Views, verify};

use crate::Failure;
use crate::instance::InstanceArgs;
use crate::service::Service;

/// The catching-up before a comparison may take so long.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(600);

/// Looks after the read models.
#[derive(Debug, Subcommand)]
pub enum ProjectionsCommand {
    /// Folds the log from the first event and compares every row with the read models; fails on a difference.
    Verify(VerifyArgs),
}

/// Options of `optare projections verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    #[command(flatten)]
    instance: InstanceArgs,
}

/// Runs the command.
pub async fn run(ProjectionsCommand::Verify(args): ProjectionsCommand) -> Result<(), Failure> {
    let service = Service::start(args.instance.open().await?, Settings::new(""), None).await?;
    let App { store, views, .. } = &service.app;
    let head = store.tail().head();
    if !views.show(head, PATIENCE).await? {
        return Err(Failure::from("the read models do not catch up with the log; see the messages above"));
    }
    // Nobody else may read it: it holds what the read models hold.
    let scratch = std::env::temp_dir().join(format!("optare-verify-{}", uuid::Uuid::now_v7()));
    DirBuilder::new().mode(0o700).create(&scratch)?;
    let compared = verify(store, &views.db, &scratch.join("folded.sqlite")).await;
    std::fs::remove_dir_all(&scratch)?;
    let differences = compared?;
    service.stop().await;
    for difference in differences.iter().take(20) {
        println!("{}: live {:?}, from the log {:?}", difference.table, difference.live, difference.folded);
    }
    match differences.len() {
        0 => {
            println!("{} tables are what the log says, up to position {head}", Views::tables_verified());
            Ok(())
        }
        count => Err(Failure(format!("{count} rows differ from what the log says: rebuild these read models"))),
    }
}
