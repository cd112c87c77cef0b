-- Layers. Numbers of versions are never used again, so the count outlives the versions.
CREATE TABLE layer (
    account      TEXT NOT NULL,
    region       TEXT NOT NULL,
    name         TEXT NOT NULL,
    last_version INTEGER NOT NULL,
    PRIMARY KEY (account, region, name)
) WITHOUT ROWID;

-- `runtimes`, `architectures` and `statements` are JSON arrays; `policy_revision` is there while there are
-- statements.
CREATE TABLE layer_version (
    account         TEXT NOT NULL,
    region          TEXT NOT NULL,
    name            TEXT NOT NULL,
    version         INTEGER NOT NULL,
    code_sha256     TEXT NOT NULL,
    code_size       INTEGER NOT NULL,
    unpacked_size   INTEGER NOT NULL,
    created         INTEGER NOT NULL,
    description     TEXT NOT NULL,
    license_info    TEXT,
    runtimes        TEXT NOT NULL,
    architectures   TEXT NOT NULL,
    statements      TEXT NOT NULL DEFAULT '[]',
    policy_revision TEXT,
    PRIMARY KEY (account, region, name, version)
) WITHOUT ROWID;
