-- What hangs on a function, a version or an alias beside code and configuration: one JSON document of each
-- kind (see attached.rs). `qualifier` is empty for what belongs to the function as a whole.
CREATE TABLE function_attached (
    account   TEXT NOT NULL,
    region    TEXT NOT NULL,
    name      TEXT NOT NULL,
    qualifier TEXT NOT NULL,
    kind      TEXT NOT NULL,
    document  TEXT NOT NULL,
    PRIMARY KEY (account, region, name, kind, qualifier)
) WITHOUT ROWID;

CREATE INDEX function_attached_by_kind ON function_attached (account, region, kind, name);

-- Code signing configurations belong to the account; functions refer to them by ARN.
CREATE TABLE code_signing_config (
    account  TEXT NOT NULL,
    region   TEXT NOT NULL,
    id       TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (account, region, id)
) WITHOUT ROWID;
