-- How the last run of each model ended, and what a failing one still has to compute.

CREATE TABLE model_runs (
    table_id UUID NOT NULL REFERENCES tables (id) ON DELETE CASCADE,
    ran_at TIMESTAMPTZ NOT NULL,
    -- The version readers are served since.
    version BIGINT,
    outcome TEXT NOT NULL,
    row_count BIGINT NOT NULL,
    -- Why it failed, in words.
    reason TEXT,
    -- Each test of the model and what it found.
    tests JSONB NOT NULL,
    -- Regions and days that wait for a good run.
    owed JSONB NOT NULL,
    retry_at TIMESTAMPTZ,
    CONSTRAINT model_runs_table_id PRIMARY KEY (table_id),
    CONSTRAINT model_runs_outcome_known CHECK (outcome IN ('succeeded', 'failed'))
);

-- Since when a table's model has failed; null for one in order. Travels with the table's state.
ALTER TABLE tables ADD COLUMN failing_since TIMESTAMPTZ;
