-- Long work, answers to repeated requests, and how far each source has come.

CREATE TABLE jobs (
    id UUID NOT NULL,
    workspace_id UUID,
    table_id UUID,
    -- `<workspace or platform>:<key>`; the same key is the same job.
    unique_key TEXT,
    kind TEXT NOT NULL,
    payload JSONB NOT NULL,
    principal JSONB NOT NULL,
    status TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    max_attempts BIGINT NOT NULL,
    percent DOUBLE PRECISION NOT NULL,
    row_count BIGINT NOT NULL,
    result JSONB,
    meta JSONB,
    problem JSONB,
    cancel_requested BOOLEAN NOT NULL,
    run_at TIMESTAMPTZ NOT NULL,
    lease_owner TEXT,
    lease_until TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL,
    started_at TIMESTAMPTZ,
    ended_at TIMESTAMPTZ,
    CONSTRAINT jobs_id PRIMARY KEY (id),
    CONSTRAINT jobs_unique_key UNIQUE (unique_key)
);
CREATE INDEX jobs_workspace_id ON jobs (workspace_id, id);
CREATE INDEX jobs_table_id ON jobs (table_id, id);
CREATE INDEX jobs_status ON jobs (status, run_at);

-- First answers of requests with an Idempotency-Key; `response` is null while the first is still running.
CREATE TABLE idempotency (
    workspace_id UUID NOT NULL,
    route TEXT NOT NULL,
    request_key TEXT NOT NULL,
    body_hash TEXT NOT NULL,
    response JSONB,
    lease_owner TEXT NOT NULL,
    lease_until TIMESTAMPTZ NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL,
    CONSTRAINT idempotency_workspace_id_route_request_key PRIMARY KEY (workspace_id, route, request_key)
);
CREATE INDEX idempotency_expires_at ON idempotency (expires_at);

-- A source's batches: written before the data, published with it.
CREATE TABLE batches (
    source TEXT NOT NULL,
    n BIGINT NOT NULL,
    position JSONB NOT NULL,
    objects JSONB NOT NULL,
    began_at TIMESTAMPTZ NOT NULL,
    published_at TIMESTAMPTZ,
    CONSTRAINT batches_source_n PRIMARY KEY (source, n)
);
CREATE INDEX batches_published_at ON batches (published_at);
