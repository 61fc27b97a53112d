-- API keys made at the first start where none are configured, and the node's own secrets.

CREATE TABLE api_keys (
    key        TEXT   NOT NULL PRIMARY KEY,
    tenant     TEXT   NOT NULL,
    secret     TEXT   NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE server_secrets (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);
