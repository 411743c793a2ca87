-- The tree of a project, its history, and what its contents are made of.

-- The present state of each file: one row a file, tombstones included.
CREATE TABLE file_index (
    project_id @bytes@ NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    id         @bytes@ NOT NULL CHECK (length(id) = 16),
    dir        @text@  NOT NULL,
    name       @text@  NOT NULL CHECK (name <> ''),
    kind       @int@   NOT NULL CHECK (kind BETWEEN 0 AND 2),
    version    @int@   NOT NULL CHECK (version > 0),
    size       @int@   NOT NULL CHECK (size >= 0 AND (kind = 0 OR size = 0)),
    mode       @int@   NOT NULL CHECK (mode BETWEEN 0 AND 511),
    mtime_ns   @int@   NOT NULL,
    content    @bytes@ NOT NULL CHECK (length(content) = 32),
    target     @text@  NOT NULL,
    created_at @int@   NOT NULL CHECK (created_at > 0 AND created_at <= version),
    changed_by @bytes@ NOT NULL CHECK (length(changed_by) = 16),
    deleted_at @int@   NOT NULL CHECK (deleted_at = 0 OR deleted_at = version),
    PRIMARY KEY (project_id, id)
) @clustered@;

-- One live file a path; directories are read, and walked, in the order of this index.
CREATE UNIQUE INDEX file_index_path ON file_index (project_id, dir, name) WHERE deleted_at = 0;

-- The change feed.  Unique: no two changes share a clock value, or a cursor could stop between them.
CREATE UNIQUE INDEX file_index_changes ON file_index (project_id, version);

-- The listing, which pays nothing for tombstones.
CREATE INDEX file_index_live ON file_index (project_id, version) WHERE deleted_at = 0;

-- Every state that a file has had.
CREATE TABLE file_versions (
    project_id @bytes@ NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    file_id    @bytes@ NOT NULL CHECK (length(file_id) = 16),
    version    @int@   NOT NULL CHECK (version > 0),
    path       @text@  NOT NULL CHECK (path <> ''),
    kind       @int@   NOT NULL CHECK (kind BETWEEN 0 AND 2),
    size       @int@   NOT NULL CHECK (size >= 0),
    mode       @int@   NOT NULL CHECK (mode BETWEEN 0 AND 511),
    mtime_ns   @int@   NOT NULL,
    content    @bytes@ NOT NULL CHECK (length(content) = 32),
    target     @text@  NOT NULL,
    changed_by @bytes@ NOT NULL CHECK (length(changed_by) = 16),
    deleted    @int@   NOT NULL CHECK (deleted IN (0, 1)),
    PRIMARY KEY (project_id, file_id, version)
) @clustered@;

-- Block lists by content, 64 blocks a row (docs/format/blocklist.md), shared by all versions of equal content.
-- Not clustered: a full row is 2.4 KB.
CREATE TABLE file_blocks (
    project_id @bytes@ NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    content    @bytes@ NOT NULL CHECK (length(content) = 32),
    page       @int@   NOT NULL CHECK (page >= 0),
    packed     @bytes@ NOT NULL,
    PRIMARY KEY (project_id, content, page)
) @rows@;

-- Chunks that are durable in the store.
CREATE TABLE chunks (
    project_id  @bytes@ NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    id          @bytes@ NOT NULL CHECK (length(id) = 32),
    stored_len  @int@   NOT NULL CHECK (stored_len > 0),
    raw_len     @int@   NOT NULL CHECK (raw_len >= 0),
    block_count @int@   NOT NULL CHECK (block_count >= 0),
    created_at  @int@   NOT NULL,
    PRIMARY KEY (project_id, id)
) @clustered@;

-- Two edits of one base.  The winner is at the path; the loser is kept, under copy_id when it became a file of its own.
CREATE TABLE conflicts (
    project_id      @bytes@ NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    id              @bytes@ NOT NULL CHECK (length(id) = 16),
    file_id         @bytes@ NOT NULL CHECK (length(file_id) = 16),
    path            @text@  NOT NULL,
    winner_version  @int@   NOT NULL CHECK (winner_version > 0),
    winner_device   @bytes@ NOT NULL CHECK (length(winner_device) = 16),
    loser_version   @int@   NOT NULL CHECK (loser_version >= 0),
    loser_device    @bytes@ NOT NULL CHECK (length(loser_device) = 16),
    loser_content   @bytes@ NOT NULL CHECK (length(loser_content) = 32),
    copy_id         @bytes@ CHECK (length(copy_id) = 16),
    created_at      @int@   NOT NULL,
    resolved_at     @int@   NOT NULL,
    resolved_by     @bytes@ CHECK (length(resolved_by) = 16),
    resolution      @int@   NOT NULL CHECK (resolution BETWEEN 0 AND 3),
    CHECK ((resolved_at = 0) = (resolution = 0)),
    PRIMARY KEY (project_id, id)
) @clustered@;

CREATE INDEX conflicts_open ON conflicts (project_id, created_at, id) WHERE resolved_at = 0;
CREATE INDEX conflicts_file ON conflicts (project_id, file_id);
