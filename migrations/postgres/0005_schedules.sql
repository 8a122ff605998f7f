-- What runs by the clock, how each source fares, and whom to tell when something is wrong.

-- Of the jobs of one lane one runs at a time, whichever node holds it.
ALTER TABLE jobs ADD COLUMN lane TEXT;
CREATE UNIQUE INDEX jobs_lane ON jobs (lane) WHERE status = 'running';

CREATE TABLE schedules (
    name TEXT NOT NULL,
    cron TEXT NOT NULL,
    timezone TEXT NOT NULL,
    -- A source, a model's table, or `maintenance`.
    pipeline TEXT NOT NULL,
    catch_up TEXT NOT NULL,
    enabled BOOLEAN NOT NULL,
    -- The first planned time that has not fired; null where no more will come.
    next_run_at TIMESTAMPTZ,
    -- The last planned time that has fired.
    fired_at TIMESTAMPTZ,
    updated_at TIMESTAMPTZ NOT NULL,
    CONSTRAINT schedules_name PRIMARY KEY (name)
);
CREATE INDEX schedules_next_run_at ON schedules (next_run_at);

-- The last success and the last failure of each source, whichever node asked it.
CREATE TABLE source_states (
    source TEXT NOT NULL,
    succeeded_at TIMESTAMPTZ,
    failed_at TIMESTAMPTZ,
    error TEXT,
    -- In a row; 0 when the last call went well.
    failures BIGINT NOT NULL,
    next_at TIMESTAMPTZ,
    -- Batches with rows, and how many rows one usually has.
    batch_count BIGINT NOT NULL,
    usual_rows DOUBLE PRECISION NOT NULL,
    CONSTRAINT source_states_source PRIMARY KEY (source)
);

-- What is to be told, was told, or could not be told (status `dead`).
CREATE TABLE alerts (
    id UUID NOT NULL,
    -- The same key is the same alert: it is told once.
    unique_key TEXT NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    body JSONB NOT NULL,
    status TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    next_at TIMESTAMPTZ NOT NULL,
    error TEXT,
    raised_at TIMESTAMPTZ NOT NULL,
    ended_at TIMESTAMPTZ,
    CONSTRAINT alerts_id PRIMARY KEY (id),
    CONSTRAINT alerts_unique_key UNIQUE (unique_key)
);
CREATE INDEX alerts_status ON alerts (status, next_at);
