-- Projects, the devices that may see them, and how far each device has come.
-- Times and clocks are microseconds since 1970; ids are 16 bytes, hashes 32.

CREATE TABLE projects (
    id          @bytes@ NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    name        @text@  NOT NULL,
    epoch       @bytes@ NOT NULL CHECK (length(epoch) = 16),
    clock       @int@   NOT NULL CHECK (clock >= 0),
    horizon     @int@   NOT NULL CHECK (horizon >= 0),
    digest      @bytes@ NOT NULL CHECK (length(digest) = 32),
    file_count  @int@   NOT NULL CHECK (file_count >= 0),
    total_bytes @int@   NOT NULL CHECK (total_bytes >= 0),
    created_at  @int@   NOT NULL
) @rows@;

CREATE TABLE devices (
    id           @bytes@ NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    name         @text@  NOT NULL,
    kind         @int@   NOT NULL CHECK (kind IN (0, 1)),
    token_hash   @bytes@ NOT NULL UNIQUE CHECK (length(token_hash) = 32),
    created_at   @int@   NOT NULL,
    last_seen_at @int@   NOT NULL,
    revoked_at   @int@   NOT NULL
) @rows@;

CREATE TABLE device_grants (
    device_id  @bytes@ NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
    project_id @bytes@ NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    role       @int@   NOT NULL CHECK (role IN (1, 2)),
    PRIMARY KEY (device_id, project_id)
) @clustered@;

CREATE INDEX device_grants_project ON device_grants (project_id, device_id);

CREATE TABLE sync_checkpoints (
    project_id @bytes@ NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    device_id  @bytes@ NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
    epoch      @bytes@ NOT NULL CHECK (length(epoch) = 16),
    clock      @int@   NOT NULL CHECK (clock >= 0),
    updated_at @int@   NOT NULL,
    PRIMARY KEY (project_id, device_id)
) @clustered@;

CREATE INDEX sync_checkpoints_device ON sync_checkpoints (device_id);

-- The remembered answers to requests that carried an Idempotency-Key.  Not clustered: an answer can be long.
CREATE TABLE idempotency (
    device_id    @bytes@ NOT NULL CHECK (length(device_id) = 16),
    key_hash     @bytes@ NOT NULL CHECK (length(key_hash) = 32),
    request_hash @bytes@ NOT NULL CHECK (length(request_hash) = 32),
    status       @int@   NOT NULL,
    body         @bytes@ NOT NULL,
    created_at   @int@   NOT NULL,
    PRIMARY KEY (device_id, key_hash)
) @rows@;

CREATE INDEX idempotency_age ON idempotency (created_at);
