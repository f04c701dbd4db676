"""The bounded queue between a camera's own thread and the recorder.

Rules:
* `put` never blocks: a camera's callback that waits can stall its encoder for ever (FACTS "Video");
* when the queue is full, frames are dropped as `GroupGate` says; the first frame passed is a keyframe;
* the reader is woken for a keyframe, whose time of arrival counts; other frames wait for it up to `POLL_S`, because
  waking a thread thirty times a second costs more than all it does with the frames;
* an error reaches the reader after the frames put before it; `close` wakes the reader at once.
"""

import threading
import time
from collections import deque

from agent.camera.frame_source import EncodedFrame
from agent.camera.group_gate import GroupGate
from agent.errors import SourceError

MAX_FRAMES = 240
MAX_BYTES = 16 << 20
POLL_S = 0.2


class FrameQueue:
    """One writer thread, one reader thread, any closer."""

    def __init__(self, max_frames: int = MAX_FRAMES, max_bytes: int = MAX_BYTES) -> None:
        self._max_frames = max_frames
        self._max_bytes = max_bytes
        self._changed = threading.Condition()
        self._frames: deque[tuple[EncodedFrame, int]] = deque()
        self._bytes = 0
        self._gate = GroupGate(shut=True)
        self._error: SourceError | None = None
        self._closed = False

    @property
    def frames_dropped(self) -> int:
        """Frames before the first keyframe, and those for which there was no room."""
        return self._gate.frames_dropped

    @property
    def closed(self) -> bool:
        """Whether the reader is gone; the writer should stop."""
        return self._closed

    def put(self, frame: EncodedFrame, size: int) -> None:
        """Add a frame of `size` bytes, or drop it as the rules say."""
        with self._changed:
            if self._closed or self._error is not None:
                return
            room = len(self._frames) < self._max_frames and self._bytes + size <= self._max_bytes
            if not self._gate.passes(keyframe=frame.keyframe, room=room):
                return
            self._frames.append((frame, size))
            self._bytes += size
            if frame.keyframe:
                self._changed.notify()

    def fail(self, error: SourceError) -> None:
        """End the stream: `get` raises `error` once it has handed out what is queued. The first error stays."""
        with self._changed:
            self._error = self._error or error
            self._changed.notify()

    def close(self) -> None:
        """Drop what is queued and let `get` return None from now on."""
        with self._changed:
            self._closed = True
            self._frames.clear()
            self._changed.notify_all()

    def get(self, timeout_s: float, name: str) -> EncodedFrame | None:
        """Return the next frame, or None when the queue was closed.

        Raises:
            SourceError: the writer failed, or put no frame for `timeout_s`.
        """
        deadline_s = time.monotonic() + timeout_s
        with self._changed:
            while not self._frames:
                if self._closed:
                    return None
                if self._error is not None:
                    raise self._error
                left_s = deadline_s - time.monotonic()
                if left_s <= 0:
                    raise SourceError(
                        f"{name} sent no frame for {timeout_s:g} s; check power and cable, it is reopened"
                    )
                self._changed.wait(min(left_s, POLL_S))
            frame, size = self._frames.popleft()
            self._bytes -= size
            return frame
