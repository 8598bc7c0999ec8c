-- The log: the only place where facts are written. Same tables as sqlite/0001_log.sql.
CREATE TABLE events (
    position       BIGINT      NOT NULL PRIMARY KEY, -- dense, from 1, never reused
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

CREATE FUNCTION events_are_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the log is append-only: events are never changed or removed';
END $$;
CREATE TRIGGER events_refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION events_are_append_only();

-- One row: the last position given out, and the identity of this log.
CREATE TABLE ledger (
    id       BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    position BIGINT NOT NULL,
    log_id   TEXT   NOT NULL
) WITH (fillfactor = 10);
INSERT INTO ledger (id, position, log_id) VALUES (1, 0, replace(gen_random_uuid()::text, '-', ''));

CREATE TABLE streams (
    stream_type TEXT   NOT NULL,
    stream_id   TEXT   NOT NULL,
    tenant      TEXT   NOT NULL,
    version     BIGINT NOT NULL,
    PRIMARY KEY (stream_type, stream_id)
) WITH (fillfactor = 80);

-- Values that only one stream may hold: an e-mail address (as keyed hash), a product's slug.
CREATE TABLE claims (
    kind  TEXT NOT NULL,
    value TEXT NOT NULL,
    owner TEXT NOT NULL,
    PRIMARY KEY (kind, value)
);

-- What a caller may safely send twice.
CREATE TABLE idempotency_keys (
    idempotency_key TEXT        NOT NULL PRIMARY KEY,
    fingerprint     TEXT        NOT NULL,
    first_position  BIGINT      NOT NULL,
    last_position   BIGINT      NOT NULL,
    recorded_at     TIMESTAMPTZ NOT NULL
);

-- One data key per person, wrapped by the master key; destroyed by erasure.
CREATE TABLE subject_keys (
    subject     TEXT NOT NULL PRIMARY KEY,
    wrapped_key BYTEA -- NULL once destroyed
);

-- Instance-wide secrets, wrapped by the master key: signing keys, the look-up key, secrets until delivered.
CREATE TABLE vault (
    kind       TEXT        NOT NULL,
    name       TEXT        NOT NULL,
    sealed     BYTEA       NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (kind, name)
);

-- One row per stream: a state to start folding from. Always safe to delete.
CREATE TABLE snapshots (
    stream_type TEXT   NOT NULL,
    stream_id   TEXT   NOT NULL,
    version     BIGINT NOT NULL,
    fingerprint TEXT   NOT NULL,
    state       TEXT   NOT NULL,
    PRIMARY KEY (stream_type, stream_id)
);

-- The log in the table shape of cqrs-es, so that its own tools can read it.
CREATE SCHEMA cqrs;
CREATE VIEW cqrs.events AS
SELECT stream_type AS aggregate_type, stream_id AS aggregate_id, version AS sequence, event_type,
       schema_version::text AS event_version, payload::json AS payload,
       json_build_object('event_id', event_id, 'tenant', tenant, 'context', context) AS metadata
FROM events;

-- Appends a batch of commands in one round trip, each judged on its own; the ledger's row lock makes the
-- order of positions the order of commits, without gaps. The caller puts no two commands into a batch that
-- touch the same stream, claim, idempotency key or subject, so that each is judged against committed state.
--
-- Arrays of one prefix run in parallel: c_ a row per command, s_ per stream, e_ per event (grouped by
-- command, in order), k_ per claim, d_ per new data key; `*_command` is the command's index from 1.
-- Answers the last position before the batch, and one entry per command that lost: why, and what stood there.
--
-- Written for what runs thousands of times a second: plans are made once per session (making them costs more
-- than running them), and each look-up is a subquery of its own, so that a plan which was made while the tables
-- were small uses their keys too. unnest stands in select lists, where no intermediate table is made of it.
CREATE FUNCTION append_events(
    now timestamptz,
    c_key text[], c_fingerprint text[],
    s_command int[], s_type text[], s_id text[], s_tenant text[], s_expected bigint[], s_version bigint[],
    e_command int[], e_tenant text[], e_stream_type text[], e_stream_id text[], e_version bigint[],
    e_id text[], e_type text[], e_schema bigint[], e_payload text[], e_context text[],
    k_command int[], k_kind text[], k_value text[], k_owner text[], k_take bool[],
    d_command int[], d_subject text[], d_key bytea[],
    OUT base bigint, OUT lost int[], OUT verdict text[], OUT detail text[]
) LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    appended bigint;
    found record;
BEGIN
    SELECT position INTO base FROM ledger WHERE id = 1 FOR UPDATE;
    lost := '{}'; verdict := '{}'; detail := '{}';

    IF cardinality(c_key) > 0 THEN
        FOR found IN
            SELECT c.command, c.fingerprint AS given, i.*
            FROM (SELECT generate_subscripts(c_key, 1) AS command, unnest(c_key) AS idempotency_key,
                         unnest(c_fingerprint) AS fingerprint) c
            CROSS JOIN LATERAL (SELECT * FROM idempotency_keys t WHERE t.idempotency_key = c.idempotency_key OFFSET 0) i
        LOOP
            lost := lost || found.command;
            IF found.given = found.fingerprint THEN
                verdict := verdict || 'done'::text;
                detail := detail || (found.first_position || '-' || found.last_position);
            ELSE
                verdict := verdict || 'mismatch'::text;
                detail := detail || ''::text;
            END IF;
        END LOOP;
    END IF;

    FOR found IN
        SELECT s.command, s.actual FROM (
            SELECT g.command, g.expected, COALESCE((
                SELECT h.version FROM streams h WHERE h.stream_type = g.type AND h.stream_id = g.id), 0) AS actual
            FROM (SELECT unnest(s_command) AS command, unnest(s_type) AS type, unnest(s_id) AS id,
                         unnest(s_expected) AS expected) g
            OFFSET 0
        ) s WHERE s.actual <> s.expected
    LOOP
        lost := lost || found.command;
        verdict := verdict || 'conflict'::text;
        detail := detail || found.actual::text;
    END LOOP;

    IF cardinality(k_command) > 0 THEN
        FOR found IN
            SELECT k.command, k.kind
            FROM (SELECT unnest(k_command) AS command, unnest(k_kind) AS kind, unnest(k_value) AS value,
                         unnest(k_take) AS take) k
            WHERE k.take AND (
                SELECT true FROM claims t WHERE t.kind = k.kind AND t.value = k.value AND NOT EXISTS (
                    -- Given up by the same command.
                    SELECT FROM unnest(k_command, k_kind, k_value, k_owner, k_take) AS r (command, kind, value, owner, take)
                    WHERE NOT r.take AND r.command = k.command AND r.kind = t.kind AND r.value = t.value
                      AND r.owner = t.owner))
        LOOP
            lost := lost || found.command;
            verdict := verdict || 'taken'::text;
            detail := detail || found.kind;
        END LOOP;
    END IF;
    IF cardinality(d_command) > 0 THEN
        FOR found IN
            SELECT d.command FROM (SELECT unnest(d_command) AS command, unnest(d_subject) AS subject) d
            WHERE (SELECT true FROM subject_keys t WHERE t.subject = d.subject)
        LOOP
            lost := lost || found.command;
            verdict := verdict || 'key'::text;
            detail := detail || ''::text;
        END LOOP;
    END IF;

    INSERT INTO events (position, tenant, stream_type, stream_id, version, event_id, event_type, schema_version,
                        payload, context, recorded_at)
    SELECT base + row_number() OVER (), e.tenant, e.stream_type, e.stream_id, e.version, e.id, e.type,
           e.schema, e.payload, e.context, now
    FROM (SELECT unnest(e_command) AS command, unnest(e_tenant) AS tenant, unnest(e_stream_type) AS stream_type,
                 unnest(e_stream_id) AS stream_id, unnest(e_version) AS version, unnest(e_id) AS id,
                 unnest(e_type) AS type, unnest(e_schema) AS schema, unnest(e_payload) AS payload,
                 unnest(e_context) AS context) e
    WHERE e.command <> ALL (lost);
    GET DIAGNOSTICS appended = ROW_COUNT;
    IF appended = 0 THEN RETURN; END IF;

    INSERT INTO streams (stream_type, stream_id, tenant, version)
    SELECT s.type, s.id, s.tenant, s.version
    FROM (SELECT unnest(s_command) AS command, unnest(s_type) AS type, unnest(s_id) AS id, unnest(s_tenant) AS tenant,
                 unnest(s_version) AS version) s
    WHERE s.command <> ALL (lost)
    ON CONFLICT (stream_type, stream_id) DO UPDATE SET version = excluded.version;

    IF cardinality(k_command) > 0 THEN
        -- Releases first, so that a value can change hands within one command.
        FOR found IN
            SELECT k.kind, k.value, k.owner
            FROM (SELECT unnest(k_command) AS command, unnest(k_kind) AS kind, unnest(k_value) AS value,
                         unnest(k_owner) AS owner, unnest(k_take) AS take) k
            WHERE NOT k.take AND k.command <> ALL (lost)
        LOOP
            DELETE FROM claims t WHERE t.kind = found.kind AND t.value = found.value AND t.owner = found.owner;
        END LOOP;
        INSERT INTO claims (kind, value, owner)
        SELECT k.kind, k.value, k.owner
        FROM (SELECT unnest(k_command) AS command, unnest(k_kind) AS kind, unnest(k_value) AS value,
                     unnest(k_owner) AS owner, unnest(k_take) AS take) k
        WHERE k.take AND k.command <> ALL (lost);
    END IF;
    IF cardinality(d_command) > 0 THEN
        INSERT INTO subject_keys (subject, wrapped_key)
        SELECT d.subject, d.key
        FROM (SELECT unnest(d_command) AS command, unnest(d_subject) AS subject, unnest(d_key) AS key) d
        WHERE d.command <> ALL (lost);
    END IF;
    IF cardinality(c_key) > 0 THEN
        INSERT INTO idempotency_keys (idempotency_key, fingerprint, first_position, last_position, recorded_at)
        SELECT c.idempotency_key, c.fingerprint, p.first_position, p.last_position, now
        FROM (SELECT generate_subscripts(c_key, 1) AS command, unnest(c_key) AS idempotency_key,
                     unnest(c_fingerprint) AS fingerprint) c
        JOIN (
            SELECT e.command, min(e.position) AS first_position, max(e.position) AS last_position FROM (
                SELECT a.command, base + row_number() OVER () AS position
                FROM (SELECT unnest(e_command) AS command) a WHERE a.command <> ALL (lost)
            ) e GROUP BY e.command
        ) p ON p.command = c.command
        WHERE c.idempotency_key IS NOT NULL;
    END IF;

    UPDATE ledger SET position = base + appended WHERE id = 1;
END $$;

-- What a session puts into its temporary schema must never stand in for the log.
DO $$ BEGIN
    EXECUTE format('ALTER FUNCTION append_events SET search_path = %I, pg_temp', current_schema());
END $$;
