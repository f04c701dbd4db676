"""The heartbeat that the bell service sends: the health service's, completed; or a minimal one that says so."""

import pytest

from agent.bell.bell import BellSnapshot
from agent.bell.bell_report import BellReport
from agent.bell.contact_watch import LineReading
from agent.bell.indicator import RecordingIndicator
from agent.bell.light import Light
from agent.clock import SimulatedClock
from agent.contract.messages import ClockState, Fault, Heartbeat, decode
from agent.fault_board import FaultBoard
from agent.mqtt.link import LinkHandlers
from agent.mqtt.memory_link import MemoryLink
from agent.status_file import ServiceStatus, read_status, write_status

CLOCK = ClockState(synced=True, source="ntp", error_us=1)


class Rig:
    def __init__(self, run_dir):
        self.run_dir = run_dir
        self.clock = SimulatedClock()
        self.faults = FaultBoard(self.clock)
        self.link = MemoryLink(LinkHandlers(lambda: None, lambda: None, lambda *_: None), self.clock)
        self.report = BellReport(
            "pole-1",
            run_dir,
            30.0,
            5.0,
            lambda: BellSnapshot(presses=3, waiting=1),
            lambda: LineReading("idle", True, self.clock.mono_s() - 0.5),
            Light(RecordingIndicator(), self.faults, self.clock),
            self.link,
            self.faults,
            self.clock,
            lambda: CLOCK,
        )

    def write_health(self, *faults):
        beat = Heartbeat(
            pole="pole-1",
            session="",
            seq=0,
            at_us=1,
            uptime_s=77,
            agent_version="9",
            clock=CLOCK,
            faults=list(faults),
        )
        status = ServiceStatus(
            service="health", pid=1, written_at_us=1, written_mono_s=self.clock.mono_s(), heartbeat=beat
        )
        write_status(self.run_dir, status)

    def sent(self):
        return [decode(message.payload, Heartbeat) for message in self.link.published]

    def run_for(self, seconds):
        for _ in range(int(seconds / 0.25)):
            self.report.step()
            self.clock.advance(0.25)


@pytest.fixture
def rig(tmp_path):
    return Rig(tmp_path)


def codes(beat):
    return [fault.code for fault in beat.faults]


def fault(code, subject=""):
    return Fault(code=code, subject=subject, since_us=1)


def test_the_heartbeat_is_health_s_with_our_session_sequence_and_reading(rig):
    rig.write_health(fault("disk-low"))
    rig.link.connect()
    rig.report.step()
    (beat,) = rig.sent()
    assert (beat.uptime_s, beat.agent_version, beat.seq) == (77, "9", 1)
    assert beat.session == rig.link.health().session
    assert (beat.bell.line, beat.bell.line_poll_age_s, beat.bell.presses) == ("idle", 0.5, 3)
    assert codes(beat) == ["disk-low"]


def test_it_goes_out_every_heartbeat_s_and_at_once_in_a_new_session(rig):
    rig.run_for(60)
    assert rig.sent() == []
    rig.link.connect()
    rig.run_for(61)
    assert [beat.seq for beat in rig.sent()] == [1, 2, 3]
    rig.link.connect()
    rig.run_for(1)
    assert rig.sent()[-1].seq == 1


@pytest.mark.parametrize("age_s", [15.5, 1000.0])
def test_a_stale_health_file_gives_a_minimal_heartbeat_that_says_so(rig, age_s):
    rig.write_health(fault("disk-low"))
    rig.clock.advance(age_s)
    beat = rig.report.heartbeat()
    assert codes(beat) == ["health-silent"]
    assert beat.bell is not None and beat.agent_version != "9"
    rig.write_health()
    assert codes(rig.report.heartbeat()) == []


def test_a_missing_or_damaged_health_file_is_silence_too(rig):
    assert codes(rig.report.heartbeat()) == ["health-silent"]
    (rig.run_dir / "health.json").write_bytes(b"{")
    assert codes(rig.report.heartbeat()) == ["health-silent"]


def test_our_faults_are_merged_as_they_stand_now(rig):
    rig.faults.report("bell-line-cut", subject="bell")
    rig.write_health(fault("bell-line-cut", "bell"), fault("link-down"))
    assert codes(rig.report.heartbeat()) == ["link-down", "bell-line-cut"]
    rig.faults.clear("bell-line-cut", "bell")
    assert codes(rig.report.heartbeat()) == ["link-down"]


def test_the_status_file_is_written_every_second(rig):
    rig.run_for(1)
    first = read_status(rig.run_dir, "bell").written_mono_s
    rig.run_for(5)
    assert read_status(rig.run_dir, "bell").written_mono_s - first >= 4


def test_a_run_dir_that_is_gone_is_logged_once(rig, caplog):
    rig.report._run_dir = rig.run_dir / "gone"
    rig.run_for(5)
    assert caplog.text.count("bell.json cannot be written") == 1
