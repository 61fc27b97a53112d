-- People move between rooms, many in one event, and rooms merge with what was said in them. SQLite
-- changes neither keys nor columns in place, so two tables are written anew.

CREATE TABLE attendances_new (
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
    PRIMARY KEY (tenant, meeting, seq, participant)
);
INSERT INTO attendances_new (tenant, meeting, seq, participant, user_id, name, role, room, joined_at, left_at)
SELECT tenant, meeting, seq, participant, user_id, name, role, room, joined_at, left_at FROM attendances;
DROP TABLE attendances;
ALTER TABLE attendances_new RENAME TO attendances;
-- Who was in which room decides who reads what was said there.
CREATE INDEX attendances_of_people ON attendances (tenant, meeting, participant, room);

-- A message of the tenant's backend has no sender. The trail names the rooms that a message was in
-- before those were merged into others, the first one first.
CREATE TABLE messages_new (
    tenant    TEXT   NOT NULL,
    meeting   BLOB   NOT NULL,
    id        BLOB   NOT NULL,
    seq       BIGINT NOT NULL,
    sender    BLOB,
    recipient TEXT   NOT NULL,
    room      TEXT   NOT NULL,
    data      TEXT   NOT NULL,
    trail     TEXT,
    PRIMARY KEY (tenant, meeting, id)
);
INSERT INTO messages_new (tenant, meeting, id, seq, sender, recipient, room, data)
SELECT tenant, meeting, id, seq, sender, recipient, room, data FROM messages_view;
DROP TABLE messages_view;
ALTER TABLE messages_new RENAME TO messages_view;

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
    meeting BLOB NOT NULL,
    id      TEXT NOT NULL,
    name    TEXT NOT NULL,
    state   TEXT NOT NULL,
    ends_at BIGINT,
    PRIMARY KEY (tenant, meeting, id)
);

-- The set that is open or closing, if there is one.
CREATE TABLE breakouts_view (
    tenant  TEXT NOT NULL,
    meeting BLOB NOT NULL,
    data    TEXT NOT NULL,
    PRIMARY KEY (tenant, meeting)
);

-- Users who stand on a list of rooms, whether or not they ever came: so that they can be found.
CREATE TABLE listed_users (
    tenant  TEXT NOT NULL,
    user_id TEXT NOT NULL,
    meeting BLOB NOT NULL,
    PRIMARY KEY (tenant, user_id, meeting)
);
