-- Who follows the log, how far it got, and which node leads it; the checkpoint moves with the rows it stands for.
CREATE TABLE followers (
    name         TEXT        NOT NULL PRIMARY KEY, -- with its version: user_list@1
    position     BIGINT      NOT NULL,
    leader       TEXT        NOT NULL,
    epoch        BIGINT      NOT NULL,             -- fences a leader that was replaced
    leased_until TIMESTAMPTZ NOT NULL
);

-- Streams that a follower cannot read past: never skipped silently, and never a stop for the others.
CREATE TABLE parked_streams (
    follower    TEXT        NOT NULL,
    stream_type TEXT        NOT NULL,
    stream_id   TEXT        NOT NULL,
    position    BIGINT      NOT NULL, -- the event that could not be applied
    error       TEXT        NOT NULL,
    PRIMARY KEY (follower, stream_type, stream_id)
);
