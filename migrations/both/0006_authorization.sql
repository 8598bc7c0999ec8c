-- Authorization requests that wait for a person: no facts, swept when they expire.
CREATE TABLE authorization_requests (
    handle_hash     TEXT        NOT NULL PRIMARY KEY, -- of the handle in the browser's address
    parameters      TEXT        NOT NULL,             -- as a form
    organization_id TEXT,                             -- chosen meanwhile
    decision        TEXT,                             -- authorize or deny, once the person decided
    created_at      TIMESTAMPTZ NOT NULL,
    expires_at      TIMESTAMPTZ NOT NULL
);
CREATE INDEX authorization_requests_by_end ON authorization_requests (expires_at);

-- What a licence for a product allows.
ALTER TABLE products ADD COLUMN permissions TEXT NOT NULL DEFAULT '[]'; -- JSON array
CREATE UNIQUE INDEX products_by_slug ON products (slug);
