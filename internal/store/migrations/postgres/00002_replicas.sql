-- +goose Up
-- The processes that share the database. One that was not seen for a while is taken for dead,
-- and its jobs are handed to the others.
CREATE TABLE replicas (
    id      TEXT        NOT NULL PRIMARY KEY,
    seen_at TIMESTAMPTZ NOT NULL
);

-- +goose Down
DROP TABLE replicas;
