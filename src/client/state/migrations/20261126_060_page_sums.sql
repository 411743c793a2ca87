-- The SHA-256 of what a page of a block list says: a page that rotted is one that is not known.  X'': from before this.
ALTER TABLE blocks ADD COLUMN page_sum @bytes@ NOT NULL DEFAULT X'';
