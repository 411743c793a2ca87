-- Block lists as bases of a delta: the rolling sums of a page's blocks (4 bytes each, empty: not known), and its first block, by which files
-- that share a run are found.  Pages from before this are known, but not found by their blocks.
ALTER TABLE blocks ADD COLUMN weak @bytes@;
ALTER TABLE blocks ADD COLUMN first @bytes@;
CREATE INDEX blocks_first ON blocks (first);

-- Which files have a content.
CREATE INDEX base_content ON base (content) WHERE kind = 0;

-- Contents with a list that a row of base has stopped naming, or never has named: they go when none names them.
CREATE TABLE blocks_stale (
	content @bytes@ NOT NULL PRIMARY KEY,
	since   @int@ NOT NULL
) @clustered@;

CREATE INDEX blocks_stale_since ON blocks_stale (since);
