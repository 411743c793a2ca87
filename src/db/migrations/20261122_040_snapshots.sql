-- Whole trees, compressed in the store and kept for a while; a snapshot shows its project at ${clock}.
CREATE TABLE project_snapshots (
    project_id  @bytes@ NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    id          @bytes@ NOT NULL CHECK (length(id) = 16),
    format      @int@   NOT NULL,
    clock       @int@   NOT NULL CHECK (clock >= 0),
    epoch       @bytes@ NOT NULL CHECK (length(epoch) = 16),
    digest      @bytes@ NOT NULL CHECK (length(digest) = 32),
    object      @bytes@ NOT NULL CHECK (length(object) = 32),
    stored_len  @int@   NOT NULL CHECK (stored_len >= 0),
    raw_len     @int@   NOT NULL CHECK (raw_len >= 0),
    file_count  @int@   NOT NULL CHECK (file_count >= 0),
    total_bytes @int@   NOT NULL CHECK (total_bytes >= 0),
    created_at  @int@   NOT NULL,
    expires_at  @int@   NOT NULL,
    PRIMARY KEY (project_id, id)
) @clustered@;

-- No index by expiry: a project has a handful of snapshots, and the planner would prefer it to this one.
CREATE INDEX project_snapshots_latest ON project_snapshots (project_id, format, clock, id);
