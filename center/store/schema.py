"""The schema of `center.sqlite` and how an older one becomes this one.

Rules:
* `application_id` says that the file is ours, `user_version` its schema; a newer schema is refused, not guessed;
* each step of `STEPS` runs once, in one transaction with the new version;
* times are UTC microseconds; `raw` keeps the sender's bytes, so that a field we do not know is not lost;
* ledger rows can be neither changed nor removed (triggers), and each holds the hash of the one before.
"""

APPLICATION_ID = 0x706F6C63  # "polc"

_FIRST = """
CREATE TABLE pole (
    pole TEXT PRIMARY KEY,
    state TEXT NOT NULL,
    session TEXT NOT NULL DEFAULT '',
    ended_session TEXT NOT NULL DEFAULT '',
    seen_at_us INTEGER NOT NULL,
    interval_us INTEGER NOT NULL,
    seq INTEGER NOT NULL DEFAULT 0,
    heartbeat_at_us INTEGER,
    heartbeat BLOB
);
CREATE TABLE incident (
    incident_id TEXT PRIMARY KEY,
    pole TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'answered', 'closed')),
    presses INTEGER NOT NULL,
    line TEXT NOT NULL,
    simulated INTEGER NOT NULL,
    first_pressed_at_us INTEGER NOT NULL,
    last_pressed_at_us INTEGER NOT NULL,
    opened_at_us INTEGER NOT NULL,
    answered_at_us INTEGER,
    answered_by TEXT NOT NULL DEFAULT '',
    closed_at_us INTEGER,
    closed_by TEXT NOT NULL DEFAULT '',
    reason TEXT NOT NULL DEFAULT ''
);
CREATE INDEX incident_open ON incident (opened_at_us) WHERE state != 'closed';
CREATE INDEX incident_opened ON incident (opened_at_us);
CREATE TABLE alarm (
    alarm_id TEXT PRIMARY KEY,
    incident_id TEXT NOT NULL REFERENCES incident,
    pole TEXT NOT NULL,
    press_number INTEGER NOT NULL,
    pressed_at_us INTEGER NOT NULL,
    line TEXT NOT NULL,
    committed_at_us INTEGER NOT NULL,
    raw BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX alarm_incident ON alarm (incident_id);
CREATE TABLE down_queue (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    pole TEXT NOT NULL,
    incident_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    payload BLOB NOT NULL,
    created_at_us INTEGER NOT NULL,
    published_at_us INTEGER
);
CREATE INDEX down_created ON down_queue (created_at_us);
CREATE INDEX down_waiting ON down_queue (id) WHERE published_at_us IS NULL;
CREATE TABLE fault_log (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    pole TEXT NOT NULL,
    source TEXT NOT NULL CHECK (source IN ('pole', 'center')),
    code TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail TEXT NOT NULL,
    since_us INTEGER NOT NULL,
    opened_at_us INTEGER NOT NULL,
    closed_at_us INTEGER
);
CREATE UNIQUE INDEX fault_open ON fault_log (pole, source, code, subject) WHERE closed_at_us IS NULL;
CREATE INDEX fault_time ON fault_log (opened_at_us);
CREATE TABLE object (
    segment TEXT PRIMARY KEY,
    pole TEXT NOT NULL,
    camera TEXT NOT NULL,
    start_us INTEGER NOT NULL,
    end_us INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    recipient TEXT NOT NULL,
    path TEXT NOT NULL,
    stored_at_us INTEGER NOT NULL,
    receipt TEXT NOT NULL,
    record BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX object_span ON object (pole, camera, start_us);
CREATE TABLE record (
    pole TEXT NOT NULL,
    idx INTEGER NOT NULL,
    kind TEXT NOT NULL,
    camera TEXT NOT NULL,
    segment TEXT NOT NULL,
    cause TEXT NOT NULL,
    start_us INTEGER,
    end_us INTEGER,
    raw BLOB NOT NULL,
    PRIMARY KEY (pole, idx)
) WITHOUT ROWID;
CREATE INDEX record_span ON record (pole, camera, start_us) WHERE start_us IS NOT NULL;
CREATE TABLE ledger (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    entry BLOB NOT NULL,
    prev_hash TEXT NOT NULL,
    hash TEXT NOT NULL
);
CREATE TRIGGER ledger_no_update BEFORE UPDATE ON ledger
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER ledger_no_delete BEFORE DELETE ON ledger
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER ledger_no_replace BEFORE INSERT ON ledger WHEN EXISTS (SELECT 1 FROM ledger WHERE id = NEW.id)
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TABLE event (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at_us INTEGER NOT NULL,
    kind TEXT NOT NULL,
    data TEXT NOT NULL
);
CREATE TABLE quarantine (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at_us INTEGER NOT NULL,
    pole TEXT NOT NULL,
    source TEXT NOT NULL,
    reason TEXT NOT NULL,
    payload BLOB NOT NULL
);
CREATE TABLE write_check (id INTEGER PRIMARY KEY CHECK (id = 1), at_us INTEGER NOT NULL);
"""

STEPS = (_FIRST,)
VERSION = len(STEPS)
