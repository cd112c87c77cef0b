-- Versions and their states. `build` changes with code and settings, `revision` with every change that a
-- client can see. `condition` is the state as JSON (see functions/condition.rs), `unsettled` whether it has
-- work left to do. `in_force` is what runs while an update is in progress (JSON, see functions.rs).
-- `last_version` counts on the row of '$LATEST': numbers are never used again.
ALTER TABLE function ADD COLUMN build TEXT NOT NULL DEFAULT '';
UPDATE function SET build = revision;
ALTER TABLE function ADD COLUMN published_description TEXT;
ALTER TABLE function ADD COLUMN condition TEXT NOT NULL DEFAULT '{"state":"Active","update":"Successful"}';
ALTER TABLE function ADD COLUMN unsettled INTEGER NOT NULL DEFAULT 0;
ALTER TABLE function ADD COLUMN in_force TEXT;
ALTER TABLE function ADD COLUMN last_version INTEGER NOT NULL DEFAULT 0;

CREATE INDEX function_unsettled ON function (unsettled) WHERE unsettled = 1;

CREATE TABLE function_alias (
    account            TEXT NOT NULL,
    region             TEXT NOT NULL,
    name               TEXT NOT NULL,
    alias              TEXT NOT NULL,
    revision           TEXT NOT NULL,
    description        TEXT NOT NULL,
    version            TEXT NOT NULL,
    additional_version TEXT,
    additional_weight  REAL,
    PRIMARY KEY (account, region, name, alias)
) WITHOUT ROWID;

-- An event keeps what it was sent to, so that an alias is looked up for each attempt.
ALTER TABLE async_event RENAME COLUMN version TO qualifier;
