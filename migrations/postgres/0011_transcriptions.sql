-- Transcription of recordings: one row for each file and each language that was asked for ('detect': the
-- service finds out). A row is due at `due_at` and somebody's until `leased_until`; over, it is told of once.
-- No read model: a rebuild leaves it alone.
CREATE TABLE transcription_jobs (
    tenant       TEXT   NOT NULL,
    recording    UUID   NOT NULL,
    -- Empty where the recording has nothing that could be transcribed.
    take         TEXT   NOT NULL,
    language     TEXT   NOT NULL,
    meeting      UUID   NOT NULL,
    -- Whose track it is; absent: the file is of the whole room.
    participant  UUID,
    -- Its place among the files of its recording: places of segments are made with it.
    ordinal      BIGINT NOT NULL,
    status       TEXT   NOT NULL,
    attempts     BIGINT NOT NULL DEFAULT 0,
    due_at       BIGINT,
    leased_until BIGINT,
    error        TEXT,
    told         BIGINT NOT NULL DEFAULT 0,
    created_at   BIGINT NOT NULL,
    finished_at  BIGINT,
    PRIMARY KEY (tenant, recording, language, take)
);
CREATE INDEX transcription_jobs_due ON transcription_jobs (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX transcription_jobs_untold ON transcription_jobs (tenant, recording, language) WHERE told = 0;
CREATE INDEX transcription_jobs_of_person ON transcription_jobs (tenant, meeting, participant);

-- What was said, as it was transcribed. Whoever is erased leaves none.
CREATE TABLE transcription_segments (
    tenant      TEXT   NOT NULL,
    recording   UUID   NOT NULL,
    -- As it was asked for; `lang` is what is spoken.
    language    TEXT   NOT NULL,
    place       BIGINT NOT NULL,
    take        TEXT   NOT NULL,
    meeting     UUID   NOT NULL,
    participant UUID,
    -- One of several in a file of the whole room.
    speaker     BIGINT,
    lang        TEXT   NOT NULL,
    -- The first part of `lang`, in lower case; empty where it is not known.
    base        TEXT   NOT NULL,
    text        TEXT   NOT NULL,
    start_at    BIGINT NOT NULL,
    end_at      BIGINT NOT NULL,
    PRIMARY KEY (tenant, recording, language, place)
);
CREATE INDEX transcription_segments_as_spoken ON transcription_segments (tenant, recording, language, start_at, place);
CREATE INDEX transcription_segments_of_person ON transcription_segments (tenant, meeting, participant);

-- What was completed lately is looked for where every recording is transcribed.
CREATE INDEX recording_jobs_completed ON recording_jobs (ended_at) WHERE status = 'completed';
