-- One row a function version; '$LATEST' is the row that changes.
-- `configuration` is the function's settings as JSON (see functions.rs), opaque to SQL.
CREATE TABLE function (
    account       TEXT NOT NULL,
    region        TEXT NOT NULL,
    name          TEXT NOT NULL,
    version       TEXT NOT NULL,
    revision      TEXT NOT NULL,
    code_sha256   TEXT NOT NULL,
    code_size     INTEGER NOT NULL,
    last_modified INTEGER NOT NULL,
    configuration TEXT NOT NULL,
    PRIMARY KEY (account, region, name, version)
) WITHOUT ROWID;

CREATE INDEX function_by_code ON function (code_sha256);

CREATE TABLE function_tag (
    account TEXT NOT NULL,
    region  TEXT NOT NULL,
    name    TEXT NOT NULL,
    key     TEXT NOT NULL,
    value   TEXT NOT NULL,
    PRIMARY KEY (account, region, name, key)
) WITHOUT ROWID;

-- Accepted asynchronous events, from their 202 to their outcome.
CREATE TABLE async_event (
    request_id      TEXT PRIMARY KEY,
    account         TEXT NOT NULL,
    region          TEXT NOT NULL,
    name            TEXT NOT NULL,
    version         TEXT NOT NULL,
    invoked_arn     TEXT NOT NULL,
    trace_id        TEXT NOT NULL,
    payload         BLOB NOT NULL,
    accepted_at     INTEGER NOT NULL,
    due_at          INTEGER NOT NULL,
    function_errors INTEGER NOT NULL DEFAULT 0,
    system_errors   INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;

CREATE INDEX async_event_due ON async_event (due_at);
