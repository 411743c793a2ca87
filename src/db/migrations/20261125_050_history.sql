-- How much of its history a project keeps and how much it may store; 0: without limit.
ALTER TABLE projects ADD COLUMN keep_versions @int@ NOT NULL DEFAULT 100 CHECK (keep_versions >= 0);
ALTER TABLE projects ADD COLUMN keep_days @int@ NOT NULL DEFAULT 0 CHECK (keep_days >= 0);
ALTER TABLE projects ADD COLUMN quota_bytes @int@ NOT NULL DEFAULT 0 CHECK (quota_bytes >= 0);

-- The sum of stored_len over the project's rows in chunks, changed with each of them in its transaction.
ALTER TABLE projects ADD COLUMN stored_bytes @int@ NOT NULL DEFAULT 0 CHECK (stored_bytes >= 0);
UPDATE projects SET stored_bytes = (SELECT coalesce(sum(c.stored_len), 0) FROM chunks c WHERE c.project_id = projects.id);

-- How far the walk over a project's files that removes old versions has come, so that a restart goes on from there.
CREATE TABLE history_walks (
    project_id @bytes@ NOT NULL PRIMARY KEY REFERENCES projects (id) ON DELETE CASCADE,
    file_id    @bytes@ NOT NULL CHECK (length(file_id) = 16),
    ended_at   @int@   NOT NULL
) @rows@;
