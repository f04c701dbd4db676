"""Counts what a camera really delivered: health is a number that moved (DESIGN decision 12, N11).

Rules:
* a frame counts when its decoding time differs from the last one's: a stuck sensor repeats its stamp;
* `fps` is measured over the last `WINDOW_S`, so that it falls when a camera stops, whatever the average was;
* the feeding thread counts, the status thread reads; no lock is needed, each number has one writer.
"""

from collections import deque
from typing import Literal

from agent.camera.frame_source import EncodedFrame, VideoFormat
from agent.clock import Clock
from agent.contract.messages import CameraReading

CameraState = Literal["starting", "recording", "waiting", "stopped"]
WINDOW_S = 10.0


class FrameCounter:
    """One per camera process; lives over reopenings of the source."""

    def __init__(self, clock: Clock, source: str) -> None:
        self._clock = clock
        self._source = source
        self._format: VideoFormat | None = None
        self._openings = 0
        self._last_dts: int | None = None
        self._marks: deque[tuple[float, int]] = deque([(clock.mono_s(), 0)])
        self.frames = 0
        self.last_frame_mono_s: float | None = None

    def opened(self, video_format: VideoFormat) -> None:
        """Know the source's format; every opening after the first counts as reopened."""
        self._format = video_format
        self._openings += 1
        self._last_dts = None

    def count(self, frame: EncodedFrame) -> None:
        """Count one frame that reached the recorder."""
        if frame.dts == self._last_dts:
            return
        self._last_dts = frame.dts
        self.frames += 1
        self.last_frame_mono_s = self._clock.mono_s()

    def fps(self) -> float:
        """Return the frames per second over the last `WINDOW_S`; call it about once a second."""
        now_s = self._clock.mono_s()
        if now_s > self._marks[-1][0]:
            self._marks.append((now_s, self.frames))
        while len(self._marks) > 2 and now_s - self._marks[1][0] >= WINDOW_S:
            self._marks.popleft()
        since_s, frames = self._marks[0]
        return (self.frames - frames) / (now_s - since_s) if now_s > since_s else 0.0

    def reading(self, state: CameraState, frames_dropped: int = 0) -> CameraReading:
        """Return what the camera knows; the recorder adds its own numbers with `msgspec.structs.replace`."""
        age_s = None if self.last_frame_mono_s is None else self._clock.mono_s() - self.last_frame_mono_s
        known = self._format
        return CameraReading(
            state=state,
            source=self._source,
            codec=known.codec if known else "",
            width=known.width if known else 0,
            height=known.height if known else 0,
            passthrough=known.passthrough if known else True,
            frames=self.frames,
            frames_dropped=frames_dropped,
            fps=round(self.fps(), 2),
            last_frame_age_s=age_s,
            source_has_sound=known.source_has_sound if known else False,
            reopened=max(0, self._openings - 1),
        )
