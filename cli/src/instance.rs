//! Which instance a command is about, and opening its databases.

use std::path::PathBuf;

use clap::Args;
use database::{Db, Folder, LOG_POSTGRES, LOG_SQLITE, VIEWS, open_postgres, open_sqlite};
use domain::{
    ApiKey, App, Consent, Grant, Instance, OAuthClient, Organization, Product, ResourceServer, Session, Subscription,
    User, WebhookDelivery,
};
use eventstore::follow::Node;
use eventstore::{Clock, EventStore, MasterKey};
use tracing::warn;

use crate::Failure;

/// How many connections one node may open to PostgreSQL.
const CONNECTIONS: u32 = 20;

/// Where an instance keeps its data. Flags win over the environment.
#[derive(Debug, Clone, Args)]
pub struct InstanceArgs {
    /// Data folder of the embedded engine; unused with DATABASE_URL.
    #[arg(long, env = "OPTARE_DATA", default_value = "optare-data")]
    pub data: PathBuf,
    /// postgres://user:password@host:5432/name; without it, SQLite in the data folder.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// 32 bytes in base64 that wrap every other key; without it, `master.key` in the data folder.
    #[arg(long, env = "OPTARE_MASTER_KEY", hide_env_values = true)]
    pub master_key: Option<String>,
    /// Development: http and loopback receivers, a movable clock.
    #[arg(long)]
    pub dev: bool,
}

/// An instance's databases, opened.
pub struct Opened {
    /// The log.
    pub store: EventStore,
    /// This process, where the read models are.
    pub node: Node,
    log: Db,
    // Held, so that no other process opens the same data folder.
    _folder: Option<Folder>,
}

impl InstanceArgs {
    /// Opens the instance, made if it is new.
    pub async fn open(&self) -> Result<Opened, Failure> {
        let (log, views, folder) = match &self.database_url {
            Some(url) => {
                let db = open_postgres(url, CONNECTIONS, &[LOG_POSTGRES, VIEWS]).await?;
                (db.clone(), db, None)
            }
            None => {
                let folder = Folder::open(&self.data)?;
                let log = open_sqlite(&folder.file("log.sqlite"), LOG_SQLITE).await?;
                let views = open_sqlite(&folder.file("views.sqlite"), VIEWS).await?;
                (log, views, Some(folder))
            }
        };
        let clock = Clock::default();
        let master = self.open_master_key(&log).await?;
        let store = EventStore::open(log.clone(), master, clock.clone(), &kinds()).await?;
        let node = Node { db: views, name: uuid::Uuid::now_v7().to_string(), clock };
        Ok(Opened { store, node, log, _folder: folder })
    }

    /// The key that was given, or the one in the data folder, which is made for an instance that is new.
    async fn open_master_key(&self, log: &Db) -> Result<MasterKey, Failure> {
        if let Some(text) = &self.master_key {
            return Ok(MasterKey::parse(text)?);
        }
        let file = self.data.join("master.key");
        if !file.exists() {
            let sealed: Option<(String,)> = log.fetch_optional("SELECT kind FROM vault LIMIT 1", ()).await?;
            if sealed.is_some() {
                return Err(Failure(format!(
                    "this instance has a master key, but {} is not there; give the key with OPTARE_MASTER_KEY",
                    file.display()
                )));
            }
            std::fs::create_dir_all(&self.data)
                .map_err(|error| format!("the data folder {} cannot be made: {error}", self.data.display()))?;
            if self.database_url.is_some() {
                warn!("made a master key in {}: keep it safe and give it to every node", file.display());
            }
        }
        Ok(MasterKey::from_file(&file)?)
    }
}

impl Opened {
    /// Closes the databases after what is being written.
    pub async fn close(self) {
        self.node.db.close().await;
        self.log.close().await;
    }
}

/// The aggregates that a node loads.
fn kinds() -> [&'static str; 13] {
    use eventstore::aggregate_type as kind;
    [
        kind::<ApiKey>(),
        kind::<App>(),
        kind::<Consent>(),
        kind::<Grant>(),
        kind::<Instance>(),
        kind::<OAuthClient>(),
        kind::<Organization>(),
        kind::<Product>(),
        kind::<ResourceServer>(),
        kind::<Session>(),
        kind::<Subscription>(),
        kind::<User>(),
        kind::<WebhookDelivery>(),
    ]
}
