//! What no route can do: an event written into the log of a server that was stopped for it.

use crate::{Engine, Server};
use database::{LOG_POSTGRES, LOG_SQLITE, open_postgres, open_sqlite};
use eventstore::{Append, Clock, Context, EventStore, MasterKey, NewEvent, Outcome, StreamAppend, StreamId};
use serde_json::{Value, json};

/// Gives a client settings, with the names of the management API.
pub async fn client_settings(server: &mut Server, client_id: &str, settings: Value) {
    server.stop().await;
    let setup = server.setup();
    let log = match setup.engine() {
        Engine::Sqlite => open_sqlite(&setup.data().join("log.sqlite"), LOG_SQLITE).await,
        Engine::Postgres => {
            let url = setup.database_url().expect("it has a PostgreSQL");
            open_postgres(&url, 2, &[LOG_POSTGRES]).await
        }
    }
    .expect("the log opens");
    let master = MasterKey::from_file(&setup.data().join("master.key")).expect("its master key");
    let store = EventStore::open(log.clone(), master, Clock::default(), &[]).await.expect("the store opens");
    let before = store.events_of("oauth_client", client_id, 0).await.expect("the client's events");
    let last = before.last().unwrap_or_else(|| panic!("there is no client {client_id}"));
    let event = NewEvent {
        event_type: "oauth_client.reconfigured".to_owned(),
        schema_version: 1,
        payload: json!({"type": "reconfigured", "settings": settings}),
    };
    let append = Append {
        streams: vec![StreamAppend {
            stream: StreamId { kind: "oauth_client", id: client_id.to_owned() },
            tenant: last.tenant.clone(),
            expected_version: last.version,
            events: vec![event],
        }],
        context: Context::system("test"),
        claims: Vec::new(),
        idempotency: None,
    };
    let outcome = store.append(append).await.expect("the log takes it");
    assert!(matches!(outcome, Outcome::Committed { .. }), "{outcome:?}");
    log.close().await;
    server.restart().await;
}
