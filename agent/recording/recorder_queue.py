"""Between the thread that reads the camera and the one that writes: an fsync that stalls must not stop the camera.

Rules:
* bounded by frames; one reader puts, one writer takes; neither ever waits for ever;
* live sources: when full, frames are dropped as `GroupGate` says, up to a keyframe that finds the queue half empty;
  the writer is told (`Lost`), because it must record the gap;
* sources that can wait (a file): the reader waits for room instead, nothing is dropped;
* the writer is woken for a live camera's keyframe, which ends a fragment, and otherwise looks every `POLL_S`: the
  muxer holds a group of pictures back anyway, and threads that wake each other for frames cost more than muxing.
"""

import threading
from collections import deque
from dataclasses import dataclass

from agent.camera.frame_source import EncodedFrame, VideoFormat
from agent.camera.group_gate import GroupGate
from agent.contract.records import GapCause

POLL_S = 0.5


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


class RecorderQueue:
    """See the module's rules; `limit` counts frames."""

    def __init__(self, limit: int, *, may_wait: bool = False) -> None:
        self._items: deque[Item] = deque()
        self._limit = limit
        self.may_wait = may_wait
        self._filled = threading.Event()
        self._room = threading.Event()
        self._gate = GroupGate()

    @property
    def frames_dropped(self) -> int:
        """Frames for which there was no room."""
        return self._gate.frames_dropped

    def put(self, item: EncodedFrame | Arrived) -> bool:
        """Add a frame; False when it was dropped (live), or when there is no room yet (a source that can wait)."""
        if self._gate.shut or len(self._items) >= self._limit:
            self._filled.set()
            if self.may_wait or not self._passes(item):
                return False
        self._items.append(item)
        if not self.may_wait and isinstance(item, Arrived):
            self._filled.set()
        return True

    def wait_for_room(self, timeout_s: float) -> None:
        """Wait until the writer is done with all it took, at most `timeout_s`: two threads at full speed would only
        fight for the interpreter."""
        self._room.clear()
        if len(self._items) >= self._limit:
            self._room.wait(timeout_s)

    def tell(self, notice: Opened | Lost) -> None:
        """Add a notice; there is always room for one."""
        self._gate.open()
        self._items.append(notice)
        self._filled.set()

    def take(self, timeout_s: float) -> list[Item]:
        """Return everything there is, after waiting up to `timeout_s` when it is nothing."""
        if not self._items:
            self._room.set()
            self._filled.wait(timeout_s)
        self._filled.clear()
        return [self._items.popleft() for _ in range(len(self._items))]

    def _passes(self, item: EncodedFrame | Arrived) -> bool:
        """Ask the gate; a frame that passes after dropped ones has a notice put before it."""
        dropped = self._gate.dropped_in_a_row
        room = len(self._items) <= self._limit // 2 if self._gate.shut else False
        if not self._gate.passes(keyframe=isinstance(item, Arrived), room=room):
            return False
        self.tell(Lost("storage-error", f"{dropped} frames dropped: the disk was too slow", follows=True))
        return True
