-- Long work, answers to repeated requests, and how far each source has come.

CREATE TABLE jobs (
    id BLOB NOT NULL,
    workspace_id BLOB,
    table_id BLOB,
    -- `<workspace or platform>:<key>`; the same key is the same job.
    unique_key TEXT,
    kind TEXT NOT NULL,
    payload TEXT NOT NULL,
    principal TEXT NOT NULL,
    status TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    max_attempts INTEGER NOT NULL,
    percent REAL NOT NULL,
    row_count INTEGER NOT NULL,
    result TEXT,
    meta TEXT,
    problem TEXT,
    cancel_requested INTEGER NOT NULL,
    run_at TEXT NOT NULL,
    lease_owner TEXT,
    lease_until TEXT,
    created_at TEXT NOT NULL,
    started_at TEXT,
    ended_at TEXT,
    CONSTRAINT jobs_id PRIMARY KEY (id),
    CONSTRAINT jobs_unique_key UNIQUE (unique_key)
) STRICT;
CREATE INDEX jobs_workspace_id ON jobs (workspace_id, id);
CREATE INDEX jobs_table_id ON jobs (table_id, id);
CREATE INDEX jobs_status ON jobs (status, run_at);

-- First answers of requests with an Idempotency-Key; `response` is null while the first is still running.
CREATE TABLE idempotency (
    workspace_id BLOB NOT NULL,
    route TEXT NOT NULL,
    request_key TEXT NOT NULL,
    body_hash TEXT NOT NULL,
    response TEXT,
    lease_owner TEXT NOT NULL,
    lease_until TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    CONSTRAINT idempotency_workspace_id_route_request_key PRIMARY KEY (workspace_id, route, request_key)
) STRICT;
CREATE INDEX idempotency_expires_at ON idempotency (expires_at);

-- A source's batches: written before the data, published with it.
CREATE TABLE batches (
    source TEXT NOT NULL,
    n INTEGER NOT NULL,
    position TEXT NOT NULL,
    objects TEXT NOT NULL,
    began_at TEXT NOT NULL,
    published_at TEXT,
    CONSTRAINT batches_source_n PRIMARY KEY (source, n)
) STRICT;
CREATE INDEX batches_published_at ON batches (published_at);
