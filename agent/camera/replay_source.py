"""A video file as a camera: for demos, drills and benches (DESIGN decision 13).

Rules:
* paced frames come no earlier than their time against the injected clock, unpaced ones as fast as they are read;
* a looping file's times go on over the loop: the next round starts one frame after the last;
* a file that does not loop ends with SourceError, as a camera that stops does.
"""

import threading
from collections.abc import Generator, Iterator
from pathlib import Path

from agent.camera.av_input import AvInput, InputRequest, frame_ticks
from agent.camera.encoding import Encoding
from agent.camera.frame_source import EncodedFrame, VideoFormat
from agent.camera.pacing import pace, until
from agent.clock import Clock
from agent.errors import SourceError


class ReplaySource:
    """See `FrameSource` for the contract."""

    def __init__(
        self,
        path: Path,
        clock: Clock,
        *,
        paced: bool = True,
        loop: bool = True,
        encoding: Encoding | None = None,
        read_timeout_s: float = 5.0,
    ) -> None:
        self._clock = clock
        self._paced = paced
        self._loop = loop
        self._name = f"clip {path}"
        self._request = InputRequest(
            # "file:" keeps a name with a colon from being read as a protocol.
            f"file:{path}",
            self._name,
            read_timeout_s,
            {"protocol_whitelist": "file"},
            encoding=encoding or Encoding(),
        )
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._input: AvInput | None = None
        self.frames_dropped = 0

    def open(self) -> VideoFormat:
        """Open the file and return its format.

        Raises:
            SourceError: missing or not a readable video.
        """
        self.close()
        opened = AvInput(self._request)
        with self._lock:
            self._stop = threading.Event()
            self._input = opened
        return opened.format

    def frames(self) -> Iterator[EncodedFrame]:
        """Yield frames until `close`.

        Raises:
            SourceError: the file ended (when it does not loop), broke, or was not opened.
        """
        with self._lock:
            current, self._input, stop = self._input, None, self._stop
        if current is None:
            if stop.is_set():
                return
            raise SourceError(f"{self._name} is not open; call open before frames")
        rounds = self._rounds(current)
        try:
            if self._paced:
                yield from pace(rounds, current.format.time_base, self._clock, stop)
            else:
                yield from until(rounds, stop)
        finally:
            rounds.close()

    def close(self) -> None:
        """End `frames`; the thread that reads closes the file."""
        with self._lock:
            self._stop.set()
            unread, self._input = self._input, None
        if unread is not None:
            unread.close()

    def _rounds(self, current: AvInput) -> Generator[EncodedFrame, None, None]:
        """Yield the file's frames round after round, times going on; reopens the file for each round."""
        step = frame_ticks(current.format)
        next_dts = 0
        while True:
            before = next_dts
            try:
                for frame in current.frames(first_dts=next_dts):
                    next_dts = frame.dts + (frame.duration or step)
                    yield frame
            finally:
                self.frames_dropped += current.frames_dropped
                current.close()
            if next_dts == before:
                raise SourceError(f"{self._name} holds no keyframe; check the file")
            if not self._loop:
                raise SourceError(f"{self._name} ended; set it to loop or name another file")
            current = AvInput(self._request)
