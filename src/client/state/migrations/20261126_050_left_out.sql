-- What the server has and this device leaves out, since it is ignored here: rows of pending with a mark, which nobody is to bring here.
ALTER TABLE pending ADD COLUMN left_out @int@ NOT NULL DEFAULT 0;
ALTER TABLE place ADD COLUMN left_out @int@ NOT NULL DEFAULT 0;
ALTER TABLE place ADD COLUMN left_out_digest @bytes@ NOT NULL DEFAULT X'0000000000000000000000000000000000000000000000000000000000000000';
CREATE INDEX pending_left_out ON pending (id) WHERE left_out = 1;
