-- What a node tells the others: how many meetings it serves, and whether it stops.
ALTER TABLE nodes ADD COLUMN meetings BIGINT NOT NULL DEFAULT 0;
ALTER TABLE nodes ADD COLUMN draining BIGINT NOT NULL DEFAULT 0;
