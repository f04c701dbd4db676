"""The sealed segments that the center durably holds, each with the receipt that it gave.

Rule: a segment has one digest for ever; the same one again changes nothing, another is refused.
"""

import builtins
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from sqlite3 import Row

from center.errors import ConflictError
from center.store.database import Database
from center.store.events import Events


@dataclass(frozen=True)
class StoredObject:
    """One sealed segment. `path` counts from the objects folder, `receipt` is the signed note, `record` the pole's."""

    segment: str
    pole: str
    camera: str
    start_us: int
    end_us: int
    bytes: int
    sha256: str
    recipient: str
    path: str
    stored_at_us: int
    receipt: str
    record: builtins.bytes


class Objects:
    """The object table."""

    def __init__(self, database: Database, events: Events, now_us: Callable[[], int]) -> None:
        self._database = database
        self._events = events
        self._now_us = now_us

    def add(self, stored: StoredObject) -> StoredObject:
        """Note a segment whose bytes are on disk already; return what is stored, so the first receipt stays.

        Raises:
            ConflictError: the segment is stored with another digest or from another pole.
        """
        with self._database.transaction():
            known = self.get(stored.segment)
            if known is not None:
                if (known.sha256, known.pole) != (stored.sha256, stored.pole):
                    raise ConflictError(f"segment {stored.segment} is stored already with another digest")
                return known
            marks = ", ".join("?" * len(_COLUMNS))
            self._database.write(
                f"INSERT INTO object ({', '.join(_COLUMNS)}) VALUES ({marks})",  # noqa: S608
                [getattr(stored, name) for name in _COLUMNS],
            )
            told = {"pole": stored.pole, "camera": stored.camera, "segment": stored.segment}
            self._events.append("object", {**told, "bytes": stored.bytes})
        return stored

    def get(self, segment: str) -> StoredObject | None:
        """Return one segment, or None."""
        row = self._database.row("SELECT * FROM object WHERE segment = ?", (segment,))
        return _object(row) if row else None

    def by_pole(self, pole: str, camera: str, from_us: int, to_us: int) -> Sequence[StoredObject]:
        """Return the segments of a camera that overlap [from_us, to_us), oldest first."""
        rows = self._database.rows(
            "SELECT * FROM object WHERE pole = ? AND camera = ? AND start_us < ? AND end_us > ? ORDER BY start_us",
            (pole, camera, to_us, from_us),
        )
        return [_object(row) for row in rows]

    def totals(self) -> tuple[int, int]:
        """Return how many segments and bytes are stored."""
        row = self._database.row("SELECT count(*), coalesce(sum(bytes), 0) FROM object")
        return (int(row[0]), int(row[1])) if row else (0, 0)


_COLUMNS = tuple(StoredObject.__dataclass_fields__)


def _object(row: Row) -> StoredObject:
    return StoredObject(**dict(row))
