-- What was said, in writing. The trail is as that of messages_view: the rooms that a caption was in
-- before those were merged into others, the first one first. Whoever is erased leaves empty texts.
CREATE TABLE captions_view (
    tenant      TEXT   NOT NULL,
    meeting     UUID   NOT NULL,
    seq         BIGINT NOT NULL,
    participant UUID   NOT NULL,
    room        TEXT   NOT NULL,
    lang        TEXT   NOT NULL,
    text        TEXT   NOT NULL,
    start_at    BIGINT NOT NULL,
    end_at      BIGINT NOT NULL,
    trail       TEXT,
    PRIMARY KEY (tenant, meeting, seq)
);
-- A transcript is read in the order of what was said, whenever it was written down.
CREATE INDEX captions_as_spoken ON captions_view (tenant, meeting, start_at, seq);

-- How often somebody raised a hand, and the last event that counted.
CREATE TABLE hands_view (
    tenant      TEXT   NOT NULL,
    meeting     UUID   NOT NULL,
    participant UUID   NOT NULL,
    raised      BIGINT NOT NULL,
    seq         BIGINT NOT NULL,
    PRIMARY KEY (tenant, meeting, participant)
);
-- Hands that the read models have passed already; those to come are counted as they are passed.
INSERT INTO hands_view (tenant, meeting, participant, raised, seq)
SELECT e.tenant, e.meeting, (e.data::json #>> '{hand,participant}')::uuid, COUNT(*), MAX(e.seq)
FROM events e JOIN projection_cursors c ON c.tenant = e.tenant AND c.meeting = e.meeting AND e.seq <= c.seq
WHERE e.kind = 'hand.raised'
GROUP BY e.tenant, e.meeting, e.data::json #>> '{hand,participant}';

-- Rooms of earlier sets keep their names, for whoever looks back.
ALTER TABLE rooms_view ADD COLUMN is_former BIGINT NOT NULL DEFAULT 0;
