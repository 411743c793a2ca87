-- Whether anything names a content, again: with all that the question says in the index, so that it is answered there.  Without statistics
-- SQLite took the first index for no better than a walk over all of the project's rows, and walked, for each content.
DROP INDEX file_versions_content;
DROP INDEX file_index_content;
CREATE INDEX file_versions_content ON file_versions (project_id, content, kind, deleted) WHERE kind = 0 AND deleted = 0;
CREATE INDEX file_index_content ON file_index (project_id, content, kind, deleted_at) WHERE kind = 0 AND deleted_at = 0;
