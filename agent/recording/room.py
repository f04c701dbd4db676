"""How room is made for the next segment: which sealed files may leave, and in which order (pure).

Rules:
* a segment whose receipt is stored leaves first, oldest first: the center holds it;
* then the oldest segment without a receipt, but none that touches a protected window (footage around a bell press);
* quarantined segments and those in a protected window are never chosen: rather no recording than no evidence;
* the oldest is told by its record's time, never by the directory.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from agent.recording.spool_index import PENDING, RECEIPTED, SegmentRow, in_windows


@dataclass(frozen=True)
class Room:
    """The spool's limits and how it stands, in bytes; `free_bytes` is what the file system says."""

    max_bytes: int
    min_free_bytes: int
    held_bytes: int
    free_bytes: int

    def missing(self, wanted_bytes: int) -> int:
        """Return how many bytes must leave before `wanted_bytes` more may come; 0 when there is room."""
        over = self.held_bytes + wanted_bytes - self.max_bytes
        short = self.min_free_bytes + wanted_bytes - self.free_bytes
        return max(0, over, short)


def leaving_order(rows: Iterable[SegmentRow], windows: Sequence[tuple[int, int]]) -> Iterator[SegmentRow]:
    """Yield the rows that may leave, in the order in which they do."""
    known = sorted(rows, key=lambda row: (row.start_us, row.segment))
    yield from (row for row in known if row.state == RECEIPTED)
    yield from (row for row in known if row.state == PENDING and not in_windows(row, windows))
