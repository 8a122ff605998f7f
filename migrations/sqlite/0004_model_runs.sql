-- How the last run of each model ended, and what a failing one still has to compute.

CREATE TABLE model_runs (
    table_id BLOB NOT NULL REFERENCES tables (id) ON DELETE CASCADE,
    ran_at TEXT NOT NULL,
    -- The version readers are served since.
    version INTEGER,
    outcome TEXT NOT NULL,
    row_count INTEGER NOT NULL,
    -- Why it failed, in words.
    reason TEXT,
    -- Each test of the model and what it found.
    tests TEXT NOT NULL,
    -- Regions and days that wait for a good run.
    owed TEXT NOT NULL,
    retry_at TEXT,
    CONSTRAINT model_runs_table_id PRIMARY KEY (table_id),
    CONSTRAINT model_runs_outcome_known CHECK (outcome IN ('succeeded', 'failed'))
) STRICT;

-- Since when a table's model has failed; null for one in order. Travels with the table's state.
ALTER TABLE tables ADD COLUMN failing_since TEXT;
