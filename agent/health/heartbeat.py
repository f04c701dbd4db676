"""Composes the pole's heartbeat from the probes and the other services' status files (N8, R-MAINT).

Rules:
* a part that cannot be measured or did not report is absent, never a constant;
* readings come only from services that spoke within `SILENT_S`; the last known faults of a silent service stay,
  because nobody saw them end;
* `session` is "" and `bell` is absent: the bell service, which owns the MQTT session, fills both in;
* `seq` counts compositions since this process started; the same (code, subject) appears once, with its oldest
  `since_us`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from agent import __version__
from agent.clock import Clock
from agent.clock_sync import read_clock_state
from agent.contract.messages import ClockState, CpuReading, DiskReading, Fault, Heartbeat, MemoryReading
from agent.fault_board import FaultBoard
from agent.health.judgement import (
    SILENT_S,
    Verdict,
    judge_bell,
    judge_camera,
    judge_clock,
    judge_cpu,
    judge_disk,
    judge_memory,
    judge_silence,
    judge_upload,
)
from agent.status_file import ServiceStatus


@dataclass(frozen=True)
class Probes:
    """Where each measured part comes from; a probe returns None where the board has no such part."""

    disk: Callable[[], DiskReading | None]
    cpu: Callable[[], CpuReading | None]
    memory: Callable[[], MemoryReading | None]
    uptime_s: Callable[[], int]
    clock_state: Callable[[], ClockState] = read_clock_state


@dataclass(frozen=True)
class Expected:
    """What belongs to this pole: its id, the services that must speak, and the room the spool keeps free."""

    pole: str
    services: Sequence[str]
    min_free_bytes: int


class HeartbeatComposer:
    """Holds what one composition needs of the last: the standing faults, the sequence, when the clock was in step."""

    def __init__(self, expected: Expected, probes: Probes, faults: FaultBoard, clock: Clock) -> None:
        self._expected = expected
        self._probes = probes
        self._faults = faults
        self._clock = clock
        self._seq = 0
        self._started_mono_s = clock.mono_s()
        self._synced_mono_s = clock.mono_s()

    def compose(self, statuses: Mapping[str, ServiceStatus]) -> Heartbeat:
        """Probe, judge, and return the heartbeat for the services' `statuses` (by service name)."""
        speaking = {name: status for name, status in statuses.items() if abs(self._silent_s(status)) <= SILENT_S}
        heartbeat = self._gather(speaking)
        bell = speaking["bell"].bell if "bell" in speaking else None
        for verdict in [*self._verdicts(heartbeat, statuses), *([judge_bell(bell)] if bell else [])]:
            self._apply(verdict)
        theirs = [fault for name, status in statuses.items() if name != "health" for fault in status.faults]
        return msgspec.structs.replace(heartbeat, faults=merge_faults([*self._faults.standing(), *theirs]))

    def _gather(self, speaking: Mapping[str, ServiceStatus]) -> Heartbeat:
        upload = speaking.get("upload")
        spools = [status.spool for status in (upload, *speaking.values()) if status and status.spool]
        self._seq += 1
        return Heartbeat(
            pole=self._expected.pole,
            session="",
            seq=self._seq,
            at_us=self._clock.utc_us(),
            uptime_s=self._probes.uptime_s(),
            agent_version=__version__,
            clock=self._probes.clock_state(),
            disk=self._probes.disk(),
            cpu=self._probes.cpu(),
            memory=self._probes.memory(),
            spool=spools[0] if spools else None,
            upload=upload.upload if upload else None,
            cameras={n.removeprefix("camera-"): s.camera for n, s in speaking.items() if s.camera is not None},
        )

    def _verdicts(self, heartbeat: Heartbeat, statuses: Mapping[str, ServiceStatus]) -> Iterator[Verdict]:
        now_mono_s = self._clock.mono_s()
        if heartbeat.clock.synced:
            self._synced_mono_s = now_mono_s
        yield judge_clock(heartbeat.clock, now_mono_s - self._synced_mono_s)
        yield from judge_silence({name: self._silent_s(statuses.get(name)) for name in self._expected.services})
        yield from judge_disk(heartbeat.disk, self._expected.min_free_bytes)
        yield from judge_memory(heartbeat.memory)
        yield from judge_cpu(heartbeat.cpu)
        for camera_id, camera in heartbeat.cameras.items():
            yield from judge_camera(camera_id, camera)
        if heartbeat.upload:
            yield from judge_upload(heartbeat.upload, heartbeat.spool)

    def _apply(self, verdict: Verdict) -> None:
        if verdict.stands:
            self._faults.report(verdict.code, verdict.detail, verdict.subject)
        elif verdict.stands is False:
            self._faults.clear(verdict.code, verdict.subject)

    def _silent_s(self, status: ServiceStatus | None) -> float:
        last_mono_s = status.written_mono_s if status else self._started_mono_s
        return self._clock.mono_s() - last_mono_s


def merge_faults(faults: Iterable[Fault]) -> list[Fault]:
    """Return the faults oldest first, one for each (code, subject): the oldest."""
    merged: dict[tuple[str, str], Fault] = {}
    for fault in sorted(faults, key=lambda fault: fault.since_us):
        merged.setdefault((fault.code, fault.subject), fault)
    return list(merged.values())
