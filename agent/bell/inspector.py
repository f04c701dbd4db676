"""Runs self-tests and assisted press tests, and brings their inspections to the center. Owned by the bell's thread.

Steps: gather the points (an indicator test first, where a sense is wired) -> commit -> publish -> receipt.
Rules:
* alarms first: nothing is begun or published while an alarm waits for its receipt, and a press ends a lamp test;
* what waits is published again at each connection and every `RESEND_S`, at most `BATCH` at once;
* an inspection that could not be committed is published from memory and committed as soon as the disk takes it.
"""

import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from agent.bell import self_test
from agent.bell.contact_watch import LineReading
from agent.bell.inspection_book import InspectionBook
from agent.bell.light import Light
from agent.bell.outbox import Outbox, OutboxError
from agent.clock import Clock
from agent.contract.messages import Alarm, AlarmReceipt, ClockState, Inspection, InspectionPoint
from agent.fault_board import FaultBoard

log = logging.getLogger(__name__)

FAULT = "bell-self-test-failed"
SUBJECT = "bell"
LAMP_S = 0.3
PATIENCE_S = 300.0
SETTLE_S = 5.0
RESEND_S = 60.0
RETRY_S = 5.0
BATCH = 5
MEMORY = 400


@dataclass(frozen=True)
class InspectorParts:
    """What the inspector works with; `beat_age_s` and `line` are asked when a point is judged."""

    pole: str
    outbox: Outbox
    light: Light
    faults: FaultBoard
    clock: Clock
    clock_state: Callable[[], ClockState]
    line: Callable[[], LineReading]
    beat_age_s: Callable[[], float | None]
    beat_max_s: float
    publish: Callable[[Inspection], bool]
    disk_failed: Callable[[OutboxError], None]


@dataclass(frozen=True)
class PressTest:
    """A press that somebody promised; `alarm_id` once it was made."""

    work_order: str
    officer: str
    started_at_us: int
    until_mono_s: float
    wait_s: float
    alarm_id: str = ""
    line: str | None = None


@dataclass(frozen=True)
class _Proof:
    """A self-test on its way: what it failed of, when it was published."""

    inspection_id: str
    failures: str
    sent_mono_s: float


class Inspector:
    """`tick` does what is due; `round_trip_ms` is the last self-test's, None before one or when it failed."""

    def __init__(self, parts: InspectorParts) -> None:
        self._parts = parts
        self._clock = parts.clock
        self._book = InspectionBook(parts.outbox)
        self._waiting: dict[str, Inspection] = {}
        self._uncommitted: list[Inspection | AlarmReceipt] = []
        self._loaded = False
        self._last_us = 0
        self._not_before_mono_s = parts.clock.mono_s() + self_test.FIRST_S
        self._resend_mono_s = self._retry_mono_s = parts.clock.mono_s()
        self._wanted = False
        self._again = False
        self._running_since_us: int | None = None
        self._settling_mono_s: float | None = None
        self._proof: _Proof | None = None
        self.press_test: PressTest | None = None
        self.round_trip_ms: float | None = None

    @property
    def last_self_test_us(self) -> int | None:
        """When the last self-test ended, passed or not."""
        return self._last_us or None

    def run_self_test(self) -> None:
        """Begin a self-test as soon as no alarm waits."""
        self._wanted = True

    def begin_press_test(self, work_order: str, officer: str, wait_s: float) -> None:
        """Take the next test press within `wait_s` seconds as the proof of the button."""
        now_us, now = self._clock.utc_us(), self._clock.mono_s()
        self.press_test = PressTest(work_order, officer, now_us, now + wait_s, wait_s)

    def tried(self, alarm: Alarm) -> None:
        """A press came in test mode."""
        test = self.press_test
        if test is not None and not test.alarm_id:
            until = self._clock.mono_s() + self_test.RECEIPT_S
            self.press_test = PressTest(
                test.work_order, test.officer, test.started_at_us, until, test.wait_s, alarm.alarm_id, alarm.line
            )

    def trial_receipted(self, alarm_id: str, took_ms: float) -> None:
        """The center has the test press."""
        if self.press_test is not None and self.press_test.alarm_id == alarm_id:
            self._end_press_test(took_ms)

    def receipted(self, receipt: AlarmReceipt) -> bool:
        """Take the center's receipt of an inspection; return whether it was one of ours."""
        found = self._waiting.pop(receipt.alarm_id, None)
        if found is None:
            return False
        self._commit(receipt)
        proof = self._proof
        if proof is not None and proof.inspection_id == receipt.alarm_id:
            self._proved(proof)
        elif found.kind == "self-test" and self._again:
            self._wanted = True  # the way is open again: prove it now, not in an hour
        return True

    def connected(self) -> None:
        """The session stands: what waits is due."""
        self._resend_mono_s = self._clock.mono_s()

    def tick(self, *, alarms_wait: bool) -> None:
        """Do what is due."""
        now = self._clock.mono_s()
        if now >= self._retry_mono_s:
            self._recall_and_write()
        if not alarms_wait and now >= self._resend_mono_s:
            self._resend_mono_s = now + RESEND_S
            for inspection in list(self._waiting.values())[:BATCH]:
                self._parts.publish(inspection)
        if self._proof is not None and now - self._proof.sent_mono_s > self_test.RECEIPT_S:
            self._failed(f"round-trip: no receipt within {self_test.RECEIPT_S:.0f} s; check the dedicated link")
        if self.press_test is not None and now >= self.press_test.until_mono_s:
            self._end_press_test(None)
        if not alarms_wait:
            self._test_self(now)

    def _test_self(self, now: float) -> None:
        """Begin a self-test that is due, and finish it when its lamp test is over."""
        parts = self._parts
        if self._running_since_us is not None:
            self._go_on(now)
        elif (self._wanted or (now >= self._not_before_mono_s and self._due())) and self._line_settled(now):
            self._wanted = self._again = False
            self._running_since_us = self._clock.utc_us()
            if parts.light.sensed:
                parts.light.begin_test(LAMP_S)
            else:
                self._go_on(now)

    def _line_settled(self, now: float) -> bool:
        """Return whether the line may be judged: just after a press or a start it is good, but not for long yet."""
        line = self._parts.line()
        if not line.good or line.good_polls >= self_test.GOOD_POLLS:
            self._settling_mono_s = None
            return True
        if self._settling_mono_s is None:
            self._settling_mono_s = now
        if now - self._settling_mono_s < SETTLE_S:
            return False
        self._settling_mono_s = None
        return True

    def _due(self) -> bool:
        return self._again or self_test.due(self._parts.pole, self._clock.utc_us(), self._last_us)

    def _go_on(self, now: float) -> None:
        lamps = self._parts.light.lamp_test
        if self._parts.light.sensed and lamps is not None and lamps.broken_off:
            self._running_since_us, self._again = None, True
            self._not_before_mono_s = now + PATIENCE_S
        elif not self._parts.light.sensed or lamps is None or lamps.ended:
            self._finish(now)

    def _finish(self, now: float) -> None:
        """All points are known: commit, publish, and wait for the receipt."""
        assert self._running_since_us is not None, "a self-test is running"
        inspection = self._inspection("self-test", self._running_since_us, self._points())
        self._running_since_us = None
        self._last_us = inspection.finished_at_us
        self._not_before_mono_s = now + self_test.AGAIN_S
        self._proof = _Proof(inspection.inspection_id, self_test.failures(inspection.points), now)
        self._send(inspection)
        if self._proof.failures:
            self._parts.faults.report(FAULT, self._proof.failures, SUBJECT)

    def _points(self) -> list[InspectionPoint]:
        parts = self._parts
        return [
            self_test.line_point(parts.line()),
            *self_test.lamp_points(parts.light.follows(), parts.light.sensed, parts.light.lamp_test),
            self._outbox_point(),
            self_test.center_point(parts.beat_age_s(), parts.beat_max_s),
            self_test.clock_point(parts.clock_state()),
            *self_test.round_trip_points(self.round_trip_ms),
        ]

    def _outbox_point(self) -> InspectionPoint:
        began = self._clock.mono_s()
        try:
            self._parts.outbox.write_check()
        except OutboxError as error:
            return self_test.outbox_point(None, str(error))
        return self_test.outbox_point((self._clock.mono_s() - began) * 1000)

    def _proved(self, proof: _Proof) -> None:
        self._proof = None
        self.round_trip_ms = (self._clock.mono_s() - proof.sent_mono_s) * 1000
        log.info("self-test receipted round_trip_ms=%.1f failed=%s", self.round_trip_ms, proof.failures or "nothing")
        if proof.failures:
            self._again = True
        else:
            self._parts.faults.clear(FAULT, SUBJECT)

    def _failed(self, why: str) -> None:
        failed = "; ".join(part for part in (self._proof.failures if self._proof else "", why) if part)
        self._proof, self.round_trip_ms, self._again = None, None, True
        self._parts.faults.report(FAULT, failed, SUBJECT)

    def _end_press_test(self, took_ms: float | None) -> None:
        test, self.press_test = self.press_test, None
        assert test is not None, "a press test is running"
        points = [
            *self_test.press_points(test.line, took_ms, test.wait_s),
            self_test.clock_point(self._parts.clock_state()),
        ]
        inspection = self._inspection("press-test", test.started_at_us, points, test.work_order, test.officer)
        self._send(inspection)

    def _inspection(self, kind: object, started_us: int, points: list[InspectionPoint], *whose: str) -> Inspection:
        work_order, officer = whose or ("", "")
        return Inspection(
            inspection_id=uuid.uuid4().hex,
            pole=self._parts.pole,
            kind="press-test" if kind == "press-test" else "self-test",
            started_at_us=started_us,
            finished_at_us=self._clock.utc_us(),
            clock=self._parts.clock_state(),
            points=points,
            work_order=work_order,
            officer=officer,
        )

    def _send(self, inspection: Inspection) -> None:
        failed = self_test.failures(inspection.points) or "nothing"
        log.info("inspection made kind=%s failed=%s", inspection.kind, failed)
        self._commit(inspection)
        self._waiting[inspection.inspection_id] = inspection
        while len(self._waiting) > MEMORY:
            del self._waiting[next(iter(self._waiting))]
        self._parts.publish(inspection)

    def _commit(self, what: Inspection | AlarmReceipt) -> None:
        self._uncommitted = [*self._uncommitted, what][-MEMORY:]
        self._recall_and_write()

    def _recall_and_write(self) -> None:
        """Read what waits, commit what is not, in its order; a disk that fails is tried again after `RETRY_S`."""
        try:
            if not self._loaded:
                self._recall()
            while self._uncommitted:
                what = self._uncommitted[0]
                if isinstance(what, Inspection):
                    self._book.add(what)
                else:
                    self._book.receipt(what)
                del self._uncommitted[0]
        except OutboxError as error:
            self._retry_mono_s = self._clock.mono_s() + RETRY_S
            self._parts.disk_failed(error)

    def _recall(self) -> None:
        last = self._book.last_self_test()
        self._waiting = {found.inspection_id: found for found in self._book.waiting()} | self._waiting
        self._loaded = True
        if last is not None and last.finished_at_us > self._last_us:
            self._last_us = last.finished_at_us
            failed = self_test.failures(last.points)
            if failed:
                self._again = True
                self._parts.faults.report(FAULT, failed, SUBJECT)
