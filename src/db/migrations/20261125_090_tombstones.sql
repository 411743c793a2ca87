-- Tombstones go once every live device has passed them; the oldest first.
CREATE INDEX file_index_tombstones ON file_index (project_id, version) WHERE deleted_at <> 0;

-- A deleted file is found by the path that it last had also after its tombstone has gone: by its newest version.
DROP INDEX file_index_gone;
CREATE INDEX file_versions_gone ON file_versions (project_id, path, version) WHERE deleted = 1;
