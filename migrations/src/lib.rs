//! The schemas as text: `both/` is what the two engines share, `postgres/` and `sqlite/` hold the log.
//! What may not live here: any code that talks to a database.

/// One step of a schema. Steps are only ever added; a released one is never edited.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// Its place in the order, from 1, without holes.
    pub version: i64,
    /// What it brings, in a few words.
    pub name: &'static str,
    /// The statements.
    pub sql: &'static str,
}

/// The log on PostgreSQL: events, streams, claims, idempotency keys, data keys, the append function.
pub const LOG_POSTGRES: &[Migration] =
    &[Migration { version: 1, name: "log", sql: include_str!("../postgres/0001_log.sql") }];

/// The log on SQLite, the same tables as on PostgreSQL.
pub const LOG_SQLITE: &[Migration] =
    &[Migration { version: 1, name: "log", sql: include_str!("../sqlite/0001_log.sql") }];

/// Read models, followers' checkpoints and deliveries, one text for both engines.
pub const VIEWS: &[Migration] = &[
    Migration { version: 1, name: "followers", sql: include_str!("../both/0001_followers.sql") },
    Migration { version: 2, name: "read models", sql: include_str!("../both/0002_read_models.sql") },
    Migration { version: 3, name: "webhooks", sql: include_str!("../both/0003_webhooks.sql") },
    Migration { version: 4, name: "accounts", sql: include_str!("../both/0004_accounts.sql") },
    Migration { version: 5, name: "clients and APIs", sql: include_str!("../both/0005_clients_and_apis.sql") },
    Migration { version: 6, name: "authorization", sql: include_str!("../both/0006_authorization.sql") },
    Migration { version: 7, name: "client assertions", sql: include_str!("../both/0007_client_assertions.sql") },
    Migration { version: 8, name: "logout notices", sql: include_str!("../both/0008_logout_notices.sql") },
];
