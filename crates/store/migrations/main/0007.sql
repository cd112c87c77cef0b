-- Lists and totals that cost the same whatever the number of functions.
-- `number` is 0 for '$LATEST', so that versions of a function sort as numbers.
ALTER TABLE function ADD COLUMN number INTEGER
    GENERATED ALWAYS AS (CASE version WHEN '$LATEST' THEN 0 ELSE CAST(version AS INTEGER) END) VIRTUAL;
CREATE INDEX function_by_number ON function (account, region, name, number);
CREATE INDEX function_latest ON function (account, region, name) WHERE version = '$LATEST';
DROP INDEX function_unsettled;
CREATE INDEX function_unsettled ON function (account, region, name) WHERE unsettled = 1;

-- What an account has in a region: functions, and bytes of the packages of all their versions and of layers. Kept by
-- triggers, so that no change can forget it and none can be half there.
CREATE TABLE account_usage (
    account   TEXT NOT NULL,
    region    TEXT NOT NULL,
    functions INTEGER NOT NULL,
    code_size INTEGER NOT NULL,
    PRIMARY KEY (account, region)
) WITHOUT ROWID;

INSERT INTO account_usage
    SELECT account, region, SUM(functions), SUM(code_size) FROM (
        SELECT account, region, version = '$LATEST' AS functions, code_size FROM function
        UNION ALL SELECT account, region, 0, code_size FROM layer_version)
    GROUP BY account, region;

CREATE TRIGGER function_comes AFTER INSERT ON function BEGIN
    INSERT INTO account_usage VALUES (new.account, new.region, new.version = '$LATEST', new.code_size)
        ON CONFLICT DO UPDATE SET functions = functions + excluded.functions, code_size = code_size + excluded.code_size;
END;
CREATE TRIGGER function_changes AFTER UPDATE OF code_size ON function WHEN new.code_size <> old.code_size BEGIN
    UPDATE account_usage SET code_size = code_size + new.code_size - old.code_size
        WHERE account = new.account AND region = new.region;
END;
CREATE TRIGGER function_goes AFTER DELETE ON function BEGIN
    UPDATE account_usage SET functions = functions - (old.version = '$LATEST'), code_size = code_size - old.code_size
        WHERE account = old.account AND region = old.region;
END;
CREATE TRIGGER layer_version_comes AFTER INSERT ON layer_version BEGIN
    INSERT INTO account_usage VALUES (new.account, new.region, 0, new.code_size)
        ON CONFLICT DO UPDATE SET code_size = code_size + excluded.code_size;
END;
CREATE TRIGGER layer_version_goes AFTER DELETE ON layer_version BEGIN
    UPDATE account_usage SET code_size = code_size - old.code_size
        WHERE account = old.account AND region = old.region;
END;
