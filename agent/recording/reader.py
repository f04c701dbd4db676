"""The thread that reads the camera: opens it, hands its frames on, opens it again when it is lost.

Rules:
* one attempt is `_read_once`: a source object is opened once and closed always;
* back-off 1, 2, 4 .. `MAX_BACKOFF_S` seconds, from 1 again once frames flowed (never a tight loop: FACTS "Video");
* `camera-source-lost` stands from the first failure until frames flow again; `source-has-sound` while it has;
* after `refuse` (sound reached the guard) the source stays closed until the service is started again.
"""

import logging
import threading
from collections.abc import Callable

from agent.camera.frame_source import EncodedFrame, FrameSource
from agent.clock import Clock
from agent.errors import SoundRefusedError, SourceError
from agent.fault_board import FaultBoard
from agent.recording.recorder_queue import Arrived, Lost, Opened, RecorderQueue
from agent.supervise import WorkerContext

log = logging.getLogger(__name__)

FIRST_BACKOFF_S = 1.0
MAX_BACKOFF_S = 30.0
PROGRESS_FRAMES = 30
ROOM_WAIT_S = 0.5


class CameraReader:
    """Reads one camera into a `RecorderQueue`; counters are read by other threads."""

    def __init__(
        self,
        camera: str,
        make_source: Callable[[], FrameSource],
        queue: RecorderQueue,
        faults: FaultBoard,
        clock: Clock,
    ) -> None:
        self._camera = camera
        self._make_source = make_source
        self._queue = queue
        self._faults = faults
        self._clock = clock
        self._source: FrameSource | None = None
        self._backoff_s = FIRST_BACKOFF_S
        self._refused = threading.Event()
        self._opened = 0
        self._dropped_before = 0
        self.frames = 0
        self.frames_dropped = 0
        self.last_frame_mono_s: float | None = None

    @property
    def reopened(self) -> int:
        """How often the source was opened again."""
        return max(0, self._opened - 1)

    def run(self, context: WorkerContext) -> None:
        """Read until the service stops."""
        while not context.stopping and not self._refused.is_set():
            before = self.frames
            try:
                self._read_once(context)
            except SoundRefusedError as error:
                self.refuse(error)
            except SourceError as error:
                self._lose(error, self.frames - before)
                self._back_off(context)
        while not context.wait(1.0):
            pass

    def interrupt(self) -> None:
        """Unblock the thread that reads; from any thread."""
        source = self._source
        if source is not None:
            source.close()

    def refuse(self, error: SoundRefusedError) -> None:
        """Stop for good: sound would have been recorded (R-AUDIO); from any thread."""
        self._refused.set()
        self._faults.report_error(error, self._camera)
        self._queue.tell(Lost("sound", str(error)))
        self.interrupt()

    def _read_once(self, context: WorkerContext) -> None:
        context.beat()
        source = self._source = self._make_source()
        try:
            video_format = source.open()
            self._opened += 1
            self._queue.tell(Opened(video_format))
            self._note_sound(has_sound=video_format.source_has_sound)
            for frame in source.frames():
                if frame.keyframe:
                    self._count_dropped(source)
                self._hand_on(frame, context)
                if context.stopping or self._refused.is_set():
                    return
        finally:
            self._source = None
            source.close()
            self._count_dropped(source)
            self._dropped_before = self.frames_dropped
        if not context.stopping and not self._refused.is_set():
            raise SourceError("the source ended; it is opened again")

    def _count_dropped(self, source: FrameSource) -> None:
        self.frames_dropped = self._dropped_before + source.frames_dropped

    def _hand_on(self, frame: EncodedFrame, context: WorkerContext) -> None:
        item: EncodedFrame | Arrived = frame
        if frame.keyframe:
            item = Arrived(frame, self._clock.utc_us())
            context.beat()
            self._faults.clear(SourceError.fault, self._camera)
        self.frames += 1
        self.last_frame_mono_s = self._clock.mono_s()
        while not self._queue.put(item) and self._queue.may_wait and not context.stopping:
            context.beat()
            self._queue.wait_for_room(ROOM_WAIT_S)

    def _note_sound(self, *, has_sound: bool) -> None:
        if has_sound:
            self._faults.report("source-has-sound", "the camera sends sound; it is not recorded", self._camera)
        else:
            self._faults.clear("source-has-sound", self._camera)

    def _lose(self, error: SourceError, frames: int) -> None:
        if frames >= PROGRESS_FRAMES:
            self._backoff_s = FIRST_BACKOFF_S
        self._faults.report_error(error, self._camera)
        self._queue.tell(Lost("source", str(error)))

    def _back_off(self, context: WorkerContext) -> None:
        until_mono_s = self._clock.mono_s() + self._backoff_s
        self._backoff_s = min(MAX_BACKOFF_S, self._backoff_s * 2)
        while (left_s := until_mono_s - self._clock.mono_s()) > 0 and not self._refused.is_set():
            if context.wait(min(1.0, left_s)):
                return
