-- A topic of SNS. `attributes` and `tags` are JSON objects of texts, opaque to SQL.
CREATE TABLE topic (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    account    TEXT NOT NULL,
    region     TEXT NOT NULL,
    name       TEXT NOT NULL,
    attributes TEXT NOT NULL,
    tags       TEXT NOT NULL,
    -- The place of its last message, in a FIFO topic.
    sequence   INTEGER NOT NULL DEFAULT 0,
    UNIQUE (account, region, name)
);

-- `state` is pending, confirmed, or ended: unsubscribed, and kept for a while because it can be taken back.
CREATE TABLE subscription (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    topic         INTEGER NOT NULL REFERENCES topic (id) ON DELETE CASCADE,
    uuid          TEXT NOT NULL UNIQUE,
    owner         TEXT NOT NULL,
    protocol      TEXT NOT NULL,
    endpoint      TEXT NOT NULL,
    attributes    TEXT NOT NULL,
    state         TEXT NOT NULL,
    token         TEXT NOT NULL,
    authenticated INTEGER NOT NULL,
    -- When a pending or ended one is forgotten.
    expires       INTEGER,
    -- The host by which its subscriber reached us.
    host          TEXT NOT NULL,
    UNIQUE (topic, protocol, endpoint)
);

CREATE INDEX subscription_expiry ON subscription (expires) WHERE expires IS NOT NULL;

-- A message that is still to be delivered to somebody. `document` is JSON, opaque to SQL.
CREATE TABLE message (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid     TEXT NOT NULL,
    document TEXT NOT NULL,
    -- In a FIFO topic.
    sequence INTEGER
);

-- A message on its way to one subscription. In a FIFO topic `lane` is its group, whose order is kept.
CREATE TABLE delivery (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    message      INTEGER NOT NULL REFERENCES message (id),
    subscription INTEGER NOT NULL REFERENCES subscription (id) ON DELETE CASCADE,
    lane         TEXT,
    due          INTEGER NOT NULL,
    attempts     INTEGER NOT NULL DEFAULT 0,
    -- Why the endpoint will never have it; from then on it is on its way to the dead letter queue.
    failure      TEXT
);

CREATE INDEX delivery_due ON delivery (subscription, due);
CREATE INDEX delivery_lane ON delivery (subscription, lane, due) WHERE lane IS NOT NULL;
-- In the order of its keys, which is that of publication.
CREATE INDEX delivery_order ON delivery (subscription) WHERE lane IS NOT NULL;
CREATE INDEX delivery_message ON delivery (message);

-- A message goes with its last delivery.
CREATE TRIGGER delivered AFTER DELETE ON delivery
WHEN NOT EXISTS (SELECT 1 FROM delivery WHERE message = OLD.message)
BEGIN
    DELETE FROM message WHERE id = OLD.message;
END;

-- What FIFO topics have seen of late.
CREATE TABLE deduplication (
    topic    INTEGER NOT NULL REFERENCES topic (id) ON DELETE CASCADE,
    -- The group, where each group has ids of its own.
    lane     TEXT NOT NULL,
    token    TEXT NOT NULL,
    uuid     TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    expires  INTEGER NOT NULL,
    PRIMARY KEY (topic, lane, token)
) WITHOUT ROWID;

CREATE INDEX deduplication_expiry ON deduplication (expires);

-- What messages are signed with, once one was.
CREATE TABLE signer (
    id          INTEGER PRIMARY KEY CHECK (id = 1),
    private_key TEXT NOT NULL,
    certificate TEXT NOT NULL
);
