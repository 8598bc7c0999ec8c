-- The log: the only place where facts are written. Same tables as postgres/0001_log.sql.
CREATE TABLE events (
    position       INTEGER     NOT NULL PRIMARY KEY, -- dense, from 1, never reused
    tenant         TEXT        NOT NULL,             -- an organization's id, or 'instance'
    stream_type    TEXT        NOT NULL,
    stream_id      TEXT        NOT NULL,
    version        BIGINT      NOT NULL,             -- within the stream, from 1
    event_id       TEXT        NOT NULL,             -- UUIDv7
    event_type     TEXT        NOT NULL,             -- organization.app_installed
    schema_version BIGINT      NOT NULL,
    payload        TEXT        NOT NULL,             -- JSON, personal data sealed
    context        TEXT        NOT NULL,             -- JSON: who, from where, why, caused by what
    recorded_at    TIMESTAMPTZ NOT NULL
);
CREATE UNIQUE INDEX events_by_stream ON events (stream_type, stream_id, version);

CREATE TRIGGER events_refuse_update BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'the log is append-only: events are never changed'); END;
CREATE TRIGGER events_refuse_delete BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'the log is append-only: events are never removed'); END;
-- A hole or a reused number would hide an event from every reader that has passed it.
CREATE TRIGGER events_stay_dense BEFORE INSERT ON events
WHEN NEW.position <> (SELECT COALESCE(MAX(position), 0) FROM events) + 1
BEGIN SELECT RAISE(ABORT, 'the log is dense: an event takes the next position'); END;
-- INSERT OR REPLACE removes what stands in its way without asking the triggers for DELETE.
CREATE TRIGGER events_refuse_replacement BEFORE INSERT ON events
WHEN EXISTS (SELECT 1 FROM events WHERE stream_type = NEW.stream_type AND stream_id = NEW.stream_id
                                    AND version = NEW.version)
BEGIN SELECT RAISE(ABORT, 'the log is append-only: a stream has one event of each version'); END;

-- One row: the last position given out, and the identity of this log.
CREATE TABLE ledger (
    id       BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    position BIGINT NOT NULL,
    log_id   TEXT   NOT NULL
);
INSERT INTO ledger (id, position, log_id) VALUES (1, 0, lower(hex(randomblob(16))));

CREATE TABLE streams (
    stream_type TEXT   NOT NULL,
    stream_id   TEXT   NOT NULL,
    tenant      TEXT   NOT NULL,
    version     BIGINT NOT NULL,
    PRIMARY KEY (stream_type, stream_id)
) WITHOUT ROWID;

-- Values that only one stream may hold: an e-mail address (as keyed hash), a product's slug.
CREATE TABLE claims (
    kind  TEXT NOT NULL,
    value TEXT NOT NULL,
    owner TEXT NOT NULL,
    PRIMARY KEY (kind, value)
) WITHOUT ROWID;

-- What a caller may safely send twice.
CREATE TABLE idempotency_keys (
    idempotency_key TEXT        NOT NULL PRIMARY KEY,
    fingerprint     TEXT        NOT NULL,
    first_position  BIGINT      NOT NULL,
    last_position   BIGINT      NOT NULL,
    recorded_at     TIMESTAMPTZ NOT NULL
) WITHOUT ROWID;

-- One data key per person, wrapped by the master key; destroyed by erasure.
CREATE TABLE subject_keys (
    subject     TEXT NOT NULL PRIMARY KEY,
    wrapped_key BLOB -- NULL once destroyed
) WITHOUT ROWID;

-- Instance-wide secrets, wrapped by the master key: signing keys, the look-up key, secrets until delivered.
CREATE TABLE vault (
    kind       TEXT        NOT NULL,
    name       TEXT        NOT NULL,
    sealed     BLOB        NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (kind, name)
) WITHOUT ROWID;

-- One row per stream: a state to start folding from. Always safe to delete.
CREATE TABLE snapshots (
    stream_type TEXT   NOT NULL,
    stream_id   TEXT   NOT NULL,
    version     BIGINT NOT NULL,
    fingerprint TEXT   NOT NULL,
    state       TEXT   NOT NULL,
    PRIMARY KEY (stream_type, stream_id)
) WITHOUT ROWID;

-- The log in the table shape of cqrs-es, so that its own tools can read it.
CREATE VIEW cqrs_events AS
SELECT stream_type AS aggregate_type, stream_id AS aggregate_id, version AS sequence, event_type,
       CAST(schema_version AS TEXT) AS event_version, payload,
       json_object('event_id', event_id, 'tenant', tenant, 'context', context) AS metadata
FROM events;
