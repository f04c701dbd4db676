"""Inspections on disk until the center's receipt, in the outbox's database (R-INSPECT).

Rules: committed (fsync) before they are published; adding and receipting twice is as once; at most `WAITING` wait, the
oldest go first (a self-test a day is a year); receipted ones are kept `KEEP`, the last self-test always.
"""

import sqlite3

from agent.bell.outbox import Outbox
from agent.contract.errors import ContractError
from agent.contract.messages import AlarmReceipt, Inspection, decode, encode

WAITING = 400
KEEP = 60


class InspectionBook:
    """Used by the thread that owns the outbox."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    def add(self, inspection: Inspection) -> None:
        """Commit an inspection; on disk when it returns.

        Raises:
            OutboxError: it is not on disk.
        """
        with self._outbox.commit() as db:
            db.execute(
                "INSERT OR IGNORE INTO inspection (inspection_id, kind, payload) VALUES (?, ?, ?)",
                (inspection.inspection_id, inspection.kind, encode(inspection)),
            )
            _trim(db, True, WAITING)
            _trim(db, False, KEEP)

    def receipt(self, receipt: AlarmReceipt) -> None:
        """Commit the center's receipt (`alarm_id` is the inspection's); the first one counts.

        Raises:
            OutboxError: it is not on disk; the inspection is sent again, which the center tolerates.
        """
        with self._outbox.commit() as db:
            db.execute(
                "UPDATE inspection SET committed_at_us = ? WHERE inspection_id = ? AND committed_at_us IS NULL",
                (receipt.committed_at_us, receipt.alarm_id),
            )

    def waiting(self) -> list[Inspection]:
        """Return what has no receipt, oldest first.

        Raises:
            OutboxError: it cannot be read.
        """
        with self._outbox.commit() as db:
            rows = db.execute("SELECT payload FROM inspection WHERE committed_at_us IS NULL ORDER BY seq").fetchall()
        return [found for (payload,) in rows if (found := _readable(payload)) is not None]

    def last_self_test(self) -> Inspection | None:
        """Return the newest self-test, or None.

        Raises:
            OutboxError: it cannot be read.
        """
        with self._outbox.commit() as db:
            row = db.execute("SELECT payload FROM inspection WHERE kind = 'self-test' ORDER BY seq DESC").fetchone()
        return None if row is None else _readable(row[0])


def _trim(db: sqlite3.Connection, waiting: bool, keep: int) -> None:
    db.execute(
        "DELETE FROM inspection WHERE (committed_at_us IS NULL) = ?1 AND seq NOT IN"
        " (SELECT seq FROM inspection WHERE (committed_at_us IS NULL) = ?1 ORDER BY seq DESC LIMIT ?2)",
        (waiting, keep),
    )


def _readable(payload: bytes) -> Inspection | None:
    try:
        return decode(payload, Inspection)
    except ContractError:
        return None
