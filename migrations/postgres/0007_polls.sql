-- Questions and polls, as REST shows them. The trail names the rooms that they were in before those were
-- merged into others, the first one first.

CREATE TABLE questions_view (
    tenant      TEXT   NOT NULL,
    meeting     UUID   NOT NULL,
    id          UUID   NOT NULL,
    seq         BIGINT NOT NULL,
    room        TEXT   NOT NULL,
    trail       TEXT,
    state       TEXT   NOT NULL,
    -- Of a question that was asked by name.
    asker       UUID,
    answered_by UUID,
    -- What people wrote stands here alone, so that it can be taken away; data has the rest.
    words       TEXT   NOT NULL,
    answer      TEXT,
    data        TEXT   NOT NULL,
    PRIMARY KEY (tenant, meeting, id)
);
-- Lists are in the order of the events that they begin with; one event asks one question.
CREATE UNIQUE INDEX questions_as_asked ON questions_view (tenant, meeting, seq);

CREATE TABLE polls_view (
    tenant    TEXT   NOT NULL,
    meeting   UUID   NOT NULL,
    id        UUID   NOT NULL,
    seq       BIGINT NOT NULL,
    room      TEXT   NOT NULL,
    trail     TEXT,
    state     TEXT   NOT NULL,
    anonymous BIGINT NOT NULL,
    data      TEXT   NOT NULL,
    PRIMARY KEY (tenant, meeting, id)
);
CREATE UNIQUE INDEX polls_as_opened ON polls_view (tenant, meeting, seq);

-- Who voted what, in polls that are not anonymous; choices are a JSON list of numbers.
CREATE TABLE poll_votes_view (
    tenant  TEXT NOT NULL,
    meeting UUID NOT NULL,
    poll    UUID NOT NULL,
    voter   UUID NOT NULL,
    choices TEXT NOT NULL,
    PRIMARY KEY (tenant, meeting, poll, voter)
);
CREATE INDEX poll_votes_of_people ON poll_votes_view (tenant, meeting, voter);

-- What a person said, and how much was said by each and in each room, is found without reading all of it.
CREATE INDEX messages_of_people ON messages_view (tenant, meeting, sender);
CREATE INDEX messages_of_rooms ON messages_view (tenant, meeting, room);

-- Up to where the log was overwritten last. A snapshot of before that holds what was to be forgotten, and is
-- not kept any more, however late it comes.
CREATE TABLE forgotten (
    tenant  TEXT   NOT NULL,
    meeting UUID   NOT NULL,
    seq     BIGINT NOT NULL,
    PRIMARY KEY (tenant, meeting)
);
