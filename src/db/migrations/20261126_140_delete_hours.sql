-- What a device has deleted of a project within an hour that began with its first deletion (src/server/domain/commit_hold.c).  Not in
-- device_grants or sync_checkpoints: an owner has no row in the one, and who only uses the API none in the other.
CREATE TABLE delete_hours (
    project_id @bytes@ NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    device_id  @bytes@ NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
    began_at   @int@   NOT NULL,
    clock      @int@   NOT NULL CHECK (clock >= 0),
    entries    @int@   NOT NULL CHECK (entries >= 0),
    deleted    @int@   NOT NULL CHECK (deleted >= 0),
    held_at    @int@   NOT NULL,
    PRIMARY KEY (project_id, device_id)
) @clustered@;

CREATE INDEX delete_hours_device ON delete_hours (device_id);
