-- Uploads of large files that have begun and are not committed: the transfer, which file it is, and the content that it was cut against.
CREATE TABLE uploads (
	transfer   @bytes@ NOT NULL PRIMARY KEY,
	path       @text@ NOT NULL,
	dev        @int@ NOT NULL,
	ino        @int@ NOT NULL,
	size       @int@ NOT NULL,
	mtime_ns   @int@ NOT NULL,
	ctime_ns   @int@ NOT NULL,
	base       @bytes@ NOT NULL,
	started_at @int@ NOT NULL
) @clustered@;
