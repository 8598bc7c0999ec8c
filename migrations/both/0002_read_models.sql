-- People and organizations; filled by the projection `directory`.
CREATE TABLE users (
    user_id        TEXT        NOT NULL PRIMARY KEY,
    email          TEXT, -- NULL once erased
    name           TEXT, -- NULL once erased
    email_verified BOOLEAN     NOT NULL,
    status         TEXT        NOT NULL,
    registered_at  TIMESTAMPTZ NOT NULL
);
CREATE TABLE organizations (
    organization_id TEXT        NOT NULL PRIMARY KEY,
    name            TEXT        NOT NULL,
    created_at      TIMESTAMPTZ NOT NULL
);
CREATE TABLE members (
    organization_id TEXT        NOT NULL,
    user_id         TEXT        NOT NULL,
    role            TEXT        NOT NULL,
    joined_at       TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (organization_id, user_id)
);
CREATE INDEX members_by_user ON members (user_id, organization_id);

-- What can be installed; filled by the projection `app_directory`.
CREATE TABLE apps (
    app_id          TEXT        NOT NULL PRIMARY KEY,
    organization_id TEXT        NOT NULL,
    name            TEXT        NOT NULL,
    title           TEXT        NOT NULL,
    version         TEXT        NOT NULL,
    description     TEXT,
    visibility      TEXT        NOT NULL,
    webhook_url     TEXT,
    launch_url      TEXT,
    redirect_uris   TEXT        NOT NULL, -- JSON array
    scopes          TEXT        NOT NULL, -- JSON array
    defined_at      TIMESTAMPTZ NOT NULL
);
CREATE INDEX apps_by_organization ON apps (organization_id, app_id);

-- What is installed; filled by the projection `installations`.
CREATE TABLE installations (
    installation_id TEXT        NOT NULL PRIMARY KEY,
    organization_id TEXT        NOT NULL,
    app_id          TEXT        NOT NULL,
    client_id       TEXT        NOT NULL,
    status          TEXT        NOT NULL, -- installing, installed, uninstalled
    installed_at    TIMESTAMPTZ NOT NULL,
    uninstalled_at  TIMESTAMPTZ
);
CREATE INDEX installations_by_organization ON installations (organization_id, installation_id);

-- OAuth clients; filled by the projection `clients`.
CREATE TABLE clients (
    client_id       TEXT        NOT NULL PRIMARY KEY,
    organization_id TEXT        NOT NULL,
    installation_id TEXT,
    name            TEXT        NOT NULL,
    client_type     TEXT        NOT NULL,
    status          TEXT        NOT NULL, -- active, disabled, deleted
    redirect_uris   TEXT        NOT NULL, -- JSON array
    scopes          TEXT        NOT NULL, -- JSON array
    created_at      TIMESTAMPTZ NOT NULL
);
CREATE INDEX clients_by_organization ON clients (organization_id, client_id);

-- Products and who has subscribed to them; filled by the projection `subscriptions`.
CREATE TABLE products (
    product_id      TEXT        NOT NULL PRIMARY KEY,
    organization_id TEXT        NOT NULL,
    slug            TEXT        NOT NULL,
    name            TEXT        NOT NULL,
    description     TEXT,
    features        TEXT        NOT NULL, -- JSON array
    created_at      TIMESTAMPTZ NOT NULL
);
CREATE INDEX products_by_organization ON products (organization_id, product_id);
CREATE TABLE subscriptions (
    subscription_id TEXT        NOT NULL PRIMARY KEY,
    organization_id TEXT        NOT NULL,
    vendor_id       TEXT        NOT NULL,
    product_id      TEXT        NOT NULL,
    total_seats     BIGINT      NOT NULL,
    price_per_seat  TEXT        NOT NULL, -- a decimal, kept exactly
    billing_cycle   TEXT        NOT NULL,
    status          TEXT        NOT NULL,
    end_date        TIMESTAMPTZ,
    created_at      TIMESTAMPTZ NOT NULL
);
CREATE INDEX subscriptions_by_organization ON subscriptions (organization_id, subscription_id);

-- Which app may act for whom; filled by the projection `connected_apps`.
CREATE TABLE grants (
    grant_id        TEXT        NOT NULL PRIMARY KEY,
    user_id         TEXT        NOT NULL,
    client_id       TEXT        NOT NULL,
    organization_id TEXT,
    scopes          TEXT        NOT NULL, -- JSON array
    granted_at      TIMESTAMPTZ NOT NULL,
    last_used_at    TIMESTAMPTZ,
    revoked_at      TIMESTAMPTZ,
    revoked_because TEXT
);
CREATE INDEX grants_by_user ON grants (user_id, grant_id);
