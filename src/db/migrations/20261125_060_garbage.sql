-- What the garbage collector has to know.  used_at: when the chunk was last put, or last newly named; it goes a grace after that.
ALTER TABLE chunks ADD COLUMN used_at @int@ NOT NULL DEFAULT 0;
UPDATE chunks SET used_at = created_at;

-- Whether anything names a content: its block list goes when nothing does.
CREATE INDEX file_versions_content ON file_versions (project_id, content) WHERE kind = 0 AND deleted = 0;
CREATE INDEX file_index_content ON file_index (project_id, content) WHERE kind = 0 AND deleted_at = 0;

-- The open transfers of a project, whose chunks are leased.
CREATE INDEX file_transfers_leases ON file_transfers (project_id, id) WHERE state = 0;

-- Ended transfers, whose rows go with their last milestone.
CREATE INDEX file_transfers_ended ON file_transfers (ended_at) WHERE state <> 0;
