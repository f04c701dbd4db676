"""The status of one camera's service: written every second, from counters that moved (DESIGN decision 12).

Rules:
* it only reads counters of the reader and the recorder, it never touches the spool or the camera;
* an unwritable run directory is logged once and tried again: recording does not depend on it.
"""

import logging
import os
from pathlib import Path
from typing import Literal

from agent.clock import Clock
from agent.contract.messages import CameraReading
from agent.fault_board import FaultBoard
from agent.recording.quality import FrameRate, below_legal
from agent.recording.reader import CameraReader
from agent.recording.recorder import Recorder
from agent.recording.recorder_queue import RecorderQueue
from agent.status_file import ServiceStatus, write_status
from agent.supervise import WorkerContext

log = logging.getLogger(__name__)

STATUS_S = 1.0
FLOWING_S = 2.0
QUALITY = "quality-below-legal"


class CameraStatus:
    """Writes `run_dir/camera-<id>.json` and judges the legal floor."""

    def __init__(
        self,
        run_dir: Path,
        camera: str,
        source: str,
        reader: CameraReader,
        queue: RecorderQueue,
        recorder: Recorder,
        faults: FaultBoard,
        clock: Clock,
    ) -> None:
        self._run_dir = run_dir
        self._camera = camera
        self._source = source
        self._reader = reader
        self._queue = queue
        self._recorder = recorder
        self._faults = faults
        self._clock = clock
        self._rate = FrameRate()
        self._failed = False

    def run(self, context: WorkerContext) -> None:
        """Write a status every `STATUS_S`, and a last one at the end."""
        while not context.stopping:
            self.write_once(stopping=False)
            context.wait(STATUS_S)
        self.write_once(stopping=True)

    def write_once(self, *, stopping: bool) -> None:
        """Judge and write once."""
        reading = self.reading(stopping=stopping)
        status = ServiceStatus(
            service=f"camera-{self._camera}",
            pid=os.getpid(),
            written_at_us=self._clock.utc_us(),
            written_mono_s=self._clock.mono_s(),
            faults=self._faults.standing(),
            camera=reading,
        )
        try:
            self._run_dir.mkdir(parents=True, exist_ok=True)
            write_status(self._run_dir, status)
            self._failed = False
        except OSError as error:
            if not self._failed:
                log.error("status not written camera=%s error=%s", self._camera, error)
            self._failed = True

    def reading(self, *, stopping: bool) -> CameraReading:
        """Return the camera's counters; raises or clears `quality-below-legal` on the way."""
        age_s = self._frame_age_s()
        self._judge(flowing=age_s is not None and age_s < FLOWING_S)
        recorder, video = self._recorder, self._recorder.video_format
        return CameraReading(
            state="stopped" if stopping else self._state(),
            source=self._source,
            codec=video.codec if video else "",
            width=video.width if video else 0,
            height=video.height if video else 0,
            passthrough=video.passthrough if video else True,
            frames=self._reader.frames,
            frames_dropped=self._reader.frames_dropped + self._queue.frames_dropped + recorder.frames_dropped,
            segments=recorder.segments,
            bytes_sealed=recorder.bytes_sealed,
            fps=round(self._rate.fps, 2),
            last_frame_age_s=age_s,
            source_has_sound=video.source_has_sound if video else False,
            sound_checked_at_us=recorder.sound_checked_at_us,
            reopened=self._reader.reopened,
        )

    def _judge(self, *, flowing: bool) -> None:
        video = self._recorder.video_format
        if not flowing or video is None:
            self._rate.clear()
            return
        self._rate.add(self._clock.mono_s(), self._reader.frames)
        low = below_legal(video.width, video.height, self._rate)
        if low:
            self._faults.report(QUALITY, low, self._camera)
        else:
            self._faults.clear(QUALITY, self._camera)

    def _state(self) -> Literal["starting", "recording", "waiting"]:
        if self._recorder.recording:
            return "recording"
        return "waiting" if self._recorder.segments or self._faults.standing() else "starting"

    def _frame_age_s(self) -> float | None:
        last = self._reader.last_frame_mono_s
        return None if last is None else round(self._clock.mono_s() - last, 3)
