//! Proof that the read models are what the log says: a fold from the first event into a scratch database must
//! give the same rows.

use std::path::Path;

use database::{Db, VIEWS, open_sqlite};
use eventstore::follow::ApplyError;
use eventstore::{EventStore, StoreError};

use crate::Views;

/// Every table that a projection fills, by the projection.
const TABLES: &[(&str, &str)] = &[
    ("directory@1", "users"),
    ("directory@1", "organizations"),
    ("directory@1", "members"),
    ("app_directory@1", "apps"),
    ("installations@1", "installations"),
    ("clients@2", "clients"),
    ("clients@2", "client_secrets"),
    ("clients@2", "client_origins"),
    ("apis@1", "apis"),
    ("subscriptions@1", "products"),
    ("subscriptions@1", "subscriptions"),
    ("connected_apps@1", "grants"),
    ("sessions@1", "sessions"),
];

const BATCH: usize = 1_000;

/// A row that the read model has and the log does not give, or the other way round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The table.
    pub table: &'static str,
    /// The row as the read model has it, or nothing.
    pub live: Option<String>,
    /// The row as the log gives it, or nothing.
    pub folded: Option<String>,
}

/// Folds the log up to where the read models are into `scratch` (a file that does not exist yet) and compares row
/// by row. Nothing may be appended meanwhile.
///
/// # Errors
/// When a database fails or an event cannot be applied.
pub async fn verify(store: &EventStore, live: &Db, scratch: &Path) -> Result<Vec<Difference>, ApplyError> {
    let folded = open_sqlite(scratch, VIEWS).await?;
    let head = store.tail().head();
    fold(store, &folded, head).await?;
    let mut differences = Vec::new();
    for (_, table) in TABLES {
        compare(table, live, &folded, &mut differences).await?;
    }
    folded.close().await;
    Ok(differences)
}

async fn fold(store: &EventStore, into: &Db, head: u64) -> Result<(), ApplyError> {
    let projections = crate::all();
    let mut position = 0;
    while position < head {
        let page = store.tail().page(position, BATCH).await?;
        let Some(last) = page.last().map(|event| event.position) else {
            return Err(StoreError::Hole { position: position + 1 }.into());
        };
        let mut tx = into.begin().await?;
        for event in &page {
            for projection in projections.iter().filter(|each| each.reads().contains(&event.stream_type.as_str())) {
                projection.apply(&mut tx, event).await?;
            }
        }
        tx.commit().await?;
        position = last;
    }
    Ok(())
}

async fn compare(
    table: &'static str,
    live: &Db,
    folded: &Db,
    differences: &mut Vec<Difference>,
) -> Result<(), ApplyError> {
    let (live, folded) = (live.dump(table).await?, folded.dump(table).await?);
    let missing = folded.difference(&live).map(|row| Difference { table, live: None, folded: Some(row.clone()) });
    let surplus = live.difference(&folded).map(|row| Difference { table, live: Some(row.clone()), folded: None });
    differences.extend(missing.chain(surplus));
    Ok(())
}

impl Views {
    /// How many read models' tables [`verify`] compares.
    #[must_use]
    pub fn tables_verified() -> usize {
        TABLES.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_projection_is_verified() {
        for projection in crate::all() {
            let name = projection.name();
            assert!(TABLES.iter().any(|(projection, _)| *projection == name), "{name} has no table in TABLES");
        }
    }
}
