-- +goose Up
-- Times are milliseconds since 1970 in UTC, so that every database sorts and compares
-- them alike. "trigger" and "action" stay quoted because SQL reserves them.

-- One accepted delivery. The body is kept as it came: routing reads it again.
CREATE TABLE events (
    id            BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    portal        TEXT    NOT NULL,
    webhook_id    TEXT    NOT NULL,
    event_id      TEXT    NOT NULL,
    "trigger"     TEXT    NOT NULL,
    entry_kind    TEXT    NOT NULL,
    entry_id      TEXT    NOT NULL,
    entry_title   TEXT    NOT NULL,
    search        TEXT    NOT NULL DEFAULT '', -- the title as it is searched: in lower case
    -- What the portal says of when it happened; 0 where the delivery says nothing. It is part of
    -- the identity, because a portal that was set up anew counts its events from 1 again.
    created_on    BIGINT  NOT NULL,
    happened_at   BIGINT  NOT NULL, -- the same, or when it was received
    received_at   BIGINT  NOT NULL,
    state         TEXT    NOT NULL DEFAULT 'pending',
    reason        TEXT    NOT NULL DEFAULT '',
    attempts      INTEGER NOT NULL DEFAULT 0,
    routed_at     BIGINT  NOT NULL DEFAULT 0,
    replayed_at   BIGINT  NOT NULL DEFAULT 0, -- when somebody last asked for it to be routed again
    -- Of a pending event whose other transfers are stored: the rules still to be decided on.
    owed          TEXT    NOT NULL DEFAULT '',
    -- The traceparent of the request that brought it; empty when it is not traced.
    trace         TEXT    NOT NULL DEFAULT '',
    body          BYTEA   NOT NULL,
    UNIQUE (portal, webhook_id, event_id, created_on)
);
CREATE INDEX events_state ON events (state, id);
CREATE INDEX events_portal ON events (portal, id);
CREATE INDEX events_received ON events (received_at);

-- One copy or move of one entry to one destination, caused by one rule and one event.
CREATE TABLE transfers (
    id              BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id        BIGINT  NOT NULL REFERENCES events (id),
    portal          TEXT    NOT NULL,
    rule            TEXT    NOT NULL,
    "action"        TEXT    NOT NULL,
    conflict        TEXT    NOT NULL,
    entry_kind      TEXT    NOT NULL,
    entry_id        TEXT    NOT NULL,
    entry_title     TEXT    NOT NULL,
    search          TEXT    NOT NULL DEFAULT '', -- the title as it is searched: in lower case
    source          TEXT    NOT NULL, -- the room or folder that the rule names, or the room that it found
    destination     TEXT    NOT NULL, -- the folder it goes to, and
    base            TEXT    NOT NULL, -- the one the rule names, which may lie above
    -- Of a transfer that the gateway's own work caused: the rules it was handed on by.
    trail           TEXT    NOT NULL DEFAULT '',
    lane            TEXT    NOT NULL,
    happening       TEXT    NOT NULL,
    happened_at     BIGINT  NOT NULL,
    state           TEXT    NOT NULL,
    reason          TEXT    NOT NULL DEFAULT '',
    attempts        INTEGER NOT NULL DEFAULT 0,
    max_batch       INTEGER NOT NULL DEFAULT 0,
    next_attempt_at BIGINT  NOT NULL DEFAULT 0,
    sent_at         BIGINT  NOT NULL DEFAULT 0, -- first sent and not certainly refused since
    failing_since   BIGINT  NOT NULL DEFAULT 0, -- first attempt that failed for a reason of its own
    operation_id    BIGINT  NOT NULL DEFAULT 0,
    -- The pause that next_attempt_at was put off by, as its key; empty while there is none.
    held_by         TEXT    NOT NULL DEFAULT '',
    backfill        BIGINT  NOT NULL DEFAULT 0, -- of a transfer that a backfill asked for; negative once an event relies on it
    result_id       TEXT    NOT NULL DEFAULT '',
    result_title    TEXT    NOT NULL DEFAULT '',
    result_version  INTEGER NOT NULL DEFAULT 0,
    created_at      BIGINT  NOT NULL,
    queued_at       BIGINT  NOT NULL,
    ended_at        BIGINT  NOT NULL DEFAULT 0
);
CREATE INDEX transfers_event ON transfers (event_id);
CREATE INDEX transfers_entry ON transfers (portal, entry_kind, entry_id);
-- The state is the same in all of a queue's index; that it is a column makes SQLite prefer these to
-- transfers_state.
CREATE INDEX transfers_queue ON transfers (lane, state, id) WHERE state = 'queued';
CREATE INDEX transfers_due ON transfers (state, lane, next_attempt_at, rule) WHERE state = 'queued';
CREATE INDEX transfers_held ON transfers (held_by, id) WHERE held_by <> '';
CREATE INDEX transfers_state ON transfers (state, id);
CREATE INDEX transfers_state_portal ON transfers (state, portal, id);
CREATE INDEX transfers_portal ON transfers (portal, id);
CREATE INDEX transfers_rule ON transfers (rule, id);
CREATE INDEX transfers_rule_event ON transfers (rule, event_id);
-- What came from a room or folder, or went to it. Where a rule names no path, base is the destination.
CREATE INDEX transfers_source ON transfers (source, id);
CREATE INDEX transfers_base ON transfers (base, id);
CREATE INDEX transfers_below ON transfers (destination, id) WHERE destination <> base;
CREATE INDEX transfers_created ON transfers (created_at);
CREATE INDEX transfers_ended ON transfers (ended_at, state) WHERE ended_at <> 0;
CREATE INDEX transfers_operation ON transfers (operation_id) WHERE operation_id <> 0;
CREATE INDEX transfers_trail ON transfers (portal, destination) WHERE trail <> '';
-- A hash, because what connected storage names a copy has no longest form, and a b-tree refuses one.
CREATE INDEX transfers_backfill ON transfers (backfill, state) WHERE backfill <> 0;
-- What waits, counted for each portal without a look at the transfers themselves.
CREATE INDEX transfers_waiting ON transfers (state, portal, queued_at) WHERE state IN ('blocked', 'queued', 'sending');
CREATE INDEX transfers_result ON transfers USING hash (result_id) WHERE result_id <> '';

-- One fileops call with a batch of a lane's transfers, and its life on the portal.
CREATE TABLE operations (
    id                  BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    lane                TEXT    NOT NULL,
    portal              TEXT    NOT NULL,
    state               TEXT    NOT NULL,
    portal_operation_id TEXT    NOT NULL DEFAULT '',
    transfers           INTEGER NOT NULL,
    done                INTEGER NOT NULL DEFAULT 0,
    error               TEXT    NOT NULL DEFAULT '',
    started_at          BIGINT  NOT NULL,
    -- Of an operation whose answer was lost: how many of its entries were last seen in the
    -- destination, and when that number last grew.
    seen                INTEGER NOT NULL DEFAULT 0,
    seen_at             BIGINT  NOT NULL DEFAULT 0,
    settled_at          BIGINT  NOT NULL DEFAULT 0
);
-- A lane has at most one operation under way, whatever runs at the same time.
CREATE UNIQUE INDEX operations_open ON operations (lane) WHERE state <> 'settled';

-- How many write calls each portal was sent on each day, UTC.
CREATE TABLE portal_usage (
    portal TEXT   NOT NULL,
    day    TEXT   NOT NULL,
    writes BIGINT NOT NULL,
    PRIMARY KEY (portal, day)
);

-- The token bucket that spreads a portal's daily writes. It is shared by all replicas.
CREATE TABLE portal_budgets (
    portal       TEXT   NOT NULL PRIMARY KEY,
    tokens       DOUBLE PRECISION NOT NULL,
    filled_at    BIGINT NOT NULL,
    paused_until BIGINT NOT NULL DEFAULT 0,
    reason       TEXT   NOT NULL DEFAULT ''
);
CREATE INDEX operations_settled ON operations (settled_at) WHERE state = 'settled';

-- A folder that a rule's path names below its destination. DocSpace accepts two folders of one
-- title, so the row comes before the call: whoever writes sent_at creates the folder, and while
-- the outcome of that call is unknown everybody looks for it instead of creating another.
CREATE TABLE path_folders (
    portal    TEXT   NOT NULL,
    parent    TEXT   NOT NULL,
    name      TEXT   NOT NULL,            -- the title that was asked for, in lower case
    folder_id TEXT   NOT NULL DEFAULT '', -- empty while it is not known
    title     TEXT   NOT NULL DEFAULT '', -- as the portal has it
    sent_at   BIGINT NOT NULL DEFAULT 0,
    kept_at   BIGINT NOT NULL DEFAULT 0,
    -- The portal's last answer to a call to create it, if it refused: how often it did one after
    -- another, the status and the text. Nobody calls again before refused_until.
    refusals       INTEGER NOT NULL DEFAULT 0,
    refused_until  BIGINT  NOT NULL DEFAULT 0,
    refused_status INTEGER NOT NULL DEFAULT 0,
    refused_reason TEXT    NOT NULL DEFAULT '',
    PRIMARY KEY (portal, parent, name)
);
CREATE INDEX path_folders_kept ON path_folders (kept_at);

-- The last good version of each rules file, so that a restart amid a bad file still routes.
CREATE TABLE rule_files (
    name      TEXT   NOT NULL PRIMARY KEY,
    hash      TEXT   NOT NULL,
    text      BYTEA  NOT NULL,
    loaded_at BIGINT NOT NULL
);

-- How far the portal's own log of a webhook has been read for deliveries that were missed.
CREATE TABLE webhook_logs (
    portal      TEXT   NOT NULL,
    webhook_id  TEXT   NOT NULL,
    handled_to  BIGINT NOT NULL DEFAULT 0, -- of this row, and all before it, nothing is left to take in
    newest      BIGINT NOT NULL DEFAULT 0, -- the newest row seen at
    newest_at   BIGINT NOT NULL DEFAULT 0,
    known_since BIGINT NOT NULL,           -- what was answered before is not in this database
    checked_at  BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (portal, webhook_id)
);

-- The versions of the rules that were in use, so that people see what a load changed. Files is a
-- list in JSON of names and texts, secrets that stand in them included.
CREATE TABLE rule_versions (
    id        BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    hash      TEXT   NOT NULL,
    cause     TEXT   NOT NULL,
    loaded_at BIGINT NOT NULL,
    files     BYTEA  NOT NULL
);

-- What became of a transfer's attempts, and what people did with it, oldest first. A success is
-- told by the transfer itself. What repeats is counted.
CREATE TABLE attempts (
    transfer_id  BIGINT  NOT NULL,
    n            INTEGER NOT NULL,
    operation_id BIGINT  NOT NULL DEFAULT 0,
    outcome      TEXT    NOT NULL,
    reason       TEXT    NOT NULL,
    at           BIGINT  NOT NULL,           -- the first time, and
    last_at      BIGINT  NOT NULL,           -- the last time
    times        INTEGER NOT NULL DEFAULT 1, -- in a row
    PRIMARY KEY (transfer_id, n)
);

-- How many events each rule sent on.
CREATE TABLE rule_hits (
    rule     TEXT   NOT NULL PRIMARY KEY,
    hits     BIGINT NOT NULL,
    last_hit BIGINT NOT NULL
);

-- Rules and portals whose transfers somebody holds for a while.
CREATE TABLE pauses (
    scope      TEXT   NOT NULL, -- rule or portal
    name       TEXT   NOT NULL,
    until      BIGINT NOT NULL,
    reason     TEXT   NOT NULL,
    author     TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (scope, name)
);

-- A walk through a rule's sources that routes what was there before the rule.
CREATE TABLE backfills (
    id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    portal     TEXT   NOT NULL,
    rule       TEXT   NOT NULL,
    sources    TEXT   NOT NULL DEFAULT '', -- those that were asked for, where it was not all
    since      BIGINT NOT NULL DEFAULT 0,
    state      TEXT   NOT NULL,
    note       TEXT   NOT NULL DEFAULT '', -- what it waits for
    tally      TEXT   NOT NULL DEFAULT '', -- JSON
    created_at BIGINT NOT NULL,
    ended_at   BIGINT NOT NULL DEFAULT 0
);
-- A rule has at most one at a time on each portal, whatever runs at the same time.
CREATE UNIQUE INDEX backfills_open ON backfills (portal, rule) WHERE state = 'running';

-- The folders that a backfill under way has found, and how far each is read.
CREATE TABLE backfill_folders (
    id       BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    backfill BIGINT  NOT NULL REFERENCES backfills (id),
    folder   TEXT    NOT NULL,
    deep     INTEGER NOT NULL,            -- 1: the folders in it as well
    walked   INTEGER NOT NULL DEFAULT 0,
    start    INTEGER NOT NULL DEFAULT 0,  -- of the next page
    -- The moment of creation of the last file that was looked at, and the files of that moment.
    mark     BIGINT  NOT NULL DEFAULT 0,
    marked   TEXT    NOT NULL DEFAULT '',
    UNIQUE (backfill, folder)
);
CREATE INDEX backfill_folders_open ON backfill_folders (backfill, id) WHERE walked = 0;
-- Which entries were copied by which rule, after the transfers themselves are deleted: fingerprints,
-- so that a backfill long after still repeats nothing.
CREATE TABLE transferred (key BIGINT NOT NULL PRIMARY KEY);
-- Events of backfills that are not decided yet: only theirs, and those stored in part, owe a rule.
CREATE INDEX events_owed ON events (webhook_id) WHERE state = 'pending' AND owed <> '';

-- +goose Down
DROP TABLE transferred;
DROP TABLE backfill_folders;
DROP TABLE backfills;
DROP TABLE pauses;
DROP TABLE rule_hits;
DROP TABLE attempts;
DROP TABLE webhook_logs;
DROP TABLE rule_versions;
DROP TABLE rule_files;
DROP TABLE path_folders;
DROP TABLE portal_budgets;
DROP TABLE portal_usage;
DROP TABLE operations;
DROP TABLE transfers;
DROP TABLE events;
