"""A live libav input behind the port: one reader thread opens, reads and closes it; the recorder reads a queue.

Rules:
* libav inputs may be closed only by the thread that reads them, and a frozen camera blocks that thread; so `close`
  only closes the queue (`frames` ends at once) and the reader follows within the read timeout;
* each `open` gets its own queue and thread, after waiting for the last reader to let go of the device;
* a reader of an earlier object may hold the device as long as a frozen camera blocks it: a busy device is tried again
  for the read timeout, and a little more, before it is an error.
"""

import threading
import time
from collections.abc import Callable, Iterator

from agent.camera.av_input import AvInput, DeviceBusyError
from agent.camera.frame_queue import FrameQueue
from agent.camera.frame_source import EncodedFrame, VideoFormat
from agent.errors import SourceError

BUSY_RETRY_S = 0.25
BUSY_MARGIN_S = 1.0


class _Session:
    """One opening of the camera, shared between its reader thread and the recorder."""

    def __init__(self) -> None:
        self.queue = FrameQueue()
        self.answered = threading.Event()
        self.closing = threading.Event()
        self.input: AvInput | None = None
        self.format: VideoFormat | None = None
        self.reader = threading.Thread()


class LiveSource:
    """See `FrameSource`; `make_input` is called in the reader thread and raises SourceError."""

    def __init__(
        self, name: str, make_input: Callable[[], AvInput], read_timeout_s: float, open_timeout_s: float
    ) -> None:
        self._name = name
        self._make_input = make_input
        self._read_timeout_s = read_timeout_s
        self._open_timeout_s = open_timeout_s
        self._session: _Session | None = None
        self._dropped_before = 0

    @property
    def frames_dropped(self) -> int:
        """Frames that came and were not delivered: before a first keyframe, or the recorder was too slow."""
        session = self._session
        if session is None:
            return self._dropped_before
        unread = session.input.frames_dropped if session.input else 0
        return self._dropped_before + session.queue.frames_dropped + unread

    def open(self) -> VideoFormat:
        """Connect and return the format.

        Raises:
            SourceError: refused, silent, or not video; says which.
        """
        self.close()
        if self._session is not None:
            # A device that is still held would answer "busy"; a reader that hangs gets no more than its timeout.
            self._session.reader.join(self._read_timeout_s)
        self._dropped_before = self.frames_dropped
        session = _Session()
        session.reader = threading.Thread(target=self._read, args=(session,), name=f"read {self._name}", daemon=True)
        self._session = session
        session.reader.start()
        if not session.answered.wait(self._open_timeout_s):
            self.close()
            raise SourceError(f"{self._name} did not open within {self._open_timeout_s:g} s; check power and cable")
        if session.format is None:
            session.queue.get(0.0, self._name)
            raise SourceError(f"{self._name} was closed while it was being opened; open it again")
        return session.format

    def frames(self) -> Iterator[EncodedFrame]:
        """Yield frames until `close`.

        Raises:
            SourceError: the camera ended, stalled or broke, or was not opened.
        """
        session = self._session
        if session is None:
            raise SourceError(f"{self._name} is not open; call open before frames")
        while (frame := session.queue.get(self._read_timeout_s, self._name)) is not None:
            yield frame

    def close(self) -> None:
        """End `frames` and `open` at once; the reader thread closes the input."""
        session = self._session
        if session is not None:
            session.queue.close()
            session.closing.set()
            session.answered.set()

    def _read(self, session: _Session) -> None:
        """Open and read until the queue is closed; whatever happens, the recorder gets an answer."""
        try:
            self._pump(session)
        except SourceError as exc:
            session.queue.fail(exc)
        finally:
            session.queue.fail(SourceError(f"{self._name} ended; it is reopened"))
            session.answered.set()

    def _pump(self, session: _Session) -> None:
        opened = session.input = self._free_input(session)
        try:
            session.format = opened.format
            session.answered.set()
            for frame in opened.frames():
                if session.queue.closed:
                    return
                session.queue.put(frame, len(memoryview(frame.payload)))
        finally:
            opened.close()

    def _free_input(self, session: _Session) -> AvInput:
        deadline_mono_s = time.monotonic() + self._read_timeout_s + BUSY_MARGIN_S
        while True:
            try:
                return self._make_input()
            except DeviceBusyError:
                if session.closing.wait(BUSY_RETRY_S) or time.monotonic() > deadline_mono_s:
                    raise
