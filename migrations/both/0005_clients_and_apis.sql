-- OAuth clients again, now with their settings; filled by the projection `clients@2`, which starts from the first event.
DELETE FROM followers WHERE name = 'clients@1';
DROP TABLE clients;
CREATE TABLE clients (
    client_id       TEXT        NOT NULL PRIMARY KEY,
    organization_id TEXT        NOT NULL,
    installation_id TEXT,
    name            TEXT        NOT NULL,
    client_type     TEXT        NOT NULL,
    status          TEXT        NOT NULL, -- active, disabled, deleted
    redirect_uris   TEXT        NOT NULL, -- JSON array
    scopes          TEXT        NOT NULL, -- JSON array
    settings        TEXT        NOT NULL, -- JSON object
    created_at      TIMESTAMPTZ NOT NULL
);
CREATE INDEX clients_by_organization ON clients (organization_id, client_id);

-- Their secrets, which nobody can read: only what tells one from another.
CREATE TABLE client_secrets (
    client_id    TEXT        NOT NULL,
    secret_id    TEXT        NOT NULL,
    number       BIGINT      NOT NULL, -- grows with each; where in the log it was made
    last_four    TEXT,
    created_at   TIMESTAMPTZ NOT NULL,
    expires_at   TIMESTAMPTZ,          -- NULL: the newest has no end
    revoked_at   TIMESTAMPTZ,
    last_used_at TIMESTAMPTZ,
    PRIMARY KEY (client_id, secret_id)
);

-- Whose scripts may call the token endpoint and its neighbours, by client (R103, R144).
CREATE TABLE client_origins (
    origin    TEXT NOT NULL,
    client_id TEXT NOT NULL,
    PRIMARY KEY (origin, client_id)
);
CREATE INDEX client_origins_by_client ON client_origins (client_id);

-- What tokens can be for; filled by the projection `apis`.
CREATE TABLE apis (
    api_id                TEXT        NOT NULL PRIMARY KEY,
    organization_id       TEXT        NOT NULL,
    identifier            TEXT        NOT NULL,
    name                  TEXT        NOT NULL,
    scopes                TEXT        NOT NULL, -- JSON array
    access_token_lifetime BIGINT,               -- in seconds; NULL: the instance's
    created_at            TIMESTAMPTZ NOT NULL
);
CREATE INDEX apis_by_organization ON apis (organization_id, api_id);
