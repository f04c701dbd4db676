"""The heartbeat: what did not report is absent and a fault; session and bell are the bell service's to fill in."""

import pytest

from agent.clock import SimulatedClock
from agent.contract.messages import (
    BellReading,
    CameraReading,
    ClockState,
    CpuReading,
    DiskReading,
    Fault,
    MemoryReading,
    SpoolReading,
    UploadReading,
)
from agent.fault_board import FaultBoard
from agent.health.heartbeat import Expected, HeartbeatComposer, Probes, merge_faults
from agent.status_file import ServiceStatus

SERVICES = ["camera-front", "upload", "bell"]


class Rig:
    """A composer over probes whose answers the test sets."""

    def __init__(self) -> None:
        self.clock = SimulatedClock()
        self.faults = FaultBoard(self.clock)
        self.disk: DiskReading | None = DiskReading(total_bytes=100 << 30, free_bytes=50 << 30, writable=True)
        self.cpu: CpuReading | None = None
        self.clock_state = ClockState(synced=True, source="ntp", error_us=900)
        self.statuses: dict[str, ServiceStatus] = {}
        probes = Probes(
            disk=lambda: self.disk,
            cpu=lambda: self.cpu,
            memory=lambda: MemoryReading(total_bytes=100, available_bytes=60),
            uptime_s=lambda: 77,
            clock_state=lambda: self.clock_state,
        )
        self.composer = HeartbeatComposer(Expected("gangseo-0142", SERVICES, 1 << 30), probes, self.faults, self.clock)

    def speak(self, service: str, **parts) -> None:
        self.statuses[service] = ServiceStatus(
            service=service, pid=1, written_at_us=self.clock.utc_us(), written_mono_s=self.clock.mono_s(), **parts
        )

    def all_speak(self) -> None:
        camera = CameraReading(
            state="recording", source="rtsp", width=1920, height=1080, fps=30.0, last_frame_age_s=0.0
        )
        self.speak("camera-front", camera=camera)
        self.speak("upload", upload=UploadReading(), spool=SpoolReading(pending_segments=3, pending_bytes=9))
        self.speak("bell", bell=_idle_bell())

    def compose(self):
        return self.composer.compose(self.statuses)


def _idle_bell(poll_age_s: float = 0.0) -> BellReading:
    return BellReading(line="idle", line_poll_age_s=poll_age_s, light="idle", presses=0, outbox_waiting=0)


@pytest.fixture
def rig() -> Rig:
    return Rig()


def codes(heartbeat) -> list[tuple[str, str]]:
    return [(fault.code, fault.subject) for fault in heartbeat.faults]


def test_a_healthy_pole_has_every_part_and_no_fault(rig):
    rig.all_speak()
    heartbeat = rig.compose()
    assert heartbeat.faults == []
    assert list(heartbeat.cameras) == ["front"]
    assert heartbeat.spool.pending_segments == 3
    assert heartbeat.upload is not None and heartbeat.disk is not None and heartbeat.memory is not None
    assert (heartbeat.pole, heartbeat.uptime_s) == ("gangseo-0142", 77)


def test_session_and_bell_are_left_to_the_bell_service(rig):
    rig.all_speak()
    heartbeat = rig.compose()
    assert heartbeat.session == ""
    assert heartbeat.bell is None


def test_the_sequence_counts_compositions(rig):
    assert [rig.compose().seq for _ in range(3)] == [1, 2, 3]


def test_a_part_the_board_does_not_have_is_absent(rig):
    rig.disk = None
    heartbeat = rig.compose()
    assert heartbeat.disk is None
    assert heartbeat.cpu is None


def test_services_have_five_seconds_to_speak_at_the_start(rig):
    assert rig.compose().faults == []
    rig.clock.advance(5.1)
    assert codes(rig.compose()) == [("service-silent", name) for name in SERVICES]


def test_a_service_that_falls_silent_loses_its_reading_and_is_a_fault(rig):
    rig.all_speak()
    rig.compose()
    rig.clock.advance(5.1)
    rig.speak("upload")
    rig.speak("bell")
    heartbeat = rig.compose()
    assert heartbeat.cameras == {}
    assert codes(heartbeat) == [("service-silent", "camera-front")]


def test_a_service_that_speaks_again_ends_its_fault(rig):
    rig.clock.advance(6)
    assert len(rig.compose().faults) == 3
    rig.all_speak()
    assert rig.compose().faults == []


def test_the_last_faults_of_a_silent_service_stay(rig):
    rig.all_speak()
    rig.speak("bell", faults=[Fault(code="bell-line-cut", since_us=5)], bell=_idle_bell())
    rig.clock.advance(6)
    rig.statuses = {"bell": rig.statuses["bell"]}
    assert ("bell-line-cut", "") in codes(rig.compose())


def test_a_fault_said_by_two_services_stands_once_with_its_oldest_time(rig):
    rig.all_speak()
    for name, since_us in (("camera-front", 50), ("upload", 20)):
        rig.speak(name, faults=[Fault(code="spool-unwritable", since_us=since_us)])
    found = [fault for fault in rig.compose().faults if fault.code == "spool-unwritable"]
    assert [fault.since_us for fault in found] == [20]


def test_an_old_health_file_does_not_feed_its_faults_back(rig):
    rig.all_speak()
    rig.speak("health", faults=[Fault(code="disk-low", since_us=1)])
    assert rig.compose().faults == []


def test_a_fault_keeps_its_beginning_while_it_stands(rig):
    rig.all_speak()
    rig.disk = DiskReading(total_bytes=1, free_bytes=0, writable=False)
    first = rig.compose().faults
    rig.clock.advance(3)
    assert [fault.since_us for fault in rig.compose().faults] == [fault.since_us for fault in first]


def test_a_clock_that_loses_its_server_is_a_fault_after_the_grace(rig):
    rig.compose()
    rig.clock_state = ClockState(synced=False, source="free-running", error_us=16_000_000)
    for _ in range(3):
        rig.clock.advance(59)
        rig.all_speak()
        heartbeat = rig.compose()
    assert codes(heartbeat) == [("clock-unsynced", "")]


def test_a_bell_whose_level_is_not_read_is_in_the_heartbeat(rig):
    rig.all_speak()
    rig.speak("bell", bell=_idle_bell(poll_age_s=9.0))
    assert codes(rig.compose()) == [("hardware-unusable", "bell")]


def test_merging_keeps_the_oldest_first():
    faults = [Fault(code="b", since_us=9), Fault(code="a", since_us=3), Fault(code="b", subject="x", since_us=5)]
    assert [fault.since_us for fault in merge_faults(faults)] == [3, 5, 9]
