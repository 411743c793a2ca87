-- A block list is named by an id that is made with it, no more by the hash of what it makes: ids grow with time, so the rows of new files lie
-- together, where hashes lie anywhere (docs/adr/0024).  The lists of before get the first half of their hash as an id.
ALTER TABLE file_index ADD COLUMN list @bytes@ CHECK (length(list) = 16);
ALTER TABLE file_versions ADD COLUMN list @bytes@ CHECK (length(list) = 16);
UPDATE file_index SET list = substr(content, 1, 16) WHERE kind = 0 AND size > 0 AND deleted_at = 0;
UPDATE file_versions SET list = substr(content, 1, 16) WHERE kind = 0 AND size > 0 AND deleted = 0;

ALTER TABLE file_blocks RENAME TO file_blocks_of_content;

-- 64 blocks a row (docs/format/blocklist.md).  Not clustered: a full row is 2.4 KB.
CREATE TABLE file_blocks (
    project_id @bytes@ NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    list       @bytes@ NOT NULL CHECK (length(list) = 16),
    page       @int@   NOT NULL CHECK (page >= 0),
    packed     @bytes@ NOT NULL,
    CONSTRAINT file_blocks_list PRIMARY KEY (project_id, list, page)
) @rows@;

INSERT INTO file_blocks (project_id, list, page, packed)
SELECT project_id, substr(content, 1, 16), page, packed FROM file_blocks_of_content ORDER BY project_id, content, page;

DROP TABLE file_blocks_of_content;

-- Whether anything names a list: it goes when nothing does.
DROP INDEX file_versions_content;
CREATE INDEX file_versions_list ON file_versions (project_id, list, kind, deleted) WHERE kind = 0 AND deleted = 0;
