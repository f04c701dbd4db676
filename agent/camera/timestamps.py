"""Decoding times that rise, whatever the demuxer says. Pure.

Rules:
* a frame without dts takes its pts when that rises, else the last dts plus the last duration;
* dts rises strictly: a step back of at most `REPAIR_S` is repaired to the next tick; a larger one is a jump of the
  source's clock and passes, for the segmenter to end its segment there;
* pts is never before dts;
* the first dts is `first_dts` when that is given, and never negative (a fragmented MP4 cannot hold it): the whole
  source is shifted, once.
"""

from fractions import Fraction

REPAIR_S = 2.0


class RisingTimes:
    """Feeds on each frame's (pts, dts, duration) of one opened source; `shift` is what was added to every time."""

    def __init__(self, time_base: Fraction, frame_ticks: int, first_dts: int | None = None) -> None:
        self._repair_ticks = round(REPAIR_S / time_base)
        self._frame_ticks = max(1, frame_ticks)
        self._first_dts = first_dts
        self._last_dts: int | None = None
        self.shift = 0

    def next(self, pts: int | None, dts: int | None, duration: int) -> tuple[int, int]:
        """Return the frame's (pts, dts) to record."""
        step = duration or self._frame_ticks
        if dts is None:
            dts = self._guess(pts, step) - self.shift
        if self._last_dts is None:
            self.shift = max(0, -dts) if self._first_dts is None else self._first_dts - dts
        dts += self.shift
        if self._last_dts is not None and self._last_dts - self._repair_ticks <= dts <= self._last_dts:
            dts = self._last_dts + 1
        self._last_dts = dts
        return max(dts, dts if pts is None else pts + self.shift), dts

    def _guess(self, pts: int | None, step: int) -> int:
        """Return a dts, already shifted, for a frame that has none."""
        if self._last_dts is None:
            return pts if pts is not None else 0
        if pts is not None and pts + self.shift > self._last_dts:
            return pts + self.shift
        return self._last_dts + step
