-- IAM. It is global, so everything is keyed by account alone.
CREATE TABLE iam_role (
    account              TEXT NOT NULL,
    name                 TEXT NOT NULL,
    path                 TEXT NOT NULL,
    id                   TEXT NOT NULL,
    created              INTEGER NOT NULL,
    trust_policy         TEXT NOT NULL,
    description          TEXT,
    max_session          INTEGER NOT NULL,
    permissions_boundary TEXT,
    tags                 TEXT NOT NULL,
    PRIMARY KEY (account, name)
) WITHOUT ROWID;

-- Policies that are part of their role.
CREATE TABLE iam_role_policy (
    account  TEXT NOT NULL,
    role     TEXT NOT NULL,
    name     TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (account, role, name),
    FOREIGN KEY (account, role) REFERENCES iam_role (account, name)
) WITHOUT ROWID;

-- Managed policies of a role: the account's own ones and AWS's, of which only the ARN is known.
CREATE TABLE iam_role_attachment (
    account TEXT NOT NULL,
    role    TEXT NOT NULL,
    arn     TEXT NOT NULL,
    PRIMARY KEY (account, role, arn),
    FOREIGN KEY (account, role) REFERENCES iam_role (account, name)
) WITHOUT ROWID;

CREATE INDEX iam_role_attachment_by_policy ON iam_role_attachment (account, arn);

-- Managed policies of the account. Versions count from 1 and are never reused.
CREATE TABLE iam_policy (
    account         TEXT NOT NULL,
    name            TEXT NOT NULL,
    path            TEXT NOT NULL,
    id              TEXT NOT NULL,
    created         INTEGER NOT NULL,
    updated         INTEGER NOT NULL,
    description     TEXT,
    default_version INTEGER NOT NULL,
    last_version    INTEGER NOT NULL,
    tags            TEXT NOT NULL,
    PRIMARY KEY (account, name)
) WITHOUT ROWID;

CREATE TABLE iam_policy_version (
    account  TEXT NOT NULL,
    policy   TEXT NOT NULL,
    version  INTEGER NOT NULL,
    created  INTEGER NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (account, policy, version),
    FOREIGN KEY (account, policy) REFERENCES iam_policy (account, name) ON DELETE CASCADE
) WITHOUT ROWID;
