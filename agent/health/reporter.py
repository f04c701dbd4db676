"""The health service's two workers: one composes and writes `health.json`, one tests the disk.

Rules:
* the status file is rewritten every `WRITE_S` with the newest heartbeat, which is composed every `probe_s`: both
  in one thread, so a probe that hangs also lets the file grow old, and the bell service reports `health-silent`;
* the disk test has a thread of its own, because a hung disk blocks for minutes and must be *reported* as such;
  it is therefore allowed a long silence.
"""

import os
from pathlib import Path

from agent.clock import Clock
from agent.fault_board import FaultBoard
from agent.health.heartbeat import HeartbeatComposer
from agent.health.probes.disk import DiskProbe
from agent.status_file import ServiceStatus, read_all_status, write_status
from agent.supervise import WorkerContext

SERVICE = "health"
WRITE_S = 1.0
DISK_SILENCE_S = 3600.0


class HealthReporter:
    """Reads the other services' status in `run_dir` and writes `health.json` beside them."""

    def __init__(
        self, run_dir: Path, probe_s: float, composer: HeartbeatComposer, faults: FaultBoard, clock: Clock
    ) -> None:
        self._run_dir = run_dir
        self._probe_s = probe_s
        self._composer = composer
        self._faults = faults
        self._clock = clock

    def run(self, context: WorkerContext) -> None:
        """Compose every `probe_s`, write every `WRITE_S`, until the service stops."""
        heartbeat = self._composer.compose(read_all_status(self._run_dir))
        composed_mono_s = self._clock.mono_s()
        while True:
            status = ServiceStatus(
                service=SERVICE,
                pid=os.getpid(),
                written_at_us=self._clock.utc_us(),
                written_mono_s=self._clock.mono_s(),
                faults=self._faults.standing(),
                heartbeat=heartbeat,
            )
            write_status(self._run_dir, status)
            if context.wait(min(WRITE_S, self._probe_s)):
                return
            if self._clock.mono_s() - composed_mono_s >= self._probe_s:
                heartbeat = self._composer.compose(read_all_status(self._run_dir))
                composed_mono_s = self._clock.mono_s()


def run_disk_test(probe: DiskProbe, every_s: float, context: WorkerContext) -> None:
    """Test the disk every `every_s` until the service stops."""
    while True:
        probe.run_once()
        if context.wait(every_s):
            return
