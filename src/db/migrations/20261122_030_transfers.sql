-- Bytes on their way in: what has arrived, what was promised, how far it is, and what happened.

CREATE TABLE file_transfers (
    id          @bytes@ NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    project_id  @bytes@ NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    device_id   @bytes@ NOT NULL CHECK (length(device_id) = 16),
    state       @int@   NOT NULL CHECK (state BETWEEN 0 AND 3),
    path        @text@  NOT NULL,
    size        @int@   NOT NULL CHECK (size >= 0),
    chunk_count @int@   NOT NULL CHECK (chunk_count >= 0),
    bytes_done  @int@   NOT NULL CHECK (bytes_done >= 0),
    created_at  @int@   NOT NULL,
    expires_at  @int@   NOT NULL,
    ended_at    @int@   NOT NULL CHECK ((ended_at = 0) = (state = 0))
) @rows@;

CREATE INDEX file_transfers_project ON file_transfers (project_id);
CREATE INDEX file_transfers_open ON file_transfers (device_id) WHERE state = 0;
CREATE INDEX file_transfers_due ON file_transfers (expires_at) WHERE state = 0;

-- Which numbered chunks of a running transfer have arrived.
CREATE TABLE file_transfer_chunks (
    transfer_id @bytes@ NOT NULL REFERENCES file_transfers (id) ON DELETE CASCADE,
    n           @int@   NOT NULL CHECK (n >= 0),
    chunk_id    @bytes@ NOT NULL CHECK (length(chunk_id) = 32),
    PRIMARY KEY (transfer_id, n)
) @clustered@;

-- The block list that a running transfer brings, as its pages came.  Not clustered: a page is up to 300 KB.
CREATE TABLE file_transfer_blocks (
    transfer_id @bytes@ NOT NULL REFERENCES file_transfers (id) ON DELETE CASCADE,
    first_block @int@   NOT NULL CHECK (first_block >= 0),
    block_count @int@   NOT NULL CHECK (block_count > 0),
    packed      @bytes@ NOT NULL,
    PRIMARY KEY (transfer_id, first_block)
) @rows@;

-- Where a running transfer is now: one row, gone when it ends.
CREATE TABLE file_transfer_progress (
    transfer_id @bytes@ NOT NULL PRIMARY KEY REFERENCES file_transfers (id) ON DELETE CASCADE,
    bytes_done  @int@   NOT NULL CHECK (bytes_done >= 0),
    updated_at  @int@   NOT NULL
) @clustered@;

-- Milestones only: started, resumed, completed, failed.
CREATE TABLE transfer_events (
    transfer_id @bytes@ NOT NULL REFERENCES file_transfers (id) ON DELETE CASCADE,
    n           @int@   NOT NULL,
    event       @text@  NOT NULL,
    at          @int@   NOT NULL,
    PRIMARY KEY (transfer_id, n)
) @clustered@;

CREATE INDEX transfer_events_age ON transfer_events (at);
