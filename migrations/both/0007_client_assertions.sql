-- Assertions by which clients have proved who they are: each works once (RFC 7523 §3). Rows are of no use after they
-- expired; until then dropping them would let an assertion be used again.
CREATE TABLE client_assertions (
    client_id  TEXT        NOT NULL,
    jti_hash   TEXT        NOT NULL, -- SHA-256: what a client calls its assertion may be of any length
    expires_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (client_id, jti_hash)
);
CREATE INDEX client_assertions_by_expiry ON client_assertions (expires_at);
