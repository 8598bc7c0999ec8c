-- Webhooks on their way: filled from the log by the outbox, moved along by the workers. All of it can be dropped and
-- rebuilt from the log; what a receiver acknowledged is in the log, so nothing of that is sent again.

-- Where each app receives its webhooks now.
CREATE TABLE webhook_endpoints (
    app_id          TEXT NOT NULL PRIMARY KEY,
    url             TEXT, -- NULL: the app takes none
    disabled_reason TEXT  -- set when the receiver answered 410 Gone; a new URL clears it
);

-- One lane per app and organization: its deliveries go out one at a time, in the order of the log.
-- A lane's row is locked before any of its deliveries is touched.
CREATE TABLE webhook_lanes (
    app_id          TEXT        NOT NULL,
    organization_id TEXT        NOT NULL,
    due_at          TIMESTAMPTZ,          -- when a worker may look at it: the end of the lease while leased, NULL while
                                          -- it is empty or its first delivery waits for an event
    leased          BOOLEAN     NOT NULL,
    fence           BIGINT      NOT NULL, -- counts leases: who holds an older one changes nothing any more
    PRIMARY KEY (app_id, organization_id)
);
CREATE INDEX webhook_lanes_due ON webhook_lanes (app_id, due_at) WHERE due_at IS NOT NULL;

CREATE TABLE webhook_deliveries (
    delivery_id       TEXT        NOT NULL PRIMARY KEY, -- the receiver's webhook-id, derived from the event
    app_id            TEXT        NOT NULL,
    organization_id   TEXT        NOT NULL,
    event             TEXT        NOT NULL,             -- what the receiver is told: app.installed, app.uninstalled
    client_id         TEXT        NOT NULL,
    log_position      BIGINT      NOT NULL,             -- of the event that it tells of
    caused_by         TEXT        NOT NULL,             -- that event's id
    correlation_id    TEXT,
    recorded_at       TIMESTAMPTZ NOT NULL,
    state             TEXT        NOT NULL,             -- queued waiting due leased retry_wait held |
                                                        -- delivered exhausted cancelled superseded
    reason            TEXT,                             -- in words, whenever it waits or ended without arriving
    credentials_ready BOOLEAN     NOT NULL,             -- what it tells of exists
    superseded_by     BIGINT,                           -- position of the event that made it pointless
    attempts          BIGINT      NOT NULL,             -- leased, so each of them may have arrived
    first_attempt_at  TIMESTAMPTZ,
    retry_at          TIMESTAMPTZ,
    last_status       BIGINT,
    last_failure      TEXT,
    finished          BOOLEAN     NOT NULL,
    finished_at       TIMESTAMPTZ,
    in_log            BOOLEAN     NOT NULL,             -- whether the log knows how it ended
    UNIQUE (log_position, app_id)
);
CREATE INDEX webhook_deliveries_by_lane ON webhook_deliveries (organization_id, app_id, log_position);
CREATE INDEX webhook_deliveries_by_client ON webhook_deliveries (client_id);
CREATE INDEX webhook_deliveries_unfinished ON webhook_deliveries (app_id, organization_id, log_position)
    WHERE finished = FALSE;
CREATE INDEX webhook_deliveries_untold ON webhook_deliveries (log_position) WHERE finished = TRUE AND in_log = FALSE;

-- Each try, as it went; rows are only added.
CREATE TABLE webhook_attempts (
    delivery_id TEXT        NOT NULL,
    attempt     BIGINT      NOT NULL,
    url         TEXT        NOT NULL,
    started_at  TIMESTAMPTZ NOT NULL,
    latency_ms  BIGINT      NOT NULL,
    status      BIGINT, -- of the answer, if one came
    failure     TEXT,   -- why none came: address dns connect tls timeout broken unknown
    detail      TEXT,   -- the same in words
    response    TEXT,   -- the first bytes of the answer, the client's secret masked
    PRIMARY KEY (delivery_id, attempt)
);

-- One row: what was attempted for events up to this position may have been forgotten with an earlier copy of these
-- tables, so nothing up to there counts as never attempted.
CREATE TABLE webhook_memory (
    id              BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    forgotten_up_to BIGINT NOT NULL
);
