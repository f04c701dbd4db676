"""The step of the schema that lets a pole have several logs of records. See `center.store.schema` for the rules."""

LOGS = """
CREATE TABLE record_log (
    pole TEXT NOT NULL,
    log INTEGER NOT NULL,
    log_id TEXT NOT NULL,
    begun_at_us INTEGER NOT NULL,
    PRIMARY KEY (pole, log),
    UNIQUE (pole, log_id)
) WITHOUT ROWID;
INSERT INTO record_log SELECT DISTINCT pole, 0, '', 0 FROM record;
CREATE TABLE record_2 (
    pole TEXT NOT NULL,
    log INTEGER NOT NULL,
    idx INTEGER NOT NULL,
    kind TEXT NOT NULL,
    camera TEXT NOT NULL,
    segment TEXT NOT NULL,
    cause TEXT NOT NULL,
    start_us INTEGER,
    end_us INTEGER,
    raw BLOB NOT NULL,
    PRIMARY KEY (pole, log, idx)
) WITHOUT ROWID;
INSERT INTO record_2 SELECT pole, 0, idx, kind, camera, segment, cause, start_us, end_us, raw FROM record;
DROP TABLE record;
ALTER TABLE record_2 RENAME TO record;
CREATE INDEX record_span ON record (pole, camera, start_us) WHERE start_us IS NOT NULL;
"""
