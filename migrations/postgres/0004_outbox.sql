-- Deliveries are leased, so that of many nodes one delivers a row; what cannot be delivered is kept,
-- dead, for whoever runs the server.

ALTER TABLE outbox ADD COLUMN leased_until BIGINT;
ALTER TABLE outbox ADD COLUMN dead_at BIGINT;
ALTER TABLE outbox ADD COLUMN error TEXT;

CREATE INDEX outbox_open ON outbox (next_attempt_at) WHERE done_at IS NULL;
