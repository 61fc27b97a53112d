-- A file is being deleted, because somebody is erased, from `erasing_at` on: no hold can come in between.
ALTER TABLE recording_files ADD COLUMN erasing_at BIGINT;
