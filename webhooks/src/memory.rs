//! What these tables can know: once they were lost, nobody can say that something was never attempted.

use database::{Db, Tx};
use eventstore::{EventStore, Secret, StoreError};

/// Where it is noted that this instance has had such tables: the vault is not lost with them.
const KIND: &str = "webhook_memory";
const NAME: &str = "began";

/// Notes how far back the tables remember, if that is not noted: to the beginning, unless they are not the first ones
/// of this instance.
pub(crate) async fn begin(db: &Db, store: &EventStore) -> Result<(), StoreError> {
    let began = store.vault().get(KIND, NAME).await?.is_some();
    let noted: Option<(i64,)> =
        db.fetch_optional("SELECT forgotten_up_to FROM webhook_memory WHERE id = 1", ()).await?;
    if noted.is_none() {
        let forgotten = if began { store.tail().head() } else { 0 };
        db.execute(
            "INSERT INTO webhook_memory (id, forgotten_up_to) VALUES (1, $1) ON CONFLICT (id) DO NOTHING",
            (forgotten.cast_signed(),),
        )
        .await?;
    }
    // After the row: a crash in between must not look like a loss.
    if !began {
        store.vault().put_if_absent(KIND, NAME, &Secret::new("yes")).await?;
    }
    Ok(())
}

/// Attempts on messages up to this position may have been forgotten; all of them while nothing is noted.
pub(crate) async fn forgotten_up_to(tx: &mut Tx) -> Result<i64, database::Error> {
    let row: Option<(i64,)> = tx.fetch_optional("SELECT forgotten_up_to FROM webhook_memory WHERE id = 1", ()).await?;
    Ok(row.map_or(i64::MAX, |(position,)| position))
}
