"""The step of the schema that brought signed commands. See `center.store.schema` for the rules."""

COMMANDS = """
CREATE TABLE command (
    jti TEXT PRIMARY KEY,
    pole TEXT NOT NULL,
    op TEXT NOT NULL,
    args TEXT NOT NULL,
    officer TEXT NOT NULL,
    role TEXT NOT NULL,
    kid TEXT NOT NULL,
    approver TEXT NOT NULL DEFAULT '',
    reason TEXT NOT NULL,
    nonce TEXT NOT NULL,
    iat_us INTEGER NOT NULL,
    exp_us INTEGER NOT NULL,
    payload_sha256 TEXT NOT NULL,
    state TEXT NOT NULL CHECK
        (state IN ('waiting', 'queued', 'begun', 'challenged', 'done', 'failed', 'refused', 'interrupted')),
    code TEXT NOT NULL DEFAULT '',
    detail TEXT NOT NULL DEFAULT '',
    created_at_us INTEGER NOT NULL,
    ended_at_us INTEGER,
    raw BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX command_digest ON command (payload_sha256);
CREATE INDEX command_created ON command (created_at_us);
CREATE TABLE command_reply (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    pole TEXT NOT NULL,
    payload_sha256 TEXT NOT NULL,
    status TEXT NOT NULL,
    code TEXT NOT NULL,
    received_at_us INTEGER NOT NULL,
    raw BLOB NOT NULL
);
CREATE INDEX reply_digest ON command_reply (payload_sha256);
CREATE TABLE command_audit (
    pole TEXT NOT NULL,
    audit_id TEXT NOT NULL,
    phase TEXT NOT NULL,
    code TEXT NOT NULL,
    op TEXT NOT NULL,
    officer TEXT NOT NULL,
    at_us INTEGER NOT NULL,
    payload_sha256 TEXT NOT NULL,
    committed_at_us INTEGER NOT NULL,
    raw BLOB NOT NULL,
    PRIMARY KEY (pole, audit_id)
) WITHOUT ROWID;
CREATE INDEX audit_committed ON command_audit (committed_at_us);
CREATE INDEX audit_digest ON command_audit (payload_sha256);
"""
