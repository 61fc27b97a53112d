-- What REST reads: built from the log by the projector, and rebuilt from it at any time.

CREATE TABLE projection_cursors (
    tenant  TEXT   NOT NULL,
    meeting BLOB   NOT NULL,
    seq     BIGINT NOT NULL,
    PRIMARY KEY (tenant, meeting)
);

CREATE TABLE meetings_view (
    tenant TEXT NOT NULL,
    id     BLOB NOT NULL,
    title  TEXT NOT NULL,
    status TEXT NOT NULL,
    data   TEXT NOT NULL,
    PRIMARY KEY (tenant, id)
);

-- One row a stay in a room.
CREATE TABLE attendances (
    tenant      TEXT   NOT NULL,
    meeting     BLOB   NOT NULL,
    seq         BIGINT NOT NULL,
    participant BLOB   NOT NULL,
    user_id     TEXT,
    name        TEXT   NOT NULL,
    role        TEXT   NOT NULL,
    room        TEXT   NOT NULL,
    joined_at   BIGINT NOT NULL,
    left_at     BIGINT,
    PRIMARY KEY (tenant, meeting, seq)
);

CREATE TABLE messages_view (
    tenant    TEXT   NOT NULL,
    meeting   BLOB   NOT NULL,
    id        BLOB   NOT NULL,
    seq       BIGINT NOT NULL,
    sender    BLOB   NOT NULL,
    recipient TEXT   NOT NULL,
    room      TEXT   NOT NULL,
    data      TEXT   NOT NULL,
    PRIMARY KEY (tenant, meeting, id)
);

CREATE TABLE invitations_view (
    tenant      TEXT   NOT NULL,
    meeting     BLOB   NOT NULL,
    id          BLOB   NOT NULL,
    email       TEXT   NOT NULL,
    role        TEXT   NOT NULL,
    code_digest TEXT   NOT NULL UNIQUE,
    created_at  BIGINT NOT NULL,
    PRIMARY KEY (tenant, meeting, id)
);

-- In which meetings a user has been, for erasure and export.
CREATE TABLE known_users (
    tenant      TEXT NOT NULL,
    user_id     TEXT NOT NULL,
    meeting     BLOB NOT NULL,
    participant BLOB NOT NULL,
    PRIMARY KEY (tenant, user_id, meeting)
);

CREATE TABLE idempotency_keys (
    tenant      TEXT    NOT NULL,
    route       TEXT    NOT NULL,
    key         TEXT    NOT NULL,
    body_digest TEXT    NOT NULL,
    resource    BLOB    NOT NULL,
    status      INTEGER,
    response    TEXT,
    created_at  BIGINT  NOT NULL,
    PRIMARY KEY (tenant, route, key)
);
