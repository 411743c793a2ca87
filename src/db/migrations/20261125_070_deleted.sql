-- Deleted files by the path that they last had, the newest first: who restores one knows its name.
CREATE INDEX file_index_gone ON file_index (project_id, dir, name, version) WHERE deleted_at <> 0;
