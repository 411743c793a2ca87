-- What people's views of the tree need.

-- Of a directory: how much lies anywhere beneath it.  Kept in the transaction of each commit; 0 for all that is no live directory.
ALTER TABLE file_index ADD COLUMN files_beneath @int@ NOT NULL DEFAULT 0 CHECK (files_beneath >= 0);
ALTER TABLE file_index ADD COLUMN dirs_beneath @int@ NOT NULL DEFAULT 0 CHECK (dirs_beneath >= 0);
ALTER TABLE file_index ADD COLUMN bytes_beneath @int@ NOT NULL DEFAULT 0 CHECK (bytes_beneath >= 0);

-- Of the directories that are there: first what lies directly in each, then for each the sum over those that lie beneath it.
-- "a/" up to "a0": '0' is the byte after '/'.
CREATE TABLE listing_sums (
    project_id @bytes@ NOT NULL,
    dir        @text@  NOT NULL,
    files      @int@   NOT NULL,
    dirs       @int@   NOT NULL,
    bytes      @int@   NOT NULL,
    PRIMARY KEY (project_id, dir)
) @clustered@;

INSERT INTO listing_sums (project_id, dir, files, dirs, bytes)
SELECT project_id, dir, sum(CASE WHEN kind = 1 THEN 0 ELSE 1 END), sum(CASE WHEN kind = 1 THEN 1 ELSE 0 END), sum(size)
  FROM file_index WHERE deleted_at = 0 GROUP BY project_id, dir;

UPDATE file_index SET (files_beneath, dirs_beneath, bytes_beneath) = (
    SELECT CAST(coalesce(sum(s.files), 0) AS @int@), CAST(coalesce(sum(s.dirs), 0) AS @int@), CAST(coalesce(sum(s.bytes), 0) AS @int@)
      FROM listing_sums s
     WHERE s.project_id = file_index.project_id
       AND s.dir = CASE WHEN file_index.dir = '' THEN file_index.name ELSE file_index.dir || '/' || file_index.name END)
 WHERE kind = 1 AND deleted_at = 0;

UPDATE file_index SET (files_beneath, dirs_beneath, bytes_beneath) = (
    SELECT CAST(file_index.files_beneath + coalesce(sum(s.files), 0) AS @int@),
           CAST(file_index.dirs_beneath + coalesce(sum(s.dirs), 0) AS @int@),
           CAST(file_index.bytes_beneath + coalesce(sum(s.bytes), 0) AS @int@)
      FROM listing_sums s
     WHERE s.project_id = file_index.project_id
       AND s.dir >= CASE WHEN file_index.dir = '' THEN '' ELSE file_index.dir || '/' END || file_index.name || '/'
       AND s.dir < CASE WHEN file_index.dir = '' THEN '' ELSE file_index.dir || '/' END || file_index.name || '0')
 WHERE kind = 1 AND deleted_at = 0;

DROP TABLE listing_sums;

-- With deleted_at, which is 0 in all of it, a search reads the index alone.
DROP INDEX file_index_path;
CREATE UNIQUE INDEX file_index_path ON file_index (project_id, dir, name, deleted_at) WHERE deleted_at = 0;

-- A directory's entries as people sort them: the directories, then the rest by size, by time, by change.
CREATE INDEX file_index_dirs ON file_index (project_id, dir, name) WHERE kind = 1 AND deleted_at = 0;
CREATE INDEX file_index_size ON file_index (project_id, dir, size, name) WHERE kind <> 1 AND deleted_at = 0;
CREATE INDEX file_index_mtime ON file_index (project_id, dir, mtime_ns, name) WHERE kind <> 1 AND deleted_at = 0;
CREATE INDEX file_index_changed ON file_index (project_id, dir, version) WHERE kind <> 1 AND deleted_at = 0;
