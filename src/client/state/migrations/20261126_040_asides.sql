-- Entries of here that were, or are about to be, renamed aside because the server's kept the name, until they have been sent: which inode it is, the file and version
-- that it lost against, and the name that it got ('': not known).
CREATE TABLE asides (
	dev      @int@ NOT NULL,
	ino      @int@ NOT NULL,
	file     @bytes@ NOT NULL,
	version  @int@ NOT NULL,
	path     @text@ NOT NULL,
	PRIMARY KEY (dev, ino)
) @clustered@;

CREATE INDEX asides_path ON asides (path);
