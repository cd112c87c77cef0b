-- Event source mappings. `qualifier` is the version or alias of the function, empty for none; `source` the ARN of
-- the event source, empty for one that has none. `identity` is what two mappings may not share. `origin` is what
-- never changes and `settings` what does, both as the API has them (JSON); `tags` is a JSON object. A function may be
-- deleted before its mappings, so there is no foreign key.
CREATE TABLE event_source_mapping (
    account       TEXT NOT NULL,
    region        TEXT NOT NULL,
    uuid          TEXT NOT NULL,
    function      TEXT NOT NULL,
    qualifier     TEXT NOT NULL,
    source        TEXT NOT NULL,
    identity      TEXT NOT NULL,
    enabled       INTEGER NOT NULL,
    last_modified INTEGER NOT NULL,
    origin        TEXT NOT NULL,
    settings      TEXT NOT NULL,
    tags          TEXT NOT NULL,
    PRIMARY KEY (account, region, uuid)
) WITHOUT ROWID;

CREATE UNIQUE INDEX event_source_mapping_identity ON event_source_mapping (account, region, identity);
CREATE INDEX event_source_mapping_function ON event_source_mapping (account, region, function, qualifier, uuid);
CREATE INDEX event_source_mapping_source ON event_source_mapping (account, region, source, uuid);
