-- Where people are and were signed in; filled by the projection `sessions`.
CREATE TABLE sessions (
    session_id    TEXT        NOT NULL PRIMARY KEY,
    user_id       TEXT        NOT NULL,
    session_epoch BIGINT      NOT NULL, -- of the user when it began; has ended when the user is in a later one
    methods       TEXT        NOT NULL, -- JSON array
    ip            TEXT,                 -- NULL once erased
    user_agent    TEXT,                 -- NULL once erased
    started_at    TIMESTAMPTZ NOT NULL,
    expires_at    TIMESTAMPTZ NOT NULL,
    ended_at      TIMESTAMPTZ
);
CREATE INDEX sessions_open_by_user ON sessions (user_id, session_epoch, expires_at, session_id) WHERE ended_at IS NULL;

-- The tables from here on are no facts: what they hold ends by itself, and losing it costs a person one more mail or
-- one more sign-in. Secrets are hashed.

-- Tries to sign in, and whatever else must not be tried without end; counted before the try.
CREATE TABLE tries (
    subject      TEXT        NOT NULL PRIMARY KEY, -- a hash of the account, the address or the browser
    failures     BIGINT      NOT NULL,
    paused_until TIMESTAMPTZ NOT NULL,
    told         BOOLEAN     NOT NULL,             -- whether the log was told of this pause
    expires_at   TIMESTAMPTZ NOT NULL
);
CREATE INDEX tries_by_end ON tries (expires_at);

-- Browsers that have signed in to an account before.
CREATE TABLE known_devices (
    device_hash TEXT        NOT NULL,
    user_id     TEXT        NOT NULL,
    expires_at  TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (device_hash, user_id)
);
CREATE INDEX known_devices_by_end ON known_devices (expires_at);

-- Sign-ins whose password was right and whose code is still to come.
CREATE TABLE pending_sign_ins (
    pending_hash  TEXT        NOT NULL PRIMARY KEY,
    user_id       TEXT        NOT NULL,
    session_epoch BIGINT      NOT NULL,
    tries         BIGINT      NOT NULL,
    expires_at    TIMESTAMPTZ NOT NULL
);
CREATE INDEX pending_sign_ins_by_end ON pending_sign_ins (expires_at);

-- Second factors that are being set up; the secret is in the vault.
CREATE TABLE totp_setups (
    user_id    TEXT        NOT NULL PRIMARY KEY,
    secret_id  TEXT        NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX totp_setups_by_end ON totp_setups (expires_at);

-- The last time step whose code was accepted, so that none is accepted twice (RFC 6238 §5.2).
CREATE TABLE totp_steps (
    user_id    TEXT        NOT NULL PRIMARY KEY,
    step       BIGINT      NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX totp_steps_by_end ON totp_steps (expires_at);

-- Links in mails: to verify an address, to set a new password.
CREATE TABLE mail_links (
    token_hash TEXT        NOT NULL PRIMARY KEY,
    purpose    TEXT        NOT NULL, -- verify, reset
    user_id    TEXT        NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX mail_links_by_user ON mail_links (user_id, purpose);
CREATE INDEX mail_links_by_end ON mail_links (expires_at);
