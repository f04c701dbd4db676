"""Cuts one opened source's frames into segments that meet exactly (DESIGN decision 1). Policy only, no I/O, no clock.

Rules:
* one `Segmenter` lives as long as one opened source: another format or a reopened source gets a new one;
* a segment starts with a keyframe; frames before the first keyframe are dropped and counted;
* it ends at the first keyframe at or after `segment_s` since its start, and ends *at* that keyframe's time,
  which is the next segment's start: consecutive segments neither overlap nor leave a hole;
* a jump of decoding times backwards, or forwards by more than `JUMP_S`, ends it after its last frame's duration,
  because the time between is not footage and the recorder must state it as a gap;
* the guard sees the muxer's bytes before the sink does, and raises before a byte with sound passes (R-AUDIO);
* a fragment is reported only after the sink took all its bytes; the time reported is one footage is complete until.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from agent.camera.frame_source import EncodedFrame, VideoFormat

JUMP_S = 2.0


@dataclass(frozen=True)
class SegmentStart:
    """A segment about to begin: the source's format and the first keyframe's time in microseconds of media time."""

    format: VideoFormat
    start_pts_us: int


class SegmentSink(Protocol):
    """Where one segment's bytes go, in the recorder: sealer, hash and spool. Called in the feeding thread only.

    An exception raised here leaves `Segmenter.feed` unchanged; the caller must then call `Segmenter.abandon`.
    """

    def write(self, data: bytes) -> object:
        """Take the next bytes of the file, in order; the first call holds the init segment."""
        ...

    def fragment_complete(self, end_pts_us: int, frames: int) -> None:
        """Know that everything before `end_pts_us` was written: `frames` frames since the segment's start."""
        ...

    def close(self, end_pts_us: int, frames: int) -> None:
        """Know that the segment is whole; the last call."""
        ...


class Muxer(Protocol):
    """Turns frames into fragmented MP4."""

    @property
    def frames_out(self) -> int:
        """Samples whose bytes the output has taken whole."""
        ...

    def write(self, frame: EncodedFrame) -> None:
        """Add one frame; a keyframe ends the fragment before it."""
        ...

    def close(self) -> None:
        """Write what is left; raises SourceError when frames were lost on the way."""
        ...

    def abandon(self) -> None:
        """Drop what is left: not one more byte reaches the output."""
        ...


class InitGuard(Protocol):
    """Passes bytes on only once the init segment proved free of sound (`agent.camera.no_audio_guard`)."""

    def filter(self, data: bytes) -> bytes:
        """Return the bytes that may pass now; raises SoundRefusedError."""
        ...


MuxerFactory = Callable[[VideoFormat, Callable[[bytes], object]], Muxer]


class Segmenter:
    """Feeds one muxer per segment; see the module's rules. Not thread-safe: one thread feeds and finishes it."""

    def __init__(
        self,
        video_format: VideoFormat,
        open_segment: Callable[[SegmentStart], SegmentSink],
        segment_s: float,
        muxer_factory: MuxerFactory,
        guard_factory: Callable[[], InitGuard],
    ) -> None:
        self._format = video_format
        self._open_segment = open_segment
        self._muxer_factory = muxer_factory
        self._guard_factory = guard_factory
        ticks_per_s = 1 / video_format.time_base
        self._segment_ticks = round(segment_s * ticks_per_s)
        self._jump_ticks = round(JUMP_S * ticks_per_s)
        self._frame_ticks = max(1, round(ticks_per_s / video_format.fps)) if video_format.fps > 0 else 1
        self._open: _OpenSegment | None = None
        self._last_dts = 0  # of the open segment
        self.frames_dropped = 0
        self.segments = 0

    def feed(self, frame: EncodedFrame) -> None:
        """Add the next frame in decoding order; opens and closes segments as the rules say.

        Raises:
            SoundRefusedError: the container would hold sound.
            SourceError: the muxer refused the frame.
        """
        dts = frame.dts
        if self._open is not None and not 0 <= dts - self._last_dts <= self._jump_ticks:
            self.finish()
        self._last_dts = dts
        if frame.keyframe and (self._open is None or frame.pts - self._open.start_pts >= self._segment_ticks):
            self._cut(frame)
        if self._open is None:
            self.frames_dropped += 1
            return
        self._open.add(frame, frame.duration or self._frame_ticks)

    def finish(self) -> None:
        """End the open segment after its last frame; the source ended, stalled or is being stopped."""
        if self._open is not None:
            self._close(self._open.end_pts)

    def abandon(self) -> None:
        """Forget the open segment after an error: no further byte and no `close` reaches its sink."""
        if self._open is not None:
            self._open.muxer.abandon()
            self._open = None

    def _cut(self, keyframe: EncodedFrame) -> None:
        if self._open is not None:
            self._close(keyframe.pts)
        start = SegmentStart(self._format, self._us(keyframe.pts))
        sink = self._open_segment(start)
        self._open = _OpenSegment(self._muxer_factory, self._guard_factory(), sink, self._format, keyframe.pts)
        self.segments += 1

    def _close(self, end_pts: int) -> None:
        segment = self._open
        if segment is not None:
            segment.finish(end_pts)
            self._open = None

    def _us(self, pts: int) -> int:
        return pts_us(self._format, pts)


class _OpenSegment:
    """One segment being written: which frames the sink holds whole, and until when."""

    def __init__(
        self,
        muxer_factory: MuxerFactory,
        guard: InitGuard,
        sink: SegmentSink,
        video_format: VideoFormat,
        start_pts: int,
    ) -> None:
        self._guard = guard
        self._sink = sink
        self._format = video_format
        self.start_pts = self.end_pts = start_pts
        self._frames = 0
        self._ends: deque[tuple[int, int]] = deque()
        self.muxer = muxer_factory(video_format, self._pass)

    def add(self, frame: EncodedFrame, duration: int) -> None:
        if frame.keyframe and self._frames:
            self._ends.append((self._frames, frame.pts))
        self._frames += 1
        end_pts = frame.pts + duration
        if end_pts > self.end_pts:
            self.end_pts = end_pts
        self.muxer.write(frame)
        if self._ends:
            self._report()

    def finish(self, end_pts: int) -> None:
        self._ends.append((self._frames, end_pts))
        self.muxer.close()
        self._report()
        self._sink.close(pts_us(self._format, end_pts), self._frames)

    def _pass(self, data: bytes) -> object:
        allowed = self._guard.filter(data)
        return self._sink.write(allowed) if allowed else None

    def _report(self) -> None:
        """Tell the sink the newest fragment end whose frames the muxer has put out whole."""
        newest: tuple[int, int] | None = None
        while self._ends and self._ends[0][0] <= self.muxer.frames_out:
            newest = self._ends.popleft()
        if newest is not None:
            self._sink.fragment_complete(pts_us(self._format, newest[1]), newest[0])


def pts_us(video_format: VideoFormat, pts: int) -> int:
    """Return `pts`, counted in the format's time base, in whole microseconds (rounded to the nearest)."""
    base = video_format.time_base
    return (2_000_000 * pts * base.numerator + base.denominator) // (2 * base.denominator)
