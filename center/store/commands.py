"""Signed commands: what was issued, what the poles answered, and the poles' own books of them (R-ACCESS).

Rules:
* a command is queued for its pole in the commit that stores it; one that needs two officers waits for the second;
* it is never sent a second time: a broker that forgets it costs the officer a new command, not the pole a replay;
* an audit row is one per (pole, audit id) for ever; the same again gives the same receipt; `raw` is what came;
* the first end counts: done, failed, refused or interrupted is never overwritten by a later word (a replay's refusal);
* a mad pole cannot fill the disk: the newest `REFUSED_KEPT` refusals of each pole and the newest `REPLIES_KEPT` replies
  are held; what a pole did is held for ever;
* rows are matched by the digest of the signed bytes, so that a refusal of forged bytes never touches a command of ours.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from sqlite3 import Row
from typing import Any, Literal

from agent.contract.canonical_json import sha256_hex
from agent.contract.command import Command
from agent.contract.messages import CommandAudit, CommandReply, decode
from center.errors import ConflictError
from center.store.database import Database
from center.store.events import Events

REFUSED_KEPT = 10_000
REPLIES_KEPT = 100_000
State = Literal["waiting", "queued", "begun", "challenged", "done", "failed", "refused", "interrupted"]
ENDED: frozenset[State] = frozenset(("challenged", "done", "failed", "refused", "interrupted"))
_STATE_OF: dict[str, State] = {"done": "done", "failed": "failed", "refused": "refused", "challenge": "challenged"}


@dataclass(frozen=True)
class CommandRow:
    """One command as it stands. `state` waiting means: for a second officer."""

    jti: str
    pole: str
    op: str
    args: dict[str, Any]
    officer: str
    role: str
    kid: str
    approver: str
    reason: str
    nonce: str
    iat_us: int
    exp_us: int
    payload_sha256: str
    state: State
    code: str
    detail: str
    created_at_us: int
    ended_at_us: int | None
    raw: bytes

    @property
    def ended(self) -> bool:
        """Whether nothing more will come of it."""
        return self.state in ENDED


@dataclass(frozen=True)
class AuditRow:
    """One row of a pole's book, and when the center had it."""

    audit: CommandAudit
    committed_at_us: int


class Commands:
    """The command tables."""

    def __init__(self, database: Database, events: Events, now_us: Callable[[], int]) -> None:
        self._database = database
        self._events = events
        self._now_us = now_us

    def issue(self, command: Command, raw: bytes, *, wait: bool) -> CommandRow:
        """Store a signed command; queue it for its pole unless it must `wait` for a second officer.

        Raises:
            ConflictError: its jti is known.
            StoreError: not stored, and so not sent.
        """
        with self._database.transaction():
            if self._row(command.jti) is not None:
                raise ConflictError(f"command {command.jti} was issued already; sign a new one")
            row = CommandRow(
                **{name: getattr(command, name) for name in ("jti", "op", "args", "role", "reason", "nonce")},
                **{name: getattr(command, name) for name in ("iat_us", "exp_us")},
                pole=command.aud,
                officer=command.sub,
                kid=command.iss,
                approver="",
                payload_sha256=sha256_hex(raw),
                state="waiting" if wait else "queued",
                code="",
                detail="",
                created_at_us=self._now_us(),
                ended_at_us=None,
                raw=raw,
            )
            self._insert(row)
            if not wait:
                self._queue(row.pole, "command", row.jti, raw)
            self._tell(row)
        return row

    def approve(self, jti: str, raw: bytes, approver: str) -> CommandRow:
        """Take the bytes that the second officer signed too, and queue them.

        Raises:
            ConflictError: no such command waits, it has expired, or it is the issuer's own signature.
        """
        with self._database.transaction():
            row = self.get(jti)
            if row.state != "waiting":
                raise ConflictError(f"command {jti} does not wait for a second officer: it is {row.state}")
            if approver == row.officer:
                raise ConflictError(f"{approver} issued it; another officer must approve")
            if self._now_us() >= row.exp_us:
                raise ConflictError(f"command {jti} has expired; issue a new one")
            self._database.write(
                "UPDATE command SET state = 'queued', approver = ?, raw = ?, payload_sha256 = ? WHERE jti = ?",
                (approver, raw, sha256_hex(raw), jti),
            )
            self._queue(row.pole, "command", jti, raw)
            row = self.get(jti)
            self._tell(row)
        return row

    def send_keys(self, pole: str, note: bytes) -> None:
        """Queue a set of command keys for a pole."""
        with self._database.transaction():
            self._queue(pole, "command-keys", f"command-keys-{sha256_hex(note)[:16]}", note)

    def reply(self, reply: CommandReply, raw: bytes) -> None:
        """Store what a pole said about a command."""
        with self._database.transaction():
            cursor = self._database.write(
                "INSERT INTO command_reply (pole, payload_sha256, status, code, received_at_us, raw)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (reply.pole, reply.payload_sha256, reply.status, reply.code, self._now_us(), raw),
            )
            self._database.write(
                "DELETE FROM command_reply WHERE id <= ?", (int(cursor.lastrowid or 0) - REPLIES_KEPT,)
            )
            self._move(reply.pole, reply.payload_sha256, _STATE_OF[reply.status], reply.code, reply.detail)

    def audit(self, audit: CommandAudit, raw: bytes) -> int:
        """Store a row of a pole's book durably; return since when it is held (the receipt's time)."""
        with self._database.transaction():
            known = self._database.row(
                "SELECT committed_at_us FROM command_audit WHERE pole = ? AND audit_id = ?",
                (audit.pole, audit.audit_id),
            )
            if known is not None:
                return int(known[0])
            now_us = self._now_us()
            told = (audit.phase, audit.code, audit.op, audit.officer, audit.at_us, audit.payload_sha256)
            self._database.write(
                "INSERT INTO command_audit VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (audit.pole, audit.audit_id, *told, now_us, raw),
            )
            if audit.phase in ("refused", "challenged"):
                self._trim(audit.pole)
            self._advance(audit)
            shown = ("pole", "audit_id", "phase", "code", "op", "officer", "detail", "jti")
            self._events.append("command-audit", {name: getattr(audit, name) for name in shown})
        return now_us

    def get(self, jti: str) -> CommandRow:
        """Return one command.

        Raises:
            ConflictError: there is none.
        """
        row = self._row(jti)
        if row is None:
            raise ConflictError(f"there is no command {jti}")
        return row

    def newest(self, limit: int = 100) -> Sequence[CommandRow]:
        """Return the newest commands first."""
        rows = self._database.rows("SELECT * FROM command ORDER BY created_at_us DESC, jti LIMIT ?", (limit,))
        return [_command(row) for row in rows]

    def replies(self, jti: str) -> Sequence[CommandReply]:
        """Return what the pole said about a command, oldest first."""
        rows = self._database.rows(
            "SELECT r.raw FROM command_reply r JOIN command c ON c.payload_sha256 = r.payload_sha256"
            " AND c.pole = r.pole WHERE c.jti = ? ORDER BY r.id",
            (jti,),
        )
        return [decode(row["raw"], CommandReply) for row in rows]

    def audits(self, pole: str | None = None, limit: int = 100) -> Sequence[AuditRow]:
        """Return the newest rows of one pole's book, or of all, newest first."""
        rows = self._database.rows(
            "SELECT raw, committed_at_us FROM command_audit WHERE ?1 IS NULL OR pole = ?1"
            " ORDER BY committed_at_us DESC, at_us DESC LIMIT ?2",
            (pole, limit),
        )
        return [AuditRow(decode(row["raw"], CommandAudit), row["committed_at_us"]) for row in rows]

    def refusal_counts(self, since_us: int) -> dict[str, int]:
        """Return how many refusals of each code the poles reported since `since_us`."""
        rows = self._database.rows(
            "SELECT code, count(*) AS n FROM command_audit WHERE phase = 'refused' AND committed_at_us >= ?"
            " GROUP BY code",
            (since_us,),
        )
        return {row["code"]: row["n"] for row in rows}

    def _trim(self, pole: str) -> None:
        self._database.write(
            "DELETE FROM command_audit WHERE pole = ?1 AND audit_id IN (SELECT audit_id FROM command_audit"
            " WHERE pole = ?1 AND phase IN ('refused', 'challenged') ORDER BY committed_at_us DESC LIMIT -1 OFFSET ?2)",
            (pole, REFUSED_KEPT),
        )

    def _advance(self, audit: CommandAudit) -> None:
        """Let a row of the book move the command it is about, in case the reply was lost."""
        if audit.phase == "before":
            self._move(audit.pole, audit.payload_sha256, "begun", "", "")
        elif audit.phase == "after" and audit.code == "interrupted":
            self._move(audit.pole, audit.payload_sha256, "interrupted", audit.code, audit.detail)
        elif audit.phase == "after":
            self._move(audit.pole, audit.payload_sha256, _STATE_OF.get(audit.code, "failed"), "", audit.detail)
        elif audit.phase == "refused":
            self._move(audit.pole, audit.payload_sha256, "refused", audit.code, audit.detail)

    def _move(self, pole: str, digest: str, state: State, code: str, detail: str) -> None:
        found = self._database.row(
            "SELECT * FROM command WHERE payload_sha256 = ? AND pole = ? AND state IN ('queued', 'begun')",
            (digest, pole),
        )
        if found is None:
            return
        self._database.write(
            "UPDATE command SET state = ?, code = ?, detail = ?, ended_at_us = ? WHERE jti = ?",
            (state, code, detail, self._now_us() if state in ENDED else None, found["jti"]),
        )
        self._tell(self.get(found["jti"]))

    def _queue(self, pole: str, kind: str, key: str, payload: bytes) -> None:
        self._database.write(
            "INSERT INTO down_queue (pole, incident_id, kind, payload, created_at_us) VALUES (?, ?, ?, ?, ?)",
            (pole, key, kind, payload, self._now_us()),
        )

    def _insert(self, row: CommandRow) -> None:
        values = {name: getattr(row, name) for name in CommandRow.__dataclass_fields__}
        values["args"] = json.dumps(row.args, ensure_ascii=False, sort_keys=True)
        names, places = ", ".join(values), ", ".join("?" * len(values))
        self._database.write(f"INSERT INTO command ({names}) VALUES ({places})", list(values.values()))  # noqa: S608

    def _tell(self, row: CommandRow) -> None:
        shown = ("pole", "jti", "op", "officer", "approver", "state", "code", "detail")
        self._events.append("command", {name: getattr(row, name) for name in shown})

    def _row(self, jti: str) -> CommandRow | None:
        row = self._database.row("SELECT * FROM command WHERE jti = ?", (jti,))
        return _command(row) if row else None


def _command(row: Row) -> CommandRow:
    return CommandRow(**{**dict(row), "args": json.loads(row["args"])})
