"""Messages and records that cannot be read: kept as they came, shown, never allowed to stop the reader.

Rule: the newest `KEEP` are held, so that a mad pole cannot fill the disk; each payload is cut at `MAX_BYTES`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from center.store.database import Database
from center.store.events import Events

KEEP = 10_000
MAX_BYTES = 65_536


@dataclass(frozen=True)
class QuarantineRow:
    """One damaged message: where it came from (`source`, a topic or path), what is wrong, its bytes."""

    id: int
    at_us: int
    pole: str
    source: str
    reason: str
    payload: bytes


class Quarantine:
    """The quarantine table."""

    def __init__(self, database: Database, events: Events, now_us: Callable[[], int]) -> None:
        self._database = database
        self._events = events
        self._now_us = now_us

    def add(self, pole: str, source: str, reason: str, payload: bytes) -> None:
        """Keep a damaged message and tell the console.

        Raises:
            StoreError: it could not be written.
        """
        with self._database.transaction():
            cursor = self._database.write(
                "INSERT INTO quarantine (at_us, pole, source, reason, payload) VALUES (?, ?, ?, ?, ?)",
                (self._now_us(), pole, source, reason, payload[:MAX_BYTES]),
            )
            self._database.write("DELETE FROM quarantine WHERE id <= ?", (int(cursor.lastrowid or 0) - KEEP,))
            self._events.append("quarantine", {"pole": pole, "source": source, "reason": reason})

    def newest(self, limit: int = 100) -> Sequence[QuarantineRow]:
        """Return the newest damaged messages first."""
        rows = self._database.rows("SELECT * FROM quarantine ORDER BY id DESC LIMIT ?", (limit,))
        return [QuarantineRow(**dict(row)) for row in rows]
