-- What a linked folder remembers.  One row each in link and place.

CREATE TABLE link (
	one          @int@ NOT NULL PRIMARY KEY CHECK (one = 1),
	url          @text@ NOT NULL,
	project      @bytes@ NOT NULL,
	device       @bytes@ NOT NULL,
	project_name @text@ NOT NULL,
	device_name  @text@ NOT NULL
) @rows@;

-- The feed's cursor, and sums over the tables below, kept by every transaction that changes them.
CREATE TABLE place (
	one           @int@ NOT NULL PRIMARY KEY CHECK (one = 1),
	clock         @int@ NOT NULL,
	epoch         @bytes@ NOT NULL,
	known         @int@ NOT NULL,
	reported      @int@ NOT NULL,
	server_digest @bytes@ NOT NULL,
	synced_at     @int@ NOT NULL,
	entries       @int@ NOT NULL,
	files         @int@ NOT NULL,
	bytes         @int@ NOT NULL,
	pending       @int@ NOT NULL,
	base_digest   @bytes@ NOT NULL
) @rows@;

-- The last agreed tree, stored in the order in which it is walked: by directory, then by name.
CREATE TABLE base (
	dir      @bytes@ NOT NULL,
	name     @bytes@ NOT NULL,
	kind     @int@ NOT NULL,
	size     @int@ NOT NULL,
	mode     @int@ NOT NULL,
	mtime_ns @int@ NOT NULL,
	content  @bytes@ NOT NULL,
	target   @text@ NOT NULL,
	id       @bytes@ NOT NULL,
	version  @int@ NOT NULL,
	dev      @int@ NOT NULL,
	ino      @int@ NOT NULL,
	ctime_ns @int@ NOT NULL,
	PRIMARY KEY (dir, name)
) @clustered@;

CREATE UNIQUE INDEX base_id ON base (id);

-- What the server has changed and is not yet here: its newest word on each file.
CREATE TABLE pending (
	id       @bytes@ NOT NULL PRIMARY KEY,
	path     @text@ NOT NULL,
	kind     @int@ NOT NULL,
	size     @int@ NOT NULL,
	mode     @int@ NOT NULL,
	mtime_ns @int@ NOT NULL,
	content  @bytes@ NOT NULL,
	target   @text@ NOT NULL,
	version  @int@ NOT NULL,
	deleted  @int@ NOT NULL,
	extra    @bytes@ NOT NULL
) @clustered@;

-- Block lists of contents that the server holds, a packed page a row.
CREATE TABLE blocks (
	content @bytes@ NOT NULL,
	page    @int@ NOT NULL,
	packed  @bytes@ NOT NULL,
	PRIMARY KEY (content, page)
) @clustered@;
