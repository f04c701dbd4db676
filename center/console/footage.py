"""What pole and store say of a camera's time, and the clips around a press (R-BELL, R-INTEGRITY).

Rules: a stored segment whose record is still on its way counts; a clip is whatever overlaps the time from `BEFORE_US`
before the press to `AFTER_US` after it; what nobody has reported yet stands there as `unknown`, never as nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from center.console.timeline import JOIN_US
from center.store import PoleRow, Store, TimelineSpan

SECOND_US = 1_000_000
BEFORE_US = 30 * SECOND_US
AFTER_US = 60 * SECOND_US


@dataclass(frozen=True)
class Clip:
    """One piece of a camera's time; `kind` is segment, torn, gap or unknown, `has_press` whether the press is in it."""

    kind: str
    start_us: int
    end_us: int
    segment: str
    stored: bool
    cause: str
    has_press: bool


@dataclass(frozen=True)
class CameraClips:
    """One camera's clips around a press, in order."""

    camera: str
    clips: tuple[Clip, ...]


def clips_around(told: Sequence[TimelineSpan], press_us: int, now_us: int) -> tuple[Clip, ...]:
    """Return the clips of one camera around a press; pure. `now_us` bounds what can have been recorded."""
    first_us, last_us = press_us - BEFORE_US, min(press_us + AFTER_US, max(now_us, press_us))
    clips: list[Clip] = []
    at_us = first_us
    spans = sorted(told, key=lambda span: (span.start_us, span.end_us))
    for span in (span for span in spans if span.start_us < press_us + AFTER_US and span.end_us > first_us):
        if span.start_us - at_us > JOIN_US:
            clips.append(_clip(TimelineSpan("gap", at_us, span.start_us), press_us, "unknown"))
        clips.append(_clip(span, press_us, span.kind))
        at_us = max(at_us, span.end_us)
    if last_us - at_us > JOIN_US or not clips:
        clips.append(_clip(TimelineSpan("gap", at_us, max(last_us, at_us)), press_us, "unknown"))
    return tuple(clips)


def _clip(span: TimelineSpan, press_us: int, kind: str) -> Clip:
    has_press = span.start_us <= press_us < span.end_us
    return Clip(kind, span.start_us, span.end_us, span.segment, span.stored, span.cause, has_press)


class Footage:
    """Reads what was recorded."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def cameras(self, row: PoleRow) -> list[str]:
        """Return every camera that the pole reports or ever stated time for."""
        reported = set(row.heartbeat.cameras) if row.heartbeat else set()
        return sorted(reported | set(self._store.records.cameras(row.pole)))

    def told(self, pole: str, camera: str, from_us: int, to_us: int) -> list[TimelineSpan]:
        """Return what pole and store say of a camera's time in [from_us, to_us)."""
        told = list(self._store.records.timeline(pole, camera, from_us, to_us))
        known = {span.segment for span in told}
        for stored in self._store.objects.by_pole(pole, camera, from_us, to_us):
            if stored.segment not in known:
                told.append(TimelineSpan("segment", stored.start_us, stored.end_us, stored.segment, "", True))
        return told

    def around(self, pole: str, press_us: int, now_us: int) -> tuple[CameraClips, ...]:
        """Return each camera's clips around a press; the cameras are those of the last heartbeat, if there is one."""
        row = self._store.poles.get(pole)
        heard = row.heartbeat if row else None
        cameras = sorted(heard.cameras) if heard else self._store.records.cameras(pole)
        span = (press_us - BEFORE_US, press_us + AFTER_US)
        return tuple(
            CameraClips(camera, clips_around(self.told(pole, camera, *span), press_us, now_us)) for camera in cameras
        )
