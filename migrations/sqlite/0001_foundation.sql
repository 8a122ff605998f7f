-- Customers, their workspaces and keys, what was refused or ordered, and what was used.

CREATE TABLE customers (
    id           BLOB        NOT NULL,
    name         TEXT        NOT NULL,
    status       TEXT        NOT NULL,
    created_at   TEXT        NOT NULL,
    suspended_at TEXT,
    CONSTRAINT customers_id PRIMARY KEY (id),
    CONSTRAINT customers_status_known CHECK (status IN ('active', 'suspended'))
) STRICT;

CREATE TABLE workspaces (
    id          BLOB        NOT NULL,
    customer_id BLOB        NOT NULL REFERENCES customers (id),
    slug        TEXT        NOT NULL,
    created_at  TEXT        NOT NULL,
    CONSTRAINT workspaces_id PRIMARY KEY (id),
    CONSTRAINT workspaces_customer_id UNIQUE (customer_id),
    CONSTRAINT workspaces_slug UNIQUE (slug)
) STRICT;

-- `key_hash` is the SHA-256 of the whole key; the key itself is nowhere. `made_by` is the key that made it: with that one it
-- is revoked, where both are of one workspace.
CREATE TABLE api_keys (
    id           TEXT        NOT NULL,
    workspace_id BLOB        NOT NULL REFERENCES workspaces (id),
    key_hash     BLOB        NOT NULL,
    scopes       TEXT        NOT NULL,
    label        TEXT        NOT NULL,
    made_by      TEXT REFERENCES api_keys (id),
    created_at   TEXT        NOT NULL,
    expires_at   TEXT,
    revoked_at   TEXT,
    last_used_at TEXT,
    CONSTRAINT api_keys_id PRIMARY KEY (id)
) STRICT;
CREATE INDEX api_keys_of_workspace ON api_keys (workspace_id, created_at);
CREATE INDEX api_keys_made_by ON api_keys (made_by) WHERE made_by IS NOT NULL;
-- What every node asks every other second.
CREATE INDEX api_keys_revoked ON api_keys (revoked_at) WHERE revoked_at IS NOT NULL;
CREATE INDEX customers_suspended ON customers (id) WHERE status <> 'active';

-- Denials and operators' acts, written before the answer. No references: it outlives what it tells of.
CREATE TABLE audit (
    id           BLOB        NOT NULL,
    at           TEXT        NOT NULL,
    workspace_id BLOB,
    key_id       TEXT,
    action       TEXT        NOT NULL,
    target       TEXT        NOT NULL,
    outcome      TEXT        NOT NULL,
    request_id   BLOB,
    CONSTRAINT audit_id PRIMARY KEY (id)
) STRICT;
CREATE INDEX audit_at ON audit (at);
CREATE INDEX audit_of_workspace ON audit (workspace_id, at);

-- Sums a UTC day, added to in batches.
CREATE TABLE usage (
    workspace_id BLOB    NOT NULL REFERENCES workspaces (id),
    day          TEXT    NOT NULL,
    measure      TEXT    NOT NULL,
    amount       INTEGER NOT NULL,
    CONSTRAINT usage_workspace_id_day_measure PRIMARY KEY (workspace_id, day, measure)
) STRICT;
