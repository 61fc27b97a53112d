-- What is drawn on whiteboards: for each board a log of updates, numbered from 1, and a state that stands in
-- the place of its beginning. No read model: a rebuild leaves it alone.
CREATE TABLE whiteboard_heads (
    tenant       TEXT   NOT NULL,
    whiteboard   BLOB   NOT NULL,
    meeting      BLOB   NOT NULL,
    -- Of the last update.
    number       BIGINT NOT NULL,
    -- It holds everything up to `state_number`, and the updates begin behind that.
    state        BLOB,
    state_number BIGINT NOT NULL,
    PRIMARY KEY (tenant, whiteboard)
) WITHOUT ROWID;
CREATE INDEX whiteboard_heads_state ON whiteboard_heads (tenant, state) WHERE state IS NOT NULL;

CREATE TABLE whiteboard_updates (
    tenant     TEXT   NOT NULL,
    whiteboard BLOB   NOT NULL,
    number     BIGINT NOT NULL,
    data       BLOB   NOT NULL,
    PRIMARY KEY (tenant, whiteboard, number)
) WITHOUT ROWID;

-- States never change, so that boards that began as copies share the one of their source. A state goes with
-- the last board or snapshot that refers to it.
CREATE TABLE whiteboard_states (
    tenant TEXT  NOT NULL,
    state  BLOB  NOT NULL,
    data   BLOB  NOT NULL,
    PRIMARY KEY (tenant, state)
);

CREATE TABLE whiteboard_snapshots (
    tenant     TEXT   NOT NULL,
    whiteboard BLOB   NOT NULL,
    snapshot   BLOB   NOT NULL,
    name       TEXT   NOT NULL,
    at         BIGINT NOT NULL,
    state      BLOB   NOT NULL,
    bytes      BIGINT NOT NULL,
    PRIMARY KEY (tenant, whiteboard, snapshot)
);
CREATE INDEX whiteboard_snapshots_state ON whiteboard_snapshots (tenant, state);
