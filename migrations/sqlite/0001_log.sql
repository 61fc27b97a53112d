-- The log: what the actors write. Times are Unix milliseconds, UTC; JSON is kept as text, so that
-- what is stored is byte for byte what is sent. Every row names its tenant.

CREATE TABLE nodes (
    node        TEXT    NOT NULL PRIMARY KEY,
    epoch       BIGINT  NOT NULL,
    lease_until BIGINT  NOT NULL
);

CREATE TABLE meeting_heads (
    tenant      TEXT    NOT NULL,
    meeting     BLOB    NOT NULL,
    owner_node  TEXT,
    owner_epoch BIGINT,
    term        BIGINT  NOT NULL,
    seq         BIGINT  NOT NULL,
    wake_at     BIGINT,
    failed      TEXT,
    PRIMARY KEY (tenant, meeting)
) WITHOUT ROWID;

CREATE INDEX meeting_heads_wake ON meeting_heads (wake_at) WHERE wake_at IS NOT NULL;

CREATE TABLE events (
    tenant        TEXT    NOT NULL,
    meeting       BLOB    NOT NULL,
    seq           BIGINT  NOT NULL,
    at            BIGINT  NOT NULL,
    kind          TEXT    NOT NULL,
    version       INTEGER NOT NULL,
    audience      TEXT    NOT NULL,
    cause_session BLOB,
    cause_id      BIGINT,
    data          TEXT    NOT NULL,
    PRIMARY KEY (tenant, meeting, seq)
) WITHOUT ROWID;

CREATE TABLE snapshots (
    tenant  TEXT    NOT NULL,
    meeting BLOB    NOT NULL,
    seq     BIGINT  NOT NULL,
    version INTEGER NOT NULL,
    state   TEXT    NOT NULL,
    PRIMARY KEY (tenant, meeting)
);

CREATE TABLE outbox (
    id              INTEGER PRIMARY KEY,
    tenant          TEXT    NOT NULL,
    meeting         BLOB    NOT NULL,
    topic           TEXT    NOT NULL,
    idempotency_key TEXT    NOT NULL,
    payload         TEXT    NOT NULL,
    created_at      BIGINT  NOT NULL,
    attempts        INTEGER NOT NULL DEFAULT 0,
    next_attempt_at BIGINT  NOT NULL,
    done_at         BIGINT,
    UNIQUE (tenant, idempotency_key)
);

CREATE TABLE command_deaths (
    tenant     TEXT    NOT NULL,
    meeting    BLOB    NOT NULL,
    session    BLOB    NOT NULL,
    command_id BIGINT  NOT NULL,
    deaths     INTEGER NOT NULL,
    PRIMARY KEY (tenant, meeting, session, command_id)
);
