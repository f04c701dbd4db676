"""One segment's sink: clear fragments go in, sealed chunks reach the spool, and only what is on disk is promised.

Rules:
* about every `SYNC_S`, at the end of a fragment, the part is synced and its journal moves on;
* the journal promises the newest fragment whose last byte lies in a whole sealed chunk: the age format holds back
  up to 64 KiB of clear video, which a power cut would take;
* so a cut loses at most one GOP (in the muxer) and `SYNC_S`, plus 64 KiB at very low bit rates (NUMBERS N9).
"""

from collections import deque
from collections.abc import Callable, Sequence

from agent.clock import Clock
from agent.contract.age_format import CHUNK_BYTES, AgeWriter, Recipient
from agent.contract.records import SegmentRecord
from agent.recording.journal import Progress
from agent.recording.open_segment import OpenSegment

SYNC_S = 1.9
SEALED_CHUNK_BYTES = CHUNK_BYTES + 16


class SegmentSealer:
    """A `segmenter.SegmentSink` over one open segment of the spool.

    Args:
        open_segment: where sealed bytes go; its header is written at once.
        recipients: who can open it.
        utc_us: maps the source's media time (us) to UTC (us).
        clock: tells when `SYNC_S` passed.
        sealed: is told the record of the whole segment.
    """

    def __init__(
        self,
        open_segment: OpenSegment,
        recipients: Sequence[Recipient],
        utc_us: Callable[[int], int],
        clock: Clock,
        sealed: Callable[[SegmentRecord], None],
    ) -> None:
        self._segment = open_segment
        self._age = AgeWriter(open_segment.write, recipients)
        self._overhead = open_segment.bytes
        self._utc_us = utc_us
        self._clock = clock
        self._sealed = sealed
        self._clear_bytes = 0
        self._marks: deque[tuple[int, int, int]] = deque()
        self._synced_mono_s = clock.mono_s()

    def write(self, data: bytes) -> None:
        """Seal the next bytes of the file."""
        self._age.write(data)
        self._clear_bytes += len(data)

    def fragment_complete(self, end_pts_us: int, frames: int) -> None:
        """Note a fragment's end; sync when it is time."""
        self._marks.append((self._clear_bytes, self._utc_us(end_pts_us), frames))
        if self._clock.mono_s() - self._synced_mono_s >= SYNC_S:
            self._sync()

    def close(self, end_pts_us: int, frames: int) -> None:
        """Seal the last chunk and hand the segment to the spool."""
        self._age.close()
        self._sealed(self._segment.seal(self._utc_us(end_pts_us), frames))

    def abandon(self) -> Progress:
        """Leave the segment to recovery; returns what its journal promises."""
        return self._segment.abandon()

    def _sync(self) -> None:
        on_disk = (self._segment.bytes - self._overhead) // SEALED_CHUNK_BYTES * CHUNK_BYTES
        newest: tuple[int, int, int] | None = None
        while self._marks and self._marks[0][0] <= on_disk:
            newest = self._marks.popleft()
        if newest is not None:
            self._segment.progress(newest[1], newest[2])
            self._synced_mono_s = self._clock.mono_s()
