-- What tables exist, whose they are, and which version of them readers are served.

-- Bumped by every change of a platform table, inside its transaction: other nodes poll it.
CREATE TABLE clock (
    name TEXT NOT NULL,
    ticks INTEGER NOT NULL,
    CONSTRAINT clock_name PRIMARY KEY (name)
) STRICT;
INSERT INTO clock (name, ticks) VALUES ('platform', 0);

-- Platform tables (workspace_id is null), datasets, views and materialised analyses: one namespace a workspace.
CREATE TABLE tables (
    id BLOB NOT NULL,
    workspace_id BLOB,
    schema_name TEXT NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    location TEXT NOT NULL,
    version INTEGER,
    revision INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    columns TEXT NOT NULL,
    key_columns TEXT NOT NULL,
    sort_columns TEXT NOT NULL,
    row_count INTEGER NOT NULL,
    byte_count INTEGER NOT NULL,
    reject_count INTEGER NOT NULL,
    description TEXT,
    definition TEXT,
    params TEXT NOT NULL,
    upstream TEXT NOT NULL,
    refresh TEXT,
    tests TEXT NOT NULL,
    promise_secs INTEGER,
    -- The last version that may have changed the rows of any region.
    floor_version INTEGER,
    floor_at TEXT,
    -- The clock's tick of the last change; 0 for a customer's table.
    changed INTEGER NOT NULL,
    -- The process that made it; an unpublished table of a dead process gives its name back.
    owner TEXT NOT NULL,
    deleted_at TEXT,
    CONSTRAINT tables_id PRIMARY KEY (id)
) STRICT;
CREATE UNIQUE INDEX tables_workspace_id_name ON tables (workspace_id, name)
    WHERE workspace_id IS NOT NULL AND deleted_at IS NULL;
CREATE UNIQUE INDEX tables_schema_name_name ON tables (schema_name, name)
    WHERE workspace_id IS NULL AND deleted_at IS NULL;
CREATE INDEX tables_changed ON tables (changed);
CREATE INDEX tables_deleted_at ON tables (deleted_at) WHERE deleted_at IS NOT NULL;

-- Every version readers have been served, for `as_of`.
CREATE TABLE table_versions (
    table_id BLOB NOT NULL REFERENCES tables (id) ON DELETE CASCADE,
    version INTEGER NOT NULL,
    published_at TEXT NOT NULL,
    row_count INTEGER NOT NULL,
    byte_count INTEGER NOT NULL,
    reject_count INTEGER NOT NULL,
    rejected TEXT NOT NULL,
    operation TEXT NOT NULL,
    intent_id BLOB NOT NULL,
    CONSTRAINT table_versions_table_id_version PRIMARY KEY (table_id, version)
) STRICT;
CREATE INDEX table_versions_of_table ON table_versions (table_id, published_at);
CREATE INDEX table_versions_published_at ON table_versions (published_at);

-- The last version that changed the rows of one region.
CREATE TABLE region_stamps (
    table_id BLOB NOT NULL REFERENCES tables (id) ON DELETE CASCADE,
    region_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    updated_at TEXT NOT NULL,
    changed INTEGER NOT NULL,
    CONSTRAINT region_stamps_table_id_region_id PRIMARY KEY (table_id, region_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX region_stamps_changed ON region_stamps (changed);

-- A write that has begun: finished or cleared by whoever finds it open.
CREATE TABLE intents (
    id BLOB NOT NULL,
    kind TEXT NOT NULL,
    table_id BLOB NOT NULL REFERENCES tables (id) ON DELETE CASCADE,
    workspace_id BLOB,
    location TEXT NOT NULL,
    base_version INTEGER,
    files TEXT NOT NULL,
    draft TEXT,
    status TEXT NOT NULL,
    version INTEGER,
    owner TEXT NOT NULL,
    created_at TEXT NOT NULL,
    -- When its writer was last known to be at work.
    touched_at TEXT NOT NULL,
    closed_at TEXT,
    CONSTRAINT intents_id PRIMARY KEY (id)
) STRICT;
CREATE INDEX intents_open ON intents (status, touched_at);
CREATE INDEX intents_table_id ON intents (table_id, status);
CREATE INDEX intents_closed_at ON intents (closed_at) WHERE closed_at IS NOT NULL;

-- Locations nobody reads any more, waiting to be removed.
CREATE TABLE removals (
    id BLOB NOT NULL,
    workspace_id BLOB,
    table_id BLOB,
    location TEXT NOT NULL,
    marked_at TEXT NOT NULL,
    due_at TEXT NOT NULL,
    CONSTRAINT removals_id PRIMARY KEY (id)
) STRICT;
CREATE INDEX removals_due_at ON removals (due_at);
