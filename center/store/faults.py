"""The fault log: what broke, since when, mended when. The monthly inspection prints it (R-INSPECT).

Rules:
* a fault is (pole, source, code, subject); it stands once at a time and its row closes, never disappears;
* `source` tells who says it: the `pole` in its heartbeat, or the `center` about the pole;
* a heartbeat is the whole truth of its pole: what it no longer names is mended at that instant;
* `since_us` is the pole's clock, `opened_at_us` and `closed_at_us` are the center's.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from agent.contract.messages import Fault
from center.store.database import Database
from center.store.events import Events

Source = Literal["pole", "center"]


@dataclass(frozen=True)
class FaultRow:
    """One fault of one pole; `closed_at_us` is None while it stands."""

    id: int
    pole: str
    source: Source
    code: str
    subject: str
    detail: str
    since_us: int
    opened_at_us: int
    closed_at_us: int | None


class Faults:
    """The fault log."""

    def __init__(self, database: Database, events: Events, now_us: Callable[[], int]) -> None:
        self._database = database
        self._events = events
        self._now_us = now_us

    def standing(self, pole: str | None = None) -> Sequence[FaultRow]:
        """Return the faults that stand now, oldest first."""
        rows = self._database.rows(
            "SELECT * FROM fault_log WHERE closed_at_us IS NULL AND (?1 IS NULL OR pole = ?1)"
            " ORDER BY opened_at_us, id",
            (pole,),
        )
        return [FaultRow(**dict(row)) for row in rows]

    def between(self, from_us: int, to_us: int, pole: str | None = None) -> Sequence[FaultRow]:
        """Return every fault that stood at some time in [from_us, to_us), oldest first."""
        rows = self._database.rows(
            "SELECT * FROM fault_log WHERE opened_at_us < ?2 AND (closed_at_us IS NULL OR closed_at_us >= ?1)"
            " AND (?3 IS NULL OR pole = ?3) ORDER BY opened_at_us, id",
            (from_us, to_us, pole),
        )
        return [FaultRow(**dict(row)) for row in rows]

    def note(self, pole: str, named: Sequence[Fault], source: Source = "pole") -> None:
        """Open what `named` says and was not standing, close what it no longer says."""
        with self._database.transaction():
            standing = {(row.code, row.subject): row for row in self.standing(pole) if row.source == source}
            for fault in named:
                known = standing.pop((fault.code, fault.subject), None)
                if known is None:
                    self.open(pole, fault, source)
                elif known.detail != fault.detail:
                    self._database.write("UPDATE fault_log SET detail = ? WHERE id = ?", (fault.detail, known.id))
            for gone in standing.values():
                self.close(pole, gone.code, gone.subject, source)

    def open(self, pole: str, fault: Fault, source: Source) -> bool:
        """Open one fault; return False when it stands already."""
        with self._database.transaction():
            cursor = self._database.write(
                "INSERT OR IGNORE INTO fault_log (pole, source, code, subject, detail, since_us, opened_at_us)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (pole, source, fault.code, fault.subject, fault.detail, fault.since_us, self._now_us()),
            )
            if cursor.rowcount:
                self._events.append("fault-opened", {"pole": pole, "code": fault.code, "subject": fault.subject})
        return bool(cursor.rowcount)

    def close(self, pole: str, code: str, subject: str, source: Source) -> bool:
        """Close one fault; return False when it does not stand."""
        with self._database.transaction():
            cursor = self._database.write(
                "UPDATE fault_log SET closed_at_us = ? WHERE pole = ? AND source = ? AND code = ? AND subject = ?"
                " AND closed_at_us IS NULL",
                (self._now_us(), pole, source, code, subject),
            )
            if cursor.rowcount:
                self._events.append("fault-closed", {"pole": pole, "code": code, "subject": subject})
        return bool(cursor.rowcount)
