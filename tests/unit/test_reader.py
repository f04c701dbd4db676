"""The thread that reads the camera counts what its sources dropped, over every opening."""

import threading
from pathlib import Path

from agent.camera.synthetic_source import SyntheticFault, SyntheticSource
from agent.clock import SimulatedClock
from agent.fault_board import FaultBoard
from agent.recording.camera_status import CameraStatus
from agent.recording.reader import CameraReader
from agent.recording.recorder import RecordedCamera, Recorder, RecorderPorts
from agent.recording.recorder_queue import RecorderQueue
from agent.supervise import WorkerContext


class LossyCamera:
    """Makes sources that say to have dropped three frames each; the third opening is the last."""

    def __init__(self, clock: SimulatedClock, stop: threading.Event) -> None:
        self._clock = clock
        self._stop = stop
        self.openings = 0

    def __call__(self) -> SyntheticSource:
        self.openings += 1
        if self.openings == 3:
            self._stop.set()
        source = SyntheticSource(self._clock, paced=False, faults=[SyntheticFault("end", 20)])
        source.frames_dropped = 3
        return source


def test_frames_that_sources_dropped_are_in_the_cameras_reading(tmp_path: Path) -> None:
    clock, stop = SimulatedClock(), threading.Event()
    faults, queue = FaultBoard(clock), RecorderQueue(1000)
    camera = LossyCamera(clock, stop)
    reader = CameraReader("cam1", camera, queue, faults, clock)
    reader.run(WorkerContext(clock, stop))
    ports = RecorderPorts(*[None] * 7)  # type: ignore[arg-type]  # nothing is recorded here
    recorder = Recorder(RecordedCamera("cam1", "M-1", "traffic", 0), queue, ports, faults, clock)
    status = CameraStatus(tmp_path, "cam1", "synthetic", reader, queue, recorder, faults, clock)
    assert (camera.openings, reader.frames_dropped) == (3, 9)
    assert status.reading(stopping=False).frames_dropped == 9
