-- What tables exist, whose they are, and which version of them readers are served.

-- Bumped by every change of a platform table, inside its transaction: other nodes poll it.
CREATE TABLE clock (
    name TEXT NOT NULL,
    ticks BIGINT NOT NULL,
    CONSTRAINT clock_name PRIMARY KEY (name)
);
INSERT INTO clock (name, ticks) VALUES ('platform', 0);

-- Platform tables (workspace_id is null), datasets, views and materialised analyses: one namespace a workspace.
CREATE TABLE tables (
    id UUID NOT NULL,
    workspace_id UUID,
    schema_name TEXT NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    location TEXT NOT NULL,
    version BIGINT,
    revision BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    columns JSONB NOT NULL,
    key_columns JSONB NOT NULL,
    sort_columns JSONB NOT NULL,
    row_count BIGINT NOT NULL,
    byte_count BIGINT NOT NULL,
    reject_count BIGINT NOT NULL,
    description TEXT,
    definition TEXT,
    params JSONB NOT NULL,
    upstream JSONB NOT NULL,
    refresh TEXT,
    tests JSONB NOT NULL,
    promise_secs BIGINT,
    -- The last version that may have changed the rows of any region.
    floor_version BIGINT,
    floor_at TIMESTAMPTZ,
    -- The clock's tick of the last change; 0 for a customer's table.
    changed BIGINT NOT NULL,
    -- The process that made it; an unpublished table of a dead process gives its name back.
    owner TEXT NOT NULL,
    deleted_at TIMESTAMPTZ,
    CONSTRAINT tables_id PRIMARY KEY (id)
);
CREATE UNIQUE INDEX tables_workspace_id_name ON tables (workspace_id, name)
    WHERE workspace_id IS NOT NULL AND deleted_at IS NULL;
CREATE UNIQUE INDEX tables_schema_name_name ON tables (schema_name, name)
    WHERE workspace_id IS NULL AND deleted_at IS NULL;
CREATE INDEX tables_changed ON tables (changed);
CREATE INDEX tables_deleted_at ON tables (deleted_at) WHERE deleted_at IS NOT NULL;

-- Every version readers have been served, for `as_of`.
CREATE TABLE table_versions (
    table_id UUID NOT NULL REFERENCES tables (id) ON DELETE CASCADE,
    version BIGINT NOT NULL,
    published_at TIMESTAMPTZ NOT NULL,
    row_count BIGINT NOT NULL,
    byte_count BIGINT NOT NULL,
    reject_count BIGINT NOT NULL,
    rejected JSONB NOT NULL,
    operation TEXT NOT NULL,
    intent_id UUID NOT NULL,
    CONSTRAINT table_versions_table_id_version PRIMARY KEY (table_id, version)
);
CREATE INDEX table_versions_of_table ON table_versions (table_id, published_at);
CREATE INDEX table_versions_published_at ON table_versions (published_at);

-- The last version that changed the rows of one region.
CREATE TABLE region_stamps (
    table_id UUID NOT NULL REFERENCES tables (id) ON DELETE CASCADE,
    region_id TEXT NOT NULL,
    version BIGINT NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    changed BIGINT NOT NULL,
    CONSTRAINT region_stamps_table_id_region_id PRIMARY KEY (table_id, region_id)
);
CREATE INDEX region_stamps_changed ON region_stamps (changed);

-- A write that has begun: finished or cleared by whoever finds it open.
CREATE TABLE intents (
    id UUID NOT NULL,
    kind TEXT NOT NULL,
    table_id UUID NOT NULL REFERENCES tables (id) ON DELETE CASCADE,
    workspace_id UUID,
    location TEXT NOT NULL,
    base_version BIGINT,
    files JSONB NOT NULL,
    draft JSONB,
    status TEXT NOT NULL,
    version BIGINT,
    owner TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    -- When its writer was last known to be at work.
    touched_at TIMESTAMPTZ NOT NULL,
    closed_at TIMESTAMPTZ,
    CONSTRAINT intents_id PRIMARY KEY (id)
);
CREATE INDEX intents_open ON intents (status, touched_at);
CREATE INDEX intents_table_id ON intents (table_id, status);
CREATE INDEX intents_closed_at ON intents (closed_at) WHERE closed_at IS NOT NULL;

-- Locations nobody reads any more, waiting to be removed.
CREATE TABLE removals (
    id UUID NOT NULL,
    workspace_id UUID,
    table_id UUID,
    location TEXT NOT NULL,
    marked_at TIMESTAMPTZ NOT NULL,
    due_at TIMESTAMPTZ NOT NULL,
    CONSTRAINT removals_id PRIMARY KEY (id)
);
CREATE INDEX removals_due_at ON removals (due_at);
