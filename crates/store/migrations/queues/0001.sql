-- Queues and their messages.
-- A queue's id names its content: deleting or purging a queue gives the content away under its old id, in one step
-- whatever there is of it, and the sweep frees it later. Ids are never reused.
CREATE TABLE queue (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    account    TEXT NOT NULL,
    region     TEXT NOT NULL,
    name       TEXT NOT NULL,
    fifo       INTEGER NOT NULL,
    created    INTEGER NOT NULL,
    modified   INTEGER NOT NULL,
    purged     INTEGER,
    attributes TEXT NOT NULL,
    tags       TEXT NOT NULL,
    -- How many messages there are, in whatever state.
    messages   INTEGER NOT NULL DEFAULT 0,
    UNIQUE (account, region, name)
);

-- Names of queues that were deleted a moment ago.
CREATE TABLE deleted_queue (
    account TEXT NOT NULL,
    region  TEXT NOT NULL,
    name    TEXT NOT NULL,
    at      INTEGER NOT NULL,
    PRIMARY KEY (account, region, name)
) WITHOUT ROWID;

-- Ids of queues whose messages are still there.
CREATE TABLE removed (
    queue INTEGER PRIMARY KEY
);

-- The last id that a message was given. Ids grow, and with them sequence numbers.
CREATE TABLE sequence (
    last INTEGER NOT NULL
);
INSERT INTO sequence VALUES (0);

-- The long columns are last, so that what is searched and changed is at the beginning of a row.
CREATE TABLE message (
    id             INTEGER PRIMARY KEY,
    queue          INTEGER NOT NULL,
    visible_at     INTEGER NOT NULL,
    receives       INTEGER NOT NULL,
    sent_at        INTEGER NOT NULL,
    first_received INTEGER NOT NULL DEFAULT 0,
    last_received  INTEGER NOT NULL DEFAULT 0,
    -- Message group of a FIFO queue.
    lane           TEXT,
    -- The attempt that has received it last, if the receiver named one.
    attempt        TEXT,
    -- The queue it was moved away from.
    origin         TEXT,
    uuid           TEXT NOT NULL,
    details        BLOB NOT NULL,
    body           BLOB NOT NULL
);

-- Receives take a range of this; counts need nothing else.
CREATE INDEX message_by_visibility ON message (queue, visible_at, receives);
CREATE INDEX message_by_age ON message (queue, sent_at);
CREATE INDEX message_by_lane ON message (queue, lane, id) WHERE lane IS NOT NULL;
CREATE INDEX message_by_attempt ON message (queue, attempt) WHERE attempt IS NOT NULL;

-- Message groups that have messages, and when the first message of each is visible.
CREATE TABLE lane (
    queue    INTEGER NOT NULL,
    name     TEXT NOT NULL,
    ready_at INTEGER NOT NULL,
    PRIMARY KEY (queue, name)
);
CREATE INDEX lane_by_readiness ON lane (queue, ready_at);

-- What was sent a moment ago and is not to be taken twice.
CREATE TABLE dedup (
    queue   INTEGER NOT NULL,
    key     TEXT NOT NULL,
    until   INTEGER NOT NULL,
    uuid    TEXT NOT NULL,
    message INTEGER NOT NULL,
    PRIMARY KEY (queue, key)
);
CREATE INDEX dedup_by_end ON dedup (until);

-- Messages on their way from one queue to others, on a user's order.
CREATE TABLE move_task (
    id          TEXT PRIMARY KEY,
    account     TEXT NOT NULL,
    region      TEXT NOT NULL,
    source      TEXT NOT NULL,
    destination TEXT,
    rate        INTEGER,
    status      TEXT NOT NULL,
    failure     TEXT,
    moved       INTEGER NOT NULL,
    to_move     INTEGER NOT NULL,
    started     INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX move_task_by_source ON move_task (account, region, source, started);
