-- One queue a function: of its events, and whether an operator has stopped them.
CREATE TABLE queue (
    id      INTEGER PRIMARY KEY,
    account TEXT NOT NULL,
    region  TEXT NOT NULL,
    name    TEXT NOT NULL,
    paused  INTEGER NOT NULL DEFAULT 0,
    UNIQUE (account, region, name)
);

-- Asynchronous events from their 202 to the end of their last delivery, and for a while those that failed.
-- `seq` counts up in the order of acceptance. `stage` is 0 while the function is to be invoked, 1 while the outcome
-- is to be delivered, 2 when the event has failed and is kept, 3 when it could not be read. `due_at` is when it
-- is to be looked at (again). `outcome` is the engine's own document.
-- What changes comes before what is large.
CREATE TABLE event (
    seq             INTEGER PRIMARY KEY,
    queue           INTEGER NOT NULL,
    stage           INTEGER NOT NULL,
    due_at          INTEGER NOT NULL,
    function_errors INTEGER NOT NULL,
    system_errors   INTEGER NOT NULL,
    last_error      TEXT,
    accepted_at     INTEGER NOT NULL,
    request_id      TEXT NOT NULL,
    qualifier       TEXT NOT NULL,
    caller          TEXT NOT NULL,
    invoked_arn     TEXT NOT NULL,
    trace_id        TEXT NOT NULL,
    client_context  TEXT,
    on_failure      TEXT,
    dead_letter     TEXT,
    outcome         BLOB,
    payload         BLOB NOT NULL
);

-- The first events of a queue are found without a look at all others.
CREATE INDEX event_due ON event (queue, stage, due_at);
