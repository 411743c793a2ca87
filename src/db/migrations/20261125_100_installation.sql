-- Which installation this database belongs to: the data directory that has its chunks knows the same id.
CREATE TABLE installation (
    id         @bytes@ NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    created_at @int@   NOT NULL
) @rows@;
