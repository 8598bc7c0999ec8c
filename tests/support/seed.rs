//! What no route can do: an event written into the log of a server that was stopped for it.

use crate::{Engine, Server};
use database::{LOG_POSTGRES, LOG_SQLITE, open_postgres, open_sqlite};
use eventstore::{Append, Clock, Context, EventStore, MasterKey, NewEvent, Outcome, StreamAppend, StreamId};
use serde_json::{Value, json};

/// Gives a client settings, with the names of the management API.
pub async fn client_settings(server: &mut Server, client_id: &str, settings: Value) {
    let payload = json!({"type": "reconfigured", "settings": settings});
    event(server, "oauth_client", client_id, payload).await;
}

/// Gives a user another password, which nobody knows.
pub async fn new_password(server: &mut Server, user_id: &str, epoch: u64) {
    let hash = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$c2Vjb25k";
    let hash = json!({"$personal": {"subject": user_id, "value": hash}});
    event(server, "user", user_id, json!({"type": "password_set", "hash": hash, "epoch": epoch})).await;
}

/// Gives an organization a licence for a product that it sells itself.
pub async fn licensed_product(server: &mut Server, slug: &str, permissions: &[&str]) {
    product(server, slug, permissions).await;
    let organization_id = server.owner().organization_id.clone();
    let subscription = json!({
        "type": "created", "organization_id": organization_id, "vendor_id": organization_id,
        "product_id": format!("prod_{slug}"), "total_seats": 5, "price_per_seat": "29.99", "billing_cycle": "monthly",
        "status": "active", "end_date": null,
    });
    event(server, "subscription", &format!("sub_{slug}"), subscription).await;
}

/// A product that nobody has a licence for.
pub async fn product(server: &mut Server, slug: &str, permissions: &[&str]) {
    let organization_id = server.owner().organization_id.clone();
    let product = json!({
        "type": "created", "organization_id": organization_id, "name": format!("The {slug} product"), "slug": slug,
        "description": null, "features": ["One", "Two"], "permissions": permissions,
    });
    event(server, "product", &format!("prod_{slug}"), product).await;
}

/// Ends a licence.
pub async fn cancelled_licence(server: &mut Server, slug: &str) {
    event(server, "subscription", &format!("sub_{slug}"), json!({"type": "cancelled"})).await;
}

/// Appends an event to a stream; a new one is the owner's organization's.
async fn event(server: &mut Server, kind: &'static str, id: &str, payload: Value) {
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
    let before = store.events_of(kind, id, 0).await.expect("the stream's events");
    let tenant = before.last().map_or_else(|| server.owner().organization_id.clone(), |last| last.tenant.clone());
    let expected_version = before.last().map_or(0, |last| last.version);
    let event_type = format!("{kind}.{}", payload["type"].as_str().expect("every event has a type"));
    let append = Append {
        streams: vec![StreamAppend {
            stream: StreamId { kind, id: id.to_owned() },
            tenant,
            expected_version,
            events: vec![NewEvent { event_type, schema_version: 1, payload }],
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

/// Empties tables of a stopped server that can be rebuilt, and makes their follower begin again.
pub async fn forget_rows(server: &Server, tables: &[&str], follower: &str) {
    let setup = server.setup();
    let mut statements: Vec<String> = tables.iter().map(|table| format!("DELETE FROM {table}")).collect();
    statements.push(format!("UPDATE followers SET position = 0 WHERE name = '{follower}'"));
    match setup.database_url() {
        Some(url) => {
            let pool = sqlx::PgPool::connect(&url).await.expect("its PostgreSQL answers");
            for statement in statements {
                sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&pool).await.expect("the rows go");
            }
            pool.close().await;
        }
        None => {
            let file = sqlx::sqlite::SqliteConnectOptions::new().filename(setup.data().join("views.sqlite"));
            let pool = sqlx::SqlitePool::connect_with(file).await.expect("its views open");
            for statement in statements {
                sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&pool).await.expect("the rows go");
            }
            pool.close().await;
        }
    }
}
