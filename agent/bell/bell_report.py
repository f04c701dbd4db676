"""What the bell service says of itself and for the pole: `bell.json` every second, the heartbeat every `heartbeat_s`.

Rules:
* the heartbeat is the health service's (`health.json`) with our session, sequence number, bell reading and faults;
* a `health.json` older than 3 x `probe_s` is no longer believed: a minimal heartbeat goes out with `health-silent`;
* our own faults are merged as they stand now; the copies that health read from `bell.json` are older and are left out;
* QoS 0 and newest wins: while there is no session nothing is kept, and a new session begins with a fresh heartbeat;
* a change of mode is told by a heartbeat at once.
"""

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from agent import __version__
from agent.bell.bell import BellSnapshot
from agent.bell.contact_watch import LineReading
from agent.bell.light import Light
from agent.clock import Clock
from agent.contract import topics
from agent.contract.messages import BellReading, ClockState, Fault, Heartbeat, encode
from agent.fault_board import FaultBoard
from agent.mqtt.link import Link
from agent.status_file import ServiceStatus, read_status, write_status
from agent.supervise import WorkerContext

log = logging.getLogger(__name__)

STEP_S = 0.25
STATUS_S = 1.0


class BellReport:
    """The worker that writes `bell.json` and sends heartbeats."""

    def __init__(
        self,
        pole: str,
        run_dir: Path,
        heartbeat_s: float,
        probe_s: float,
        bell: Callable[[], BellSnapshot],
        line: Callable[[], LineReading],
        light: Light,
        link: Link,
        faults: FaultBoard,
        clock: Clock,
        clock_state: Callable[[], ClockState],
    ) -> None:
        self._pole = pole
        self._run_dir = run_dir
        self._heartbeat_s = heartbeat_s
        self._health_max_s = 3 * probe_s
        self._bell = bell
        self._line = line
        self._light = light
        self._link = link
        self._faults = faults
        self._clock = clock
        self._clock_state = clock_state
        self._session = ""
        self._seq = 0
        self._told_mode = "normal"
        self._ours: set[tuple[str, str]] = set()
        self._status_mono_s = self._heartbeat_mono_s = self._started_mono_s = clock.mono_s()
        self._status_failed = False

    def run(self, context: WorkerContext) -> None:
        """Report until the service stops."""
        while not context.stopping:
            self.step()
            context.wait(STEP_S)

    def step(self) -> None:
        """Write and send what is due."""
        now = self._clock.mono_s()
        if now >= self._status_mono_s:
            self._status_mono_s = now + STATUS_S
            self.write_status()
        session = self._link.health().session
        mode = self._bell().mode
        news = session != self._session or mode != self._told_mode
        if session and (news or now >= self._heartbeat_mono_s):
            self._told_mode = mode
            self._heartbeat_mono_s = now + self._heartbeat_s
            self._seq = self._seq + 1 if session == self._session else 1
            self._session = session
            self._link.publish(topics.up(self._pole, "heartbeat"), encode(self.heartbeat()), qos=0)

    def hurry(self) -> None:
        """Send a heartbeat at the next step; may be called from any thread."""
        self._heartbeat_mono_s = self._clock.mono_s()

    def reading(self) -> BellReading:
        """Return the bell in numbers that moved."""
        snapshot, line, now = self._bell(), self._line(), self._clock.mono_s()
        puback = self._link.health().last_puback_mono_s
        polled = line.polled_mono_s if line.polled_mono_s is not None else self._started_mono_s
        return BellReading(
            line=line.kind,
            line_poll_age_s=round(now - polled, 3),
            light=self._light.state.value,
            presses=snapshot.presses,
            outbox_waiting=snapshot.waiting,
            center_beat_age_s=_age_s(now, snapshot.beat_mono_s),
            last_puback_age_s=_age_s(now, puback),
            last_press_to_receipt_ms=snapshot.press_to_receipt_ms,
            mode=snapshot.mode,
            mode_until_us=snapshot.mode_until_us,
            self_test_at_us=snapshot.self_test_at_us,
            self_test_round_trip_ms=snapshot.self_test_round_trip_ms,
        )

    def heartbeat(self) -> Heartbeat:
        """Return the pole's heartbeat as it must go out now."""
        status = read_status(self._run_dir, "health")
        base = status.heartbeat if status is not None else None
        fresh = status is not None and self._clock.mono_s() - status.written_mono_s <= self._health_max_s
        if base is None or not fresh:
            self._faults.report("health-silent", f"health.json is missing or older than {self._health_max_s:.0f} s")
            base = self._minimal()
        else:
            self._faults.clear("health-silent")
        return msgspec.structs.replace(
            base,
            pole=self._pole,
            session=self._session,
            seq=self._seq,
            at_us=self._clock.utc_us(),
            bell=self.reading(),
            faults=self._merged(base.faults),
        )

    def write_status(self) -> None:
        """Replace `bell.json`; a failure is logged once and tried again a second later."""
        status = ServiceStatus(
            service="bell",
            pid=os.getpid(),
            written_at_us=self._clock.utc_us(),
            written_mono_s=self._clock.mono_s(),
            faults=self._faults.standing(),
            bell=self.reading(),
            incidents=list(self._bell().incidents),
        )
        try:
            write_status(self._run_dir, status)
        except OSError as error:
            if not self._status_failed:
                log.error("bell.json cannot be written dir=%s error=%s", self._run_dir, error)
            self._status_failed = True
        else:
            self._status_failed = False

    def _merged(self, others: Sequence[Fault]) -> list[Fault]:
        ours = self._faults.standing()
        self._ours |= {(fault.code, fault.subject) for fault in ours}
        return [*(fault for fault in others if (fault.code, fault.subject) not in self._ours), *ours]

    def _minimal(self) -> Heartbeat:
        return Heartbeat(
            pole=self._pole,
            session=self._session,
            seq=self._seq,
            at_us=self._clock.utc_us(),
            uptime_s=int(self._clock.mono_s()),
            agent_version=__version__,
            clock=self._clock_state(),
        )


def _age_s(now_mono_s: float, then_mono_s: float | None) -> float | None:
    return None if then_mono_s is None else round(now_mono_s - then_mono_s, 3)
