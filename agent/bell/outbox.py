"""The bell's durable memory: an alarm stays here until the center's receipt (DESIGN decision 8).

Rules:
* order: commit (fsync), then publish; the receipt is committed before the alarm counts as delivered;
* durable and self-mending as `agent.durable_database` says; used by the one thread that owns the alarm machine;
* adding, receipting and updating are idempotent: the same call twice changes nothing more;
* an unreceipted alarm is never removed; receipted ones are kept `KEEP_DAYS` and at most `KEEP_ROWS` of them;
* after damage the caller puts back what it still knows;
* checkpoints of the WAL happen in `tend`, when nobody waits, never inside the commit of a press.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from agent.bell.alarm import AlarmState, Waiting
from agent.clock import Clock
from agent.contract.errors import ContractError, PoleAgentError
from agent.contract.messages import Alarm, AlarmReceipt, AlarmUpdate, decode, encode
from agent.durable_database import DurableDatabase, Schema
from agent.status_file import OpenIncident

APPLICATION_ID = 0x62656C6C  # "bell"
SCHEMA_VERSION = 2
KEEP_DAYS = 30
KEEP_ROWS = 10_000
WINDOWS = 50
STATES = "open seen answered dispatched closed"  # of an incident, in their order

_SCHEMA = """
CREATE TABLE IF NOT EXISTS alarm (
    seq INTEGER PRIMARY KEY,
    alarm_id TEXT NOT NULL UNIQUE,
    incident_id TEXT NOT NULL,
    press_number INTEGER NOT NULL,
    pressed_at_us INTEGER NOT NULL,
    payload BLOB NOT NULL,
    committed_at_us INTEGER
) STRICT;
CREATE INDEX IF NOT EXISTS alarm_waiting ON alarm (seq) WHERE committed_at_us IS NULL;
CREATE TABLE IF NOT EXISTS incident (
    incident_id TEXT PRIMARY KEY,
    state TEXT NOT NULL,
    at_us INTEGER NOT NULL,
    by_whom TEXT NOT NULL,
    reason TEXT NOT NULL
) STRICT;
CREATE TRIGGER IF NOT EXISTS alarm_opens_incident AFTER INSERT ON alarm BEGIN
    INSERT OR IGNORE INTO incident VALUES (NEW.incident_id, 'open', NEW.pressed_at_us, '', '');
END;
CREATE TABLE IF NOT EXISTS inspection (
    seq INTEGER PRIMARY KEY,
    inspection_id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    payload BLOB NOT NULL,
    committed_at_us INTEGER
) STRICT;
CREATE TABLE IF NOT EXISTS mode (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    mode TEXT NOT NULL,
    left_s REAL NOT NULL,
    saved_at_us INTEGER NOT NULL,
    until_mono_s REAL NOT NULL,
    boot_id TEXT NOT NULL,
    by_whom TEXT NOT NULL,
    reason TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS write_check (id INTEGER PRIMARY KEY CHECK (id = 1), at_us INTEGER NOT NULL) STRICT;
"""

_ADD = (
    "INSERT OR IGNORE INTO alarm (alarm_id, incident_id, press_number, pressed_at_us, payload) VALUES (?, ?, ?, ?, ?)"
)
_NEWEST_RECEIPT = "SELECT coalesce(max(committed_at_us), 0) FROM alarm WHERE incident_id = ?"
_RECEIPT = "UPDATE alarm SET committed_at_us = ? WHERE alarm_id = ? AND committed_at_us IS NULL"


class OutboxError(PoleAgentError, OSError):
    """The outbox cannot be read or written; alarms go out all the same, from memory."""

    fault: ClassVar[str] = "outbox-unwritable"


class Outbox(DurableDatabase):
    """Alarms and incidents of this pole. Use it from one thread; opened at the first call."""

    def __init__(self, path: Path, clock: Clock) -> None:
        schema = Schema(_SCHEMA, APPLICATION_ID, SCHEMA_VERSION, autocheckpoint=False)
        super().__init__(path, clock, schema, OutboxError)

    def add(self, alarm: Alarm) -> None:
        """Commit an alarm (and with it that its incident is open); on disk when it returns.

        Raises:
            OutboxError: it is not on disk.
        """
        row = (alarm.alarm_id, alarm.incident_id, alarm.press_number, alarm.pressed_at_us, encode(alarm))
        with self.using() as db:
            db.execute(_ADD, row)  # one statement is one transaction: three calls less, each of which gives up the GIL

    def receipt(self, receipt: AlarmReceipt) -> None:
        """Commit the center's receipt; the first one counts.

        Raises:
            OutboxError: it is not on disk; the alarm will be sent again after a restart, which the center tolerates.
        """
        with self.using() as db:
            db.execute(_RECEIPT, (receipt.committed_at_us, receipt.alarm_id))

    def update(self, update: AlarmUpdate) -> None:
        """Commit what an operator did; it only leads forward, and a closed incident stays closed.

        Raises:
            OutboxError: it is not on disk.
        """
        with self.commit() as db:
            db.execute(
                "UPDATE incident SET state = ?, at_us = ?, by_whom = ?, reason = ?"
                " WHERE incident_id = ? AND instr(?, state) < instr(?, ?)",
                (
                    *(update.state, update.at_us, update.by, update.reason, update.incident_id),
                    *(STATES, STATES, update.state),
                ),
            )

    def reopen(self, incident_id: str) -> None:
        """Commit that nobody has answered the incident's present call; a closed incident stays closed.

        Raises:
            OutboxError: it is not on disk.
        """
        with self.using() as db:
            db.execute("UPDATE incident SET state = 'open' WHERE incident_id = ? AND state <> 'closed'", (incident_id,))

    def load(self, pole: str, now_mono_s: float) -> AlarmState:
        """Return the alarm machine as it was: what is unreceipted waits, the newest incident goes on unless closed.

        Raises:
            OutboxError: it cannot be read.
        """
        with self.commit() as db:
            rows = db.execute("SELECT payload FROM alarm WHERE committed_at_us IS NULL ORDER BY seq").fetchall()
            last = db.execute(
                "SELECT a.incident_id, a.press_number, i.state, a.payload FROM alarm a"
                " JOIN incident i USING (incident_id) ORDER BY a.seq DESC LIMIT 1"
            ).fetchone()
            newest_us = db.execute(_NEWEST_RECEIPT, (last[0] if last else "",)).fetchone()[0]
        waiting = tuple(Waiting(alarm, now_mono_s, now_mono_s) for alarm in _readable(rows))
        state = AlarmState(pole, waiting=waiting)
        if last is None:
            return state
        incident_id, press_number, word, payload = last
        if word == "closed":
            return replace(state, previous_incident_id=incident_id)
        before = "".join(alarm.previous_incident_id for alarm in _readable([(payload,)]))
        return replace(
            state,
            incident_id=incident_id,
            press_number=press_number,
            word=word,
            receipted_at_us=newest_us,
            previous_incident_id=before,
        )

    def windows(self, since_us: int) -> list[OpenIncident]:
        """Return the presses whose footage goes first: unreceipted, not closed, or later than `since_us`; newest first.

        Raises:
            OutboxError: it cannot be read.
        """
        with self.commit() as db:
            rows = db.execute(
                "SELECT a.incident_id, a.pressed_at_us FROM alarm a JOIN incident i USING (incident_id)"
                " WHERE a.committed_at_us IS NULL OR i.state <> 'closed' OR a.pressed_at_us >= ?"
                " ORDER BY a.seq DESC LIMIT ?",
                (since_us, WINDOWS),
            ).fetchall()
        return [OpenIncident(incident_id=incident_id, pressed_at_us=at_us) for incident_id, at_us in rows]

    def write_check(self) -> None:
        """Commit one row and read it back.

        Raises:
            OutboxError: an alarm would not be on disk now.
        """
        at_us = self._clock.utc_us()
        with self.commit() as db:
            db.execute("INSERT OR REPLACE INTO write_check VALUES (1, ?)", (at_us,))
            found = db.execute("SELECT at_us FROM write_check").fetchone()
        if found != (at_us,):
            raise OutboxError(f"outbox {self._path} does not keep what is written; replace the disk")

    def tend(self) -> None:
        """Remove old receipted rows and move the WAL into the database; call it when nobody waits.

        Raises:
            OutboxError: it could not.
        """
        before_us = self._clock.utc_us() - KEEP_DAYS * 86_400_000_000
        with self.commit() as db:
            newest = db.execute("SELECT coalesce(max(seq), 0) FROM alarm").fetchone()[0]
            db.execute(
                "DELETE FROM alarm WHERE committed_at_us IS NOT NULL AND (pressed_at_us < ? OR seq <= ?)"
                " AND incident_id NOT IN (SELECT incident_id FROM incident WHERE state <> 'closed')",
                (before_us, newest - KEEP_ROWS),
            )
            db.execute("DELETE FROM incident WHERE incident_id NOT IN (SELECT incident_id FROM alarm)")
        with self.using() as db:
            db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()


def _readable(rows: list[tuple[bytes]]) -> Iterator[Alarm]:
    for (payload,) in rows:
        with contextlib.suppress(ContractError):
            yield decode(payload, Alarm)
