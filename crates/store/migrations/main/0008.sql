-- What scales provisioned concurrency. `resource` is 'function:NAME:QUALIFIER'.
CREATE TABLE scaling_target (
    account   TEXT NOT NULL,
    region    TEXT NOT NULL,
    resource  TEXT NOT NULL,
    id        TEXT NOT NULL, -- the end of its ARN
    family    TEXT NOT NULL, -- what the ARNs of its policies and scheduled actions have in common
    min       INTEGER NOT NULL,
    max       INTEGER NOT NULL,
    suspended TEXT NOT NULL, -- JSON
    tags      TEXT NOT NULL, -- JSON
    progress  TEXT NOT NULL, -- JSON: when it was scaled last
    created   INTEGER NOT NULL,
    PRIMARY KEY (account, region, resource)
) WITHOUT ROWID;
CREATE UNIQUE INDEX scaling_target_by_id ON scaling_target (account, region, id);

-- Scaling policies and scheduled actions; they go with their target.
CREATE TABLE scaling_rule (
    account  TEXT NOT NULL,
    region   TEXT NOT NULL,
    kind     TEXT NOT NULL, -- 'policy', 'action'
    resource TEXT NOT NULL,
    name     TEXT NOT NULL,
    settings TEXT NOT NULL, -- JSON
    created  INTEGER NOT NULL,
    due      INTEGER, -- when it is to act next
    PRIMARY KEY (account, region, kind, resource, name),
    FOREIGN KEY (account, region, resource) REFERENCES scaling_target ON DELETE CASCADE
) WITHOUT ROWID;
CREATE INDEX scaling_rule_of_target ON scaling_rule (account, region, resource);
CREATE INDEX scaling_rule_due ON scaling_rule (due) WHERE due IS NOT NULL;

-- What was done; the row's number is its order.
CREATE TABLE scaling_activity (
    number   INTEGER PRIMARY KEY AUTOINCREMENT,
    account  TEXT NOT NULL,
    region   TEXT NOT NULL,
    resource TEXT NOT NULL,
    started  INTEGER NOT NULL,
    open     INTEGER NOT NULL, -- it is not over
    scaled   INTEGER NOT NULL, -- 0: nothing was to be changed
    document TEXT NOT NULL -- JSON
);
CREATE INDEX scaling_activity_of_account ON scaling_activity (account, region, number);
CREATE INDEX scaling_activity_started ON scaling_activity (started);
CREATE INDEX scaling_activity_open ON scaling_activity (number) WHERE open = 1;
