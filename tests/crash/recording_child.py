"""A camera service without threads, as fast as it can: the process that the crash tests kill.

    python tests/crash/recording_child.py '<json>'

keys: spool, recipient, utc_us (its clock's start), boot_id, frames (then it stops in order; 0: never), kill (a step's
name), kill_at (which occurrence), delete (true: receipts and deletes what it sealed), fed (a file that always says
until when frames were handed to the recorder).
Its clock passes with the frames, so that "every 2 s" and "10 s" hold although nothing waits.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from agent.camera.frame_source import EncodedFrame
from agent.camera.no_audio_guard import InitSegmentGuard
from agent.camera.synthetic_source import SyntheticSource
from agent.clock import SimulatedClock
from agent.config import SpoolConfig
from agent.fault_board import FaultBoard
from agent.recording.av_muxer import AvMuxer
from agent.recording.recipients import RecipientsFile
from agent.recording.recorder import RecordedCamera, Recorder, RecorderPorts
from agent.recording.recorder_queue import Arrived, Opened, RecorderQueue
from agent.recording.segmenter import Segmenter
from agent.recording.spool import Spool

POLE = "p1"
CAMERA = "cam1"
FPS = 15
GOP_S = 1.0
SEGMENT_S = 6.0
FILLER = b"\0\0\0\1\x0c" + b"\xff" * 16_000 + b"\x80"  # H.264 filler data: about 2 Mbit/s without drawing anything


class Killer:
    """Kills this process at the `kill_at`-th time that step `kill` is reached."""

    def __init__(self, kill: str, kill_at: int) -> None:
        self._kill = kill
        self._left = kill_at

    def __call__(self, step: str) -> None:
        if step == self._kill:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def main(words: dict[str, Any]) -> None:
    clock = SimulatedClock(utc_us=words["utc_us"])
    step = Killer(words.get("kill", ""), words.get("kill_at", 1))
    config = SpoolConfig(Path(words["spool"]), words.get("max_bytes", 1 << 34), 1 << 20)
    spool = Spool(config, POLE, clock, step)
    queue = RecorderQueue(10_000)
    ports = RecorderPorts(
        open_spool=lambda: spool,
        recipients=RecipientsFile(Path(words["recipient"])),
        make_segmenter=lambda video, begin: Segmenter(video, begin, SEGMENT_S, AvMuxer, InitSegmentGuard),
        protected_windows=list,
        boot_id=lambda: words["boot_id"],
        refuse_sound=lambda error: sys.exit(str(error)),
        reopen_source=lambda: None,
    )
    camera = RecordedCamera(CAMERA, "M-1", "traffic", words.get("expected_bytes", 1 << 16))
    faults = FaultBoard(clock)
    recorder = Recorder(camera, queue, ports, faults, clock)
    fed = os.open(words["fed"], os.O_WRONLY | os.O_CREAT, 0o600)
    source = SyntheticSource(clock, fps=FPS, gop_s=GOP_S, paced=False)
    queue.tell(Opened(source.open()))
    for number, frame in enumerate(source.frames(), 1):
        feed(queue, frame, clock)
        recorder.run_once()
        clock.advance(1 / FPS)
        os.pwrite(fed, b"%020d" % clock.utc_us(), 0)
        if words.get("delete") and number % 30 == 0:
            send_and_delete(spool)
        if number == words["frames"]:
            break
    recorder.stop()
    print(json.dumps([fault.code for fault in faults.standing()]))


def feed(queue: RecorderQueue, frame: EncodedFrame, clock: SimulatedClock) -> None:
    frame = replace(frame, payload=frame.payload + FILLER)
    queue.put(Arrived(frame, clock.utc_us()) if frame.keyframe else frame)


def send_and_delete(spool: Spool) -> None:
    for spooled in spool.pending(2):
        spool.receipt(spooled.segment, f"receipt of {spooled.sha256}")
    for segment in spool.receipted(10):
        spool.delete_receipted(segment)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
