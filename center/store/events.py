"""What happened, in order: feeds the console's live pages (SSE).

Rules: ids only rise; the last `KEEP` are kept; a reader who is further behind reads the page anew. Events of the kind
`security` do not leave with them, for a city's footage alone would push them out within a minute: the last `KEEP` of
their own are kept.
Kinds: `alarm`, `incident`, `escalation`, `hook`, `test-press`, `inspection`, `work-order`, `pole`, `fault-opened`,
`fault-closed`, `object`, `ledger`, `quarantine`, `center`, `command`, `command-audit`, `security`.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from center.store.database import Database

KEEP = 100_000
_TRIM_EVERY = 1_000


@dataclass(frozen=True)
class EventRow:
    """One event: its rising id, UTC microseconds, its kind and what it says."""

    id: int
    at_us: int
    kind: str
    data: dict[str, Any]


class Events:
    """The event table."""

    def __init__(self, database: Database, now_us: Callable[[], int]) -> None:
        self._database = database
        self._now_us = now_us

    def append(self, kind: str, data: dict[str, Any], at_us: int | None = None) -> int:
        """Add one event, in the caller's transaction if there is one; return its id. Its time is now unless given."""
        with self._database.transaction():
            cursor = self._database.write(
                "INSERT INTO event (at_us, kind, data) VALUES (?, ?, ?)",
                (self._now_us() if at_us is None else at_us, kind, json.dumps(data, ensure_ascii=False)),
            )
            number = int(cursor.lastrowid or 0)
            if number % _TRIM_EVERY == 0:
                self._trim(number - KEEP)
        return number

    def _trim(self, last: int) -> None:
        self._database.write("DELETE FROM event WHERE id <= ? AND kind != 'security'", (last,))
        self._database.write(
            "DELETE FROM event WHERE kind = 'security' AND id <= "
            "(SELECT id FROM event WHERE kind = 'security' ORDER BY id DESC LIMIT 1 OFFSET ?)",
            (KEEP,),
        )

    def after(self, event_id: int, limit: int = 500) -> Sequence[EventRow]:
        """Return at most `limit` events after `event_id`, oldest first."""
        rows = self._database.rows("SELECT * FROM event WHERE id > ? ORDER BY id LIMIT ?", (event_id, limit))
        return [EventRow(row["id"], row["at_us"], row["kind"], json.loads(row["data"])) for row in rows]

    def of_kind(self, kind: str, limit: int = 100) -> Sequence[EventRow]:
        """Return the newest events of one kind that are still kept, newest first."""
        rows = self._database.rows("SELECT * FROM event WHERE kind = ? ORDER BY id DESC LIMIT ?", (kind, limit))
        return [EventRow(row["id"], row["at_us"], row["kind"], json.loads(row["data"])) for row in rows]

    def newest(self) -> int:
        """Return the newest id, 0 when there is none."""
        row = self._database.row("SELECT max(id) FROM event")
        return int(row[0] or 0) if row else 0
