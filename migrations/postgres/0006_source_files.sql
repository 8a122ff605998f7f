-- What is known of each file of a source, by its name; `n` is the batch that landed it.
CREATE TABLE source_files (
    source TEXT NOT NULL,
    name TEXT NOT NULL,
    size BIGINT,
    modified_ms BIGINT,
    tag TEXT,
    sha256 TEXT NOT NULL,
    refused TEXT,
    n BIGINT NOT NULL,
    came_at TIMESTAMPTZ NOT NULL,
    CONSTRAINT source_files_source_name PRIMARY KEY (source, name)
);
