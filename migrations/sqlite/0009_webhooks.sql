-- Endpoints of integrators, and what was sent to them. An endpoint's secrets are made from the ids in
-- signing_key and former_key with a secret of the server's, so none of them stands here.

CREATE TABLE webhook_endpoints (
    id              TEXT   NOT NULL PRIMARY KEY,
    tenant          TEXT   NOT NULL,
    url             TEXT   NOT NULL,
    -- ' meeting.started meeting.ended ', or nothing for all.
    types           TEXT   NOT NULL,
    description     TEXT   NOT NULL,
    signing_key     TEXT   NOT NULL,
    -- Signs too, until then.
    former_key      TEXT,
    former_until    BIGINT,
    disabled_at     BIGINT,
    disabled_reason TEXT,
    -- Since when every attempt failed.
    failing_since   BIGINT,
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL
);
CREATE INDEX webhook_endpoints_of_tenants ON webhook_endpoints (tenant, id);

-- Rows with an endpoint are webhooks, those without are mail. Where there is a seq, what is sent is
-- made from the log when it is sent.
ALTER TABLE outbox ADD COLUMN endpoint TEXT;
ALTER TABLE outbox ADD COLUMN kind TEXT;
ALTER TABLE outbox ADD COLUMN seq BIGINT;
-- What the endpoint answered last.
ALTER TABLE outbox ADD COLUMN status BIGINT;

DROP INDEX outbox_open;
CREATE INDEX outbox_mail ON outbox (next_attempt_at, id)
    WHERE done_at IS NULL AND dead_at IS NULL AND endpoint IS NULL;
CREATE INDEX outbox_mail_left ON outbox (id) WHERE done_at IS NULL AND endpoint IS NULL;
CREATE INDEX outbox_webhooks ON outbox (next_attempt_at, id)
    WHERE done_at IS NULL AND dead_at IS NULL AND endpoint IS NOT NULL;
CREATE INDEX outbox_by_endpoint ON outbox (endpoint, next_attempt_at, id)
    WHERE done_at IS NULL AND dead_at IS NULL AND endpoint IS NOT NULL;
CREATE INDEX outbox_deliveries ON outbox (tenant, endpoint, id) WHERE endpoint IS NOT NULL;
