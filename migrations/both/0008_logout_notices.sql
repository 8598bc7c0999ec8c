-- Back-channel logout: which clients are told that a session ended. All of it can be dropped and is filled again from
-- the log; how telling a client ended is in the log too, so nobody is told twice.

-- Where each client is told, and how its tokens are signed.
CREATE TABLE logout_endpoints (
    client_id TEXT NOT NULL PRIMARY KEY,
    uri       TEXT NOT NULL,
    algorithm TEXT NOT NULL
);

-- The clients that a user signed in to within a session that has not ended.
CREATE TABLE logout_parties (
    session_id    TEXT        NOT NULL,
    client_id     TEXT        NOT NULL,
    user_id       TEXT        NOT NULL,
    authorized_at TIMESTAMPTZ NOT NULL, -- the last time
    PRIMARY KEY (session_id, client_id)
);
CREATE INDEX logout_parties_by_user ON logout_parties (user_id);
CREATE INDEX logout_parties_by_client ON logout_parties (client_id);
CREATE INDEX logout_parties_by_age ON logout_parties (authorized_at);

CREATE TABLE logout_notices (
    session_id     TEXT        NOT NULL,
    client_id      TEXT        NOT NULL,
    user_id        TEXT        NOT NULL,
    uri            TEXT        NOT NULL, -- kept here, because the client may be deleted
    algorithm      TEXT        NOT NULL,
    caused_by      TEXT        NOT NULL, -- the event that ended the session
    correlation_id TEXT,
    enqueued_at    TIMESTAMPTZ NOT NULL,
    attempts       BIGINT      NOT NULL, -- claimed, so each of them may have arrived
    due_at         TIMESTAMPTZ NOT NULL, -- the end of the lease while a worker has it
    fence          BIGINT      NOT NULL, -- counts claims: who holds an older one changes nothing any more
    finished       BOOLEAN     NOT NULL,
    outcome        TEXT,                 -- acknowledged failed
    reason         TEXT,                 -- in words, if an attempt failed
    PRIMARY KEY (session_id, client_id)
);
CREATE INDEX logout_notices_due ON logout_notices (client_id, due_at) WHERE finished = FALSE;
CREATE INDEX logout_notices_by_age ON logout_notices (enqueued_at);
