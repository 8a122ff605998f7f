-- Which days a batch's rows are about, as YYYY-MM-DD; null for one without rows, and for those from before this was noted.
ALTER TABLE batches ADD COLUMN first_day TEXT;
ALTER TABLE batches ADD COLUMN last_day TEXT;
-- The version of its table that it made.
ALTER TABLE batches ADD COLUMN version BIGINT;
CREATE INDEX batches_first_day ON batches (source, first_day);

-- The last write of each day of a platform table.
CREATE TABLE table_days (
    table_id UUID NOT NULL REFERENCES tables (id) ON DELETE CASCADE,
    day TEXT NOT NULL,
    version BIGINT NOT NULL,
    written_at TIMESTAMPTZ NOT NULL,
    -- Rows that it brought.
    row_count BIGINT NOT NULL,
    -- The versions of the tables that it was computed from, by name.
    inputs JSONB NOT NULL,
    CONSTRAINT table_days_table_id_day PRIMARY KEY (table_id, day)
);
