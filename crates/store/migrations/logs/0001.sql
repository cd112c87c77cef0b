-- Log groups, streams and events.
-- Ids are never reused: events of a deleted stream stay for a while, until the sweep takes them.
CREATE TABLE log_group (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    account        TEXT NOT NULL,
    region         TEXT NOT NULL,
    name           TEXT NOT NULL,
    created        INTEGER NOT NULL,
    retention_days INTEGER,
    stored_bytes   INTEGER NOT NULL DEFAULT 0,
    tags           TEXT NOT NULL DEFAULT '{}',
    UNIQUE (account, region, name)
);

-- The three times are -1 before the first event.
CREATE TABLE log_stream (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    group_id       INTEGER NOT NULL REFERENCES log_group (id) ON DELETE CASCADE,
    name           TEXT NOT NULL,
    created        INTEGER NOT NULL,
    first_event    INTEGER NOT NULL DEFAULT -1,
    last_event     INTEGER NOT NULL DEFAULT -1,
    last_ingestion INTEGER NOT NULL DEFAULT -1,
    UNIQUE (group_id, name)
);

CREATE INDEX log_stream_by_last_event ON log_stream (group_id, last_event, name);

-- No reference to the stream, so that deleting a stream does not wait for its events to go.
CREATE TABLE log_event (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    stream_id INTEGER NOT NULL,
    group_id  INTEGER NOT NULL,
    timestamp INTEGER NOT NULL,
    ingested  INTEGER NOT NULL,
    message   TEXT NOT NULL
);

-- Both indexes end with the id implicitly, which makes (timestamp, id) the order of reading.
CREATE INDEX log_event_by_stream ON log_event (stream_id, timestamp);
CREATE INDEX log_event_by_group ON log_event (group_id, timestamp);

-- Deleted streams whose events are still there.
CREATE TABLE log_removed (
    stream_id INTEGER PRIMARY KEY
);
