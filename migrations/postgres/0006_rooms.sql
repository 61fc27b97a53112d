-- People move between rooms, many in one event, and rooms merge with what was said in them.

ALTER TABLE attendances DROP CONSTRAINT attendances_pkey;
ALTER TABLE attendances ADD PRIMARY KEY (tenant, meeting, seq, participant);
-- Who was in which room decides who reads what was said there.
CREATE INDEX attendances_of_people ON attendances (tenant, meeting, participant, room);

-- A message of the tenant's backend has no sender.
ALTER TABLE messages_view ALTER COLUMN sender DROP NOT NULL;
-- The rooms that a message was in before those were merged into others, the first one first.
ALTER TABLE messages_view ADD COLUMN trail TEXT;

-- Whether somebody is host or cohost, as they left the meeting or are in it: those read every room.
ALTER TABLE known_users ADD COLUMN leads BIGINT NOT NULL DEFAULT 0;
UPDATE known_users SET leads = 1 WHERE EXISTS (
    SELECT 1 FROM attendances a
    WHERE a.tenant = known_users.tenant AND a.meeting = known_users.meeting
      AND a.participant = known_users.participant AND a.role IN ('host', 'cohost')
      AND a.seq = (SELECT MAX(b.seq) FROM attendances b
                   WHERE b.tenant = a.tenant AND b.meeting = a.meeting AND b.participant = a.participant));
-- Whether somebody was removed, or sent to the lobby, and not let in since: those read nothing.
ALTER TABLE known_users ADD COLUMN is_out BIGINT NOT NULL DEFAULT 0;
CREATE INDEX known_people ON known_users (tenant, meeting, participant);

-- The rooms of the latest set.
CREATE TABLE rooms_view (
    tenant  TEXT NOT NULL,
    meeting UUID NOT NULL,
    id      TEXT NOT NULL,
    name    TEXT NOT NULL,
    state   TEXT NOT NULL,
    ends_at BIGINT,
    PRIMARY KEY (tenant, meeting, id)
);

-- The set that is open or closing, if there is one.
CREATE TABLE breakouts_view (
    tenant  TEXT NOT NULL,
    meeting UUID NOT NULL,
    data    TEXT NOT NULL,
    PRIMARY KEY (tenant, meeting)
);

-- Users who stand on a list of rooms, whether or not they ever came: so that they can be found.
CREATE TABLE listed_users (
    tenant  TEXT NOT NULL,
    user_id TEXT NOT NULL,
    meeting UUID NOT NULL,
    PRIMARY KEY (tenant, user_id, meeting)
);
