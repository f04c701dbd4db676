"""A camera without hardware that can fail on command; shipped, and under the same contract suite as real ones.

Rules:
* it draws and encodes one group of pictures, then repeats its bytes with rising times: cheap and deterministic;
* faults come in the order of the script, each once, counted in frames since the last `open`; after a fault that
  ends `frames` the source can be opened again, as a camera can.
"""

import threading
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from agent.camera.frame_source import EncodedFrame, VideoFormat
from agent.camera.pacing import pace, until
from agent.clock import Clock
from agent.errors import SourceError

FaultKind = Literal["stall", "end", "error", "refuse-open", "jump-back", "jump-ahead"]
_TIME_BASE = Fraction(1, 90_000)
_JUMP_TICKS = 10 * 90_000
# A camera's clock does not start at zero; and a jump back must not lead below it.
_START_TICKS = 100 * 90_000


@dataclass(frozen=True)
class SyntheticFault:
    """After `after_frames` frames of an opening, `kind` happens; `refuse-open` happens to the next `open`."""

    kind: FaultKind
    after_frames: int = 0


class SyntheticSource:
    """See `FrameSource`. `offers_sound` stands for a camera with a microphone: reported, never delivered."""

    def __init__(
        self,
        clock: Clock,
        *,
        name: str = "synthetic camera",
        width: int = 320,
        height: int = 240,
        fps: int = 15,
        gop_s: float = 1.0,
        bitrate_kbps: int = 200,
        paced: bool = True,
        read_timeout_s: float = 5.0,
        offers_sound: bool = False,
        faults: Sequence[SyntheticFault] = (),
    ) -> None:
        self._clock = clock
        self._name = name
        self._fps = fps
        self._size = (width, height)
        self._gop_frames = max(1, round(fps * gop_s))
        self._bitrate_kbps = bitrate_kbps
        self._paced = paced
        self._read_timeout_s = read_timeout_s
        self._offers_sound = offers_sound
        self._faults = list(faults)
        self._pattern: list[tuple[bytes, bool]] = []
        self._is_open = False
        self._stop = threading.Event()
        self.frames_dropped = 0

    def open(self) -> VideoFormat:
        """Draw the pictures, the first time.

        Raises:
            SourceError: the script refuses this opening.
        """
        self.close()
        if self._next_is("refuse-open", 0):
            raise SourceError(f"{self._name} refused the connection; check power, address and port")
        if not self._pattern:
            from agent.camera.av_test_pattern import encode_pattern

            self._pattern = encode_pattern(*self._size, self._fps, self._gop_frames, self._bitrate_kbps)
        self._stop = threading.Event()
        self._is_open = True
        width, height = self._size
        return VideoFormat(
            "h264", width, height, float(self._fps), _TIME_BASE, b"", self._offers_sound, passthrough=True
        )

    def frames(self) -> Iterator[EncodedFrame]:
        """Yield frames until `close`.

        Raises:
            SourceError: the script says so, or it was not opened.
        """
        stop = self._stop
        if not self._is_open:
            if stop.is_set():
                return
            raise SourceError(f"{self._name} is not open; call open before frames")
        drawn = self._drawn(stop)
        try:
            yield from pace(drawn, _TIME_BASE, self._clock, stop) if self._paced else until(drawn, stop)
        finally:
            drawn.close()

    def close(self) -> None:
        """End `frames`."""
        self._is_open = False
        self._stop.set()

    def _drawn(self, stop: threading.Event) -> Generator[EncodedFrame, None, None]:
        step = _TIME_BASE.denominator // self._fps
        shift, number = _START_TICKS, 0
        while True:
            shift += self._jump(number)
            if not self._survives(number, stop):
                return
            payload, keyframe = self._pattern[number % len(self._pattern)]
            pts = number * step + shift
            yield EncodedFrame(payload, pts, pts, keyframe, step)
            number += 1

    def _jump(self, number: int) -> int:
        if self._next_is("jump-ahead", number):
            return _JUMP_TICKS
        return -_JUMP_TICKS if self._next_is("jump-back", number) else 0

    def _survives(self, number: int, stop: threading.Event) -> bool:
        """Raise what the script holds for this frame; return False when closed during a stall."""
        if self._next_is("end", number):
            raise SourceError(f"{self._name} ended; it is reopened")
        if self._next_is("error", number):
            raise SourceError(f"{self._name} stopped sending: broken link; it is reopened")
        if self._next_is("stall", number):
            if self._clock.wait(stop, self._read_timeout_s):
                return False
            raise SourceError(f"{self._name} sent no frame for {self._read_timeout_s:g} s; check power and cable")
        return True

    def _next_is(self, kind: FaultKind, number: int) -> bool:
        """Take the script's next fault when it is of `kind` and due."""
        if self._faults and self._faults[0].kind == kind and self._faults[0].after_frames <= number:
            self._faults.pop(0)
            return True
        return False
