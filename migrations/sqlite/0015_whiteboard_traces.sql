-- The request of the last restore: asked again, it is not drawn again.
ALTER TABLE whiteboard_heads ADD COLUMN last_restore BLOB;
-- Boards that began as copies share the updates behind their state, too: those stand in `whiteboard_updates` under
-- this id in the place of a board's, never change, and go with the last board that refers to them.
ALTER TABLE whiteboard_heads ADD COLUMN tail BLOB;
CREATE INDEX whiteboard_heads_tail ON whiteboard_heads (tenant, tail) WHERE tail IS NOT NULL;

-- The participants who gave the names, which go when those are erased.
ALTER TABLE whiteboard_snapshots ADD COLUMN made_by BLOB;
ALTER TABLE whiteboards ADD COLUMN named_by BLOB;
