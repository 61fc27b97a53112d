-- Which whiteboards there are, built from the meetings' logs. What is drawn on them is no read model.
CREATE TABLE whiteboards (
    tenant     TEXT   NOT NULL,
    whiteboard UUID   NOT NULL,
    meeting    UUID   NOT NULL,
    -- The room that it belongs to now.
    room       TEXT   NOT NULL,
    name       TEXT   NOT NULL,
    access     TEXT   NOT NULL,
    made_by    UUID,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, whiteboard)
);
CREATE INDEX whiteboards_of_meeting ON whiteboards (tenant, meeting, whiteboard);
