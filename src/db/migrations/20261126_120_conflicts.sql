-- Two edits of one base: the file that kept the name, and the copy that holds what lost it.  A conflict is named by its copy.  Nothing has
-- ever been written to the table of before, which knew neither of a merge nor of a copy that people delete.
DROP TABLE conflicts;

CREATE TABLE conflicts (
    project_id   @bytes@ NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    copy_id      @bytes@ NOT NULL CHECK (length(copy_id) = 16),
    file_id      @bytes@ NOT NULL CHECK (length(file_id) = 16),
    file_version @int@   NOT NULL CHECK (file_version > 0),
    device_id    @bytes@ NOT NULL CHECK (length(device_id) = 16),
    created_at   @int@   NOT NULL CHECK (created_at > 0),
    resolved_at  @int@   NOT NULL CHECK (resolved_at >= 0),
    resolved_by  @bytes@ NOT NULL CHECK (length(resolved_by) = 16),
    resolution   @int@   NOT NULL CHECK (resolution BETWEEN 0 AND 5),
    CHECK ((resolved_at = 0) = (resolution = 0)),
    PRIMARY KEY (project_id, copy_id)
) @clustered@;

-- created_at is the version with which the copy came, so no two of a project share one, and pages can end at it.
CREATE UNIQUE INDEX conflicts_order ON conflicts (project_id, created_at);
CREATE INDEX conflicts_open ON conflicts (project_id, created_at) WHERE resolved_at = 0;
