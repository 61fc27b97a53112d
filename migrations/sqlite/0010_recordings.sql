-- Recordings. What the log says of them is built from it, as all read models are; what storage knows by
-- itself (names given later, holds, what was deleted) is kept apart, so that it survives a rebuild.

CREATE TABLE recording_jobs (
    tenant     TEXT   NOT NULL,
    id         BLOB   NOT NULL,
    meeting    BLOB   NOT NULL,
    room       TEXT   NOT NULL,
    status     TEXT   NOT NULL,
    kind       TEXT   NOT NULL,
    format     TEXT   NOT NULL,
    name       TEXT   NOT NULL,
    automatic  BIGINT NOT NULL,
    consent    BIGINT NOT NULL,
    asked_at   BIGINT NOT NULL,
    started_at BIGINT,
    ended_at   BIGINT,
    error      TEXT,
    -- The whole of it, as it was said last.
    data       TEXT   NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX recording_jobs_of_meeting ON recording_jobs (tenant, meeting, id);

-- One row a take: one run of the recorder, and the file that came of it.
CREATE TABLE recording_tracks (
    tenant      TEXT   NOT NULL,
    recording   BLOB   NOT NULL,
    take        TEXT   NOT NULL,
    meeting     BLOB   NOT NULL,
    part        TEXT   NOT NULL,
    participant BLOB,
    source      TEXT,
    state       TEXT   NOT NULL,
    file        TEXT   NOT NULL,
    bytes       BIGINT,
    duration_ms BIGINT,
    started_at  BIGINT,
    ended_at    BIGINT,
    error       TEXT,
    PRIMARY KEY (tenant, recording, take)
);
CREATE INDEX recording_tracks_of_person ON recording_tracks (tenant, meeting, participant);
CREATE INDEX recording_tracks_by_file ON recording_tracks (file);

CREATE TABLE recording_consents (
    tenant      TEXT   NOT NULL,
    recording   BLOB   NOT NULL,
    participant BLOB   NOT NULL,
    meeting     BLOB   NOT NULL,
    given       BIGINT NOT NULL,
    at          BIGINT NOT NULL,
    PRIMARY KEY (tenant, recording, participant)
);

-- What storage knows of a recording, besides the log. It is being deleted from `deleting_at` on, and its
-- objects are gone at `deleted_at`. A look at its file is due at `look_at`.
CREATE TABLE recording_objects (
    tenant       TEXT   NOT NULL,
    recording    BLOB   NOT NULL,
    meeting      BLOB   NOT NULL,
    name         TEXT,
    legal_hold   BIGINT NOT NULL DEFAULT 0,
    tier         TEXT,
    deleting_at  BIGINT,
    deleted_at   BIGINT,
    deleted_by   TEXT,
    thumbnail    TEXT,
    duration_ms  BIGINT,
    look_at      BIGINT,
    look_until   BIGINT,
    looks        BIGINT NOT NULL DEFAULT 0,
    look_error   TEXT,
    PRIMARY KEY (tenant, recording)
);
CREATE INDEX recording_objects_deleting ON recording_objects (deleting_at)
    WHERE deleting_at IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX recording_objects_to_look_at ON recording_objects (look_at) WHERE look_at IS NOT NULL;
CREATE INDEX recording_objects_thumbnails ON recording_objects (thumbnail) WHERE thumbnail IS NOT NULL;

-- What storage knows of one file: where it is by now, and whether somebody's erasure takes it away.
CREATE TABLE recording_files (
    tenant     TEXT   NOT NULL,
    recording  BLOB   NOT NULL,
    take       TEXT   NOT NULL,
    location   TEXT,
    -- A copy that is being made.
    moving     TEXT,
    erase_at   BIGINT,
    deleted_at BIGINT,
    PRIMARY KEY (tenant, recording, take)
);
CREATE INDEX recording_files_to_erase ON recording_files (erase_at) WHERE erase_at IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX recording_files_by_location ON recording_files (location) WHERE location IS NOT NULL;

CREATE TABLE storage_policies (
    tenant     TEXT   NOT NULL,
    id         BLOB   NOT NULL,
    name       TEXT   NOT NULL,
    days       BIGINT NOT NULL,
    -- Where recordings go; absent: nowhere, they are deleted.
    tier       TEXT,
    legal_hold BIGINT NOT NULL,
    meeting    BLOB,
    kind       TEXT,
    room       TEXT,
    enabled    BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);

-- Who did what to recordings and policies. Lines are added and never changed.
CREATE TABLE audit (
    tenant  TEXT   NOT NULL,
    id      BLOB   NOT NULL,
    at      BIGINT NOT NULL,
    who     TEXT   NOT NULL,
    action  TEXT   NOT NULL,
    subject TEXT   NOT NULL,
    detail  TEXT   NOT NULL,
    PRIMARY KEY (tenant, id)
);

-- What one node does at a time, for all. `done_at` is when it was last done to its end.
CREATE TABLE duties (
    name         TEXT   PRIMARY KEY,
    holder       TEXT   NOT NULL,
    leased_until BIGINT NOT NULL,
    done_at      BIGINT NOT NULL
);
