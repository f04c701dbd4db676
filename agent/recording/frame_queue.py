"""Between the thread that reads the camera and the one that writes: an fsync that stalls must not stop the camera.

Rules:
* bounded by frames; one reader puts, one writer takes; neither ever waits for ever;
* live sources: when full, frames are dropped up to the next keyframe that finds the queue half empty, so whole GOPs
  go; they are counted, and the writer is told (`Lost`), because it must record the gap;
* sources that can wait (a file): the reader waits for room instead, nothing is dropped;
* the writer is not woken for each frame: it looks every `POLL_S` (threads that wake each other cost more than muxing).
"""

import threading
from collections import deque
from dataclasses import dataclass

from agent.camera.frame_source import EncodedFrame, VideoFormat
from agent.contract.records import GapCause

POLL_S = 0.2


@dataclass(frozen=True)
class Opened:
    """The source was opened; the frames after this have this format."""

    format: VideoFormat


@dataclass(frozen=True)
class Lost:
    """The frames after this do not follow on those before it, and why; `follows`: they come from the same opening."""

    cause: GapCause
    detail: str
    follows: bool = False


@dataclass(frozen=True, slots=True)
class Arrived:
    """A keyframe with the UTC at which it arrived."""

    frame: EncodedFrame
    at_us: int


Item = EncodedFrame | Arrived | Opened | Lost


class FrameQueue:
    """See the module's rules; `limit` counts frames."""

    def __init__(self, limit: int, *, may_wait: bool = False) -> None:
        self._items: deque[Item] = deque()
        self._limit = limit
        self.may_wait = may_wait
        self._filled = threading.Event()
        self._room = threading.Event()
        self._dropping = 0
        self.frames_dropped = 0

    def put(self, item: EncodedFrame | Arrived) -> bool:
        """Add a frame; False when it was dropped (live), or when there is no room yet (a source that can wait)."""
        if self._dropping and not self.may_wait:
            return self._put_after_drop(item)
        if len(self._items) >= self._limit:
            self._filled.set()
            if not self.may_wait:
                self._drop()
            return False
        self._items.append(item)
        return True

    def wait_for_room(self, timeout_s: float) -> None:
        """Wait until the writer is done with all it took, at most `timeout_s`: two threads at full speed would only
        fight for the interpreter."""
        self._room.clear()
        if len(self._items) >= self._limit:
            self._room.wait(timeout_s)

    def tell(self, notice: Opened | Lost) -> None:
        """Add a notice; there is always room for one."""
        self._dropping = 0
        self._items.append(notice)
        self._filled.set()

    def take(self, timeout_s: float) -> list[Item]:
        """Return everything there is, after waiting up to `timeout_s` when it is nothing."""
        if not self._items:
            self._room.set()
            self._filled.wait(timeout_s)
        self._filled.clear()
        return [self._items.popleft() for _ in range(len(self._items))]

    def _put_after_drop(self, item: EncodedFrame | Arrived) -> bool:
        if isinstance(item, Arrived) and len(self._items) <= self._limit // 2:
            count = self._dropping
            self.tell(Lost("storage-error", f"{count} frames dropped: the disk was too slow", follows=True))
            self._items.append(item)
            return True
        self._drop()
        return False

    def _drop(self) -> None:
        self._dropping += 1
        self.frames_dropped += 1
