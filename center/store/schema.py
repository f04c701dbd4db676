"""The schema of `center.sqlite` and how an older one becomes this one.

Rules:
* `application_id` says that the file is ours, `user_version` its schema; a newer schema is refused, not guessed;
* each step of `STEPS` runs once, in one transaction with the new version; foreign keys are off meanwhile, because a
  table whose CHECK changes is built anew (sqlite.org/lang_altertable.html, section 7), and checked before the commit;
* times are UTC microseconds; `raw` keeps the sender's bytes, so that a field we do not know is not lost;
* ledger rows can be neither changed nor removed (triggers), and each holds the hash of the one before.
"""

from center.store.schema_commands import COMMANDS
from center.store.schema_logs import LOGS

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

# The bell that proves itself: five states, an owner, calls, escalation, tests apart, inspections, work orders.
_SECOND = """
CREATE TABLE incident_2 (
    incident_id TEXT PRIMARY KEY,
    pole TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'seen', 'answered', 'dispatched', 'closed')),
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
    reason TEXT NOT NULL DEFAULT '',
    mode TEXT NOT NULL DEFAULT 'normal' CHECK (mode IN ('normal', 'maintenance')),
    previous_incident_id TEXT NOT NULL DEFAULT '',
    calls INTEGER NOT NULL DEFAULT 1,
    called_at_us INTEGER NOT NULL,
    changed_at_us INTEGER NOT NULL,
    seen_at_us INTEGER,
    seen_by TEXT NOT NULL DEFAULT '',
    owner TEXT NOT NULL DEFAULT '',
    owned_since_us INTEGER,
    dispatched_at_us INTEGER,
    dispatched_by TEXT NOT NULL DEFAULT '',
    dispatched_who TEXT NOT NULL DEFAULT ''
);
INSERT INTO incident_2 (incident_id, pole, state, presses, line, simulated, first_pressed_at_us, last_pressed_at_us,
    opened_at_us, answered_at_us, answered_by, closed_at_us, closed_by, reason, called_at_us, changed_at_us,
    seen_at_us, seen_by, owner, owned_since_us)
    SELECT incident_id, pole, state, presses, line, simulated, first_pressed_at_us, last_pressed_at_us,
    opened_at_us, a, iif(a IS NULL, '', answered_by), c, iif(c IS NULL, '', closed_by), iif(c IS NULL, '', reason),
    opened_at_us, max(opened_at_us, coalesce(a, 0), coalesce(c, 0), t), a, iif(a IS NULL, '', answered_by),
    iif(a IS NULL, '', answered_by), a
    FROM (SELECT *, iif(state = 'open', NULL, answered_at_us) AS a, iif(state = 'closed', closed_at_us, NULL) AS c,
        (SELECT coalesce(max(committed_at_us), 0) FROM alarm WHERE alarm.incident_id = incident.incident_id) AS t
        FROM incident);
DROP TABLE incident;
ALTER TABLE incident_2 RENAME TO incident;
CREATE INDEX incident_open ON incident (opened_at_us) WHERE state != 'closed';
CREATE INDEX incident_opened ON incident (opened_at_us);
ALTER TABLE alarm ADD COLUMN mode TEXT NOT NULL DEFAULT 'normal';
ALTER TABLE down_queue ADD COLUMN call INTEGER NOT NULL DEFAULT 1;
CREATE TABLE incident_act (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    incident_id TEXT NOT NULL REFERENCES incident,
    call INTEGER NOT NULL,
    act TEXT NOT NULL CHECK (act IN ('opened', 'pressed', 'seen', 'answered', 'taken-over', 'dispatched', 'closed')),
    at_us INTEGER NOT NULL,
    by TEXT NOT NULL DEFAULT '',
    detail TEXT NOT NULL DEFAULT ''
);
CREATE INDEX act_incident ON incident_act (incident_id, call, act);
CREATE INDEX act_opened ON incident_act (at_us) WHERE act = 'opened';
INSERT INTO incident_act (incident_id, call, act, at_us) SELECT incident_id, 1, 'opened', opened_at_us FROM incident;
INSERT INTO incident_act (incident_id, call, act, at_us, by)
    SELECT incident_id, 1, 'answered', answered_at_us, answered_by FROM incident WHERE answered_at_us IS NOT NULL;
INSERT INTO incident_act (incident_id, call, act, at_us, by, detail)
    SELECT incident_id, 1, 'closed', closed_at_us, closed_by, reason FROM incident WHERE closed_at_us IS NOT NULL;
CREATE TABLE test_press (
    alarm_id TEXT PRIMARY KEY,
    incident_id TEXT NOT NULL,
    pole TEXT NOT NULL,
    press_number INTEGER NOT NULL,
    pressed_at_us INTEGER NOT NULL,
    line TEXT NOT NULL,
    committed_at_us INTEGER NOT NULL,
    raw BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX test_press_time ON test_press (committed_at_us);
CREATE TABLE escalation (
    incident_id TEXT NOT NULL REFERENCES incident,
    call INTEGER NOT NULL,
    step TEXT NOT NULL CHECK (step IN ('second', 'wall', 'hook')),
    due_at_us INTEGER NOT NULL,
    raised_at_us INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    result TEXT NOT NULL DEFAULT '',
    finished_at_us INTEGER,
    PRIMARY KEY (incident_id, call, step)
) WITHOUT ROWID;
CREATE INDEX escalation_unfinished ON escalation (attempts, raised_at_us) WHERE finished_at_us IS NULL;
CREATE TABLE inspection (
    inspection_id TEXT PRIMARY KEY,
    pole TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('self-test', 'press-test')),
    at_us INTEGER NOT NULL,
    started_at_us INTEGER NOT NULL,
    finished_at_us INTEGER NOT NULL,
    committed_at_us INTEGER NOT NULL,
    passed INTEGER NOT NULL,
    work_order TEXT NOT NULL,
    officer TEXT NOT NULL,
    raw BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX inspection_time ON inspection (at_us);
CREATE INDEX inspection_pole ON inspection (pole, at_us);
CREATE INDEX inspection_order ON inspection (work_order) WHERE work_order != '';
CREATE TABLE inspection_point (
    inspection_id TEXT NOT NULL REFERENCES inspection,
    idx INTEGER NOT NULL,
    name TEXT NOT NULL,
    result TEXT NOT NULL CHECK (result IN ('pass', 'fail', 'not-fitted')),
    value TEXT NOT NULL,
    detail TEXT NOT NULL,
    PRIMARY KEY (inspection_id, idx)
) WITHOUT ROWID;
CREATE TABLE work_order (
    work_order TEXT PRIMARY KEY,
    pole TEXT NOT NULL,
    month TEXT NOT NULL,
    created_at_us INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    failed_at_us INTEGER,
    done_at_us INTEGER,
    inspection_id TEXT NOT NULL DEFAULT '',
    UNIQUE (pole, month)
) WITHOUT ROWID;
CREATE INDEX work_order_month ON work_order (month);
"""

STEPS = (_FIRST, _SECOND, COMMANDS, LOGS)
VERSION = len(STEPS)
