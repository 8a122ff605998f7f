-- What is known of each file of a source, by its name; `n` is the batch that landed it.
CREATE TABLE source_files (
    source TEXT NOT NULL,
    name TEXT NOT NULL,
    size INTEGER,
    modified_ms INTEGER,
    tag TEXT,
    sha256 TEXT NOT NULL,
    refused TEXT,
    n INTEGER NOT NULL,
    came_at TEXT NOT NULL,
    CONSTRAINT source_files_source_name PRIMARY KEY (source, name)
) STRICT;
