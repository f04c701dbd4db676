"""The bell itself: one thread owns alarm machine, outbox, mode and inspections; everyone else posts to its inbox.

A press, in this order: light, commit (fsync), publish; nothing in that path sleeps or waits for the network.
Rules:
* a failing outbox stops nothing: the alarm is published from memory, the fault `outbox-unwritable` stands, and what
  could not be written is written as soon as the disk takes it;
* what the center sends is at most `MESSAGES` deep in the inbox (then dropped: it comes again), a press never;
* white means that the next press will reach a person: line good and read within `POLL_MAX_S`, center's beat not older
  than `BEAT_MAX_S` (N8), no test mode; a beat counts only when it is a new one;
* a press in test mode goes to `up/test/alarm` unless it is the third within 5 s (`mode.py`); in maintenance it is real;
* modes, self-tests and upkeep have their turn only when the inbox is empty: a press never waits for more than one;
* a message that does not follow the contract changes nothing: fault `message-invalid` until a good one of its kind.
"""

import logging
import queue
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agent.bell.alarm import Action, AlarmState, Press, Publish, Step, Store, StoreReceipt, StoreReopened, StoreUpdate
from agent.bell.contact_watch import LineReading
from agent.bell.indicator import LightState
from agent.bell.inspector import Inspector, InspectorParts
from agent.bell.light import Light
from agent.bell.line import Actuation
from agent.bell.mode import Mode, check_mode
from agent.bell.mode_keeper import ModeKeeper
from agent.bell.outbox import Outbox, OutboxError
from agent.bell.self_test import PRESS_S, RECEIPT_S
from agent.bell.trial import Trial, TrialStep
from agent.clock import Clock
from agent.contract import topics
from agent.contract.errors import ContractError
from agent.contract.messages import (
    Alarm,
    AlarmReceipt,
    AlarmUpdate,
    CenterBeat,
    ClockState,
    Inspection,
    decode,
    encode,
)
from agent.fault_board import FaultBoard
from agent.mqtt.link import Link
from agent.status_file import OpenIncident
from agent.supervise import WorkerContext

log = logging.getLogger(__name__)

TICK_S = 0.2
BEAT_MAX_S = 35.0
POLL_MAX_S = 1.0
RETRY_S = 5.0
TEND_S = 60.0
WINDOWS_S = 10.0
FOOTAGE_EXTRA_S = 600.0
SESSION_LOST_S = 5.0
PRESS_TEST = "press test"
CALLING_LIGHTS = (LightState.CALLING, LightState.NOT_RECEIVED, LightState.SIREN)
MESSAGES = 500
UNWRITTEN = 1000


@dataclass(frozen=True)
class LinkUp:
    """The session stands."""


@dataclass(frozen=True)
class FromCenter:
    """A message of the center, as it came."""

    topic: str
    payload: bytes


@dataclass(frozen=True)
class SetMode:
    """Somebody with the right to do so sets the mode; checked already."""

    mode: Mode
    seconds: float
    by: str
    reason: str


@dataclass(frozen=True)
class RunSelfTest:
    """Somebody with the right to do so wants a self-test now."""

    by: str


@dataclass(frozen=True)
class ExpectPress:
    """An officer at the pole will press within `wait_s` seconds, as a test."""

    work_order: str
    officer: str
    wait_s: float


Wish = SetMode | RunSelfTest | ExpectPress
Event = Actuation | LinkUp | FromCenter | Wish


@dataclass(frozen=True)
class BellSnapshot:
    """What others may know of the bell; replaced as a whole."""

    presses: int = 0
    waiting: int = 0
    ignored: int = 0
    beat_mono_s: float | None = None
    press_to_receipt_ms: float | None = None
    incidents: tuple[OpenIncident, ...] = ()
    mode: Mode = "normal"
    mode_until_us: int | None = None
    self_test_at_us: int | None = None
    self_test_round_trip_ms: float | None = None


@dataclass(frozen=True)
class BellIdentity:
    """Who rings: the pole, whether its button is simulated, and how long after a press footage belongs to it."""

    pole: str
    simulated: bool
    window_after_s: float


class Bell:
    """The alarm machine at work. `post` may be called from any thread; the rest belongs to `run`."""

    def __init__(
        self,
        identity: BellIdentity,
        outbox: Outbox,
        light: Light,
        faults: FaultBoard,
        clock: Clock,
        clock_state: Callable[[], ClockState],
        modes: ModeKeeper,
    ) -> None:
        self._identity = identity
        self._modes = modes
        self._outbox = outbox
        self._light = light
        self._faults = faults
        self._clock = clock
        self._clock_state = clock_state
        self._inbox: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._link: Link | None = None
        self._line: Callable[[], LineReading] = LineReading
        self._state = AlarmState(identity.pole)
        self._trial = Trial(self._state)
        self._loaded = False
        self._damage: Path | None = None
        self._unwritten: deque[Action] = deque(maxlen=UNWRITTEN)
        self._retry_mono_s = self._tend_mono_s = self._windows_mono_s = clock.mono_s()
        self._clock_now = clock_state()
        self._last_beat: CenterBeat | None = None
        self._beat_mono_s: float | None = None
        self._started_mono_s = clock.mono_s()
        self._press_to_receipt_ms: float | None = None
        self._incidents: tuple[OpenIncident, ...] = ()
        self._disk_failed = self._modes_known = False
        self._unserved: Actuation | None = None
        self._session_lost_mono_s: float | None = None
        self._inspector = self._make_inspector()
        self.snapshot = BellSnapshot()

    def attach(self, link: Link, line: Callable[[], LineReading]) -> None:
        """Name the link to publish on and where the line's reading is; before `run`."""
        self._link, self._line = link, line

    def post(self, event: Event) -> None:
        """Hand over an event; returns at once. Messages are dropped while `MESSAGES` wait."""
        if isinstance(event, FromCenter) and self._inbox.qsize() >= MESSAGES:
            log.warning("message dropped, the bell is busy topic=%s", event.topic)
            return
        if isinstance(event, Actuation):
            self._light_at_once(event)
        self._inbox.put(event)

    def _light_at_once(self, actuation: Actuation) -> None:
        """Answer a press in the contact's own thread: ours may be waiting for the disk with somebody's receipt (N7)."""
        self._unserved = actuation
        if self._modes.state.at(self._clock.mono_s()).mode != "test" and self._light.state not in CALLING_LIGHTS:
            self._light.show(LightState.CALLING)

    def set_mode(self, mode: Mode, seconds: float, by: str, reason: str) -> None:
        """Set the mode for `seconds` (0 for normal); returns at once, the next heartbeat tells it.

        Raises:
            ModeError: no such mode, or not for that long.
        """
        check_mode(mode, seconds)
        self.post(SetMode(mode, seconds, by, reason))

    def run_self_test(self, by: str) -> None:
        """Begin a self-test as soon as no alarm waits; its inspection goes to the center by itself."""
        self.post(RunSelfTest(by))

    def expect_press(self, work_order: str, officer: str, wait_s: float = PRESS_S) -> None:
        """Take the next press within `wait_s` seconds as an assisted test, in test mode; its inspection follows.

        Raises:
            ModeError: longer than a test may last.
        """
        check_mode("test", wait_s + RECEIPT_S)
        self.post(ExpectPress(work_order, officer, wait_s))

    def run(self, context: WorkerContext) -> None:
        """Serve the inbox until the service stops."""
        self.begin()
        while not context.stopping:
            context.beat()
            try:
                event = self._inbox.get(timeout=self._wait_s())
            except queue.Empty:
                self.tick()
                self._tend()
                continue
            self.handle(event)
            self.tick()
        self._modes.close()
        self._outbox.close()

    def begin(self) -> None:
        """Remember what the outbox holds."""
        self._recall()
        self._recall_mode()
        self._look()

    def handle(self, event: Event) -> None:
        """Carry out one event."""
        if isinstance(event, Actuation):
            self._actuated(event)
        elif isinstance(event, LinkUp):
            self._take(self._state.connected(self._clock.mono_s()))
            self._try(self._trial.connected(self._clock.mono_s()))
            self._inspector.connected()
        elif isinstance(event, FromCenter):
            self._hear(event)
        else:
            self._wish(event)
        self._look()

    def tick(self) -> None:
        """Let time pass: resend what is due, write what could not be written, look after the light."""
        now = self._clock.mono_s()
        self._clock_now = self._clock_state()  # at most a tick old when a press needs it, and not asked in its path
        self._take(self._state.ticked(now))
        self._try(self._trial.ticked(now))
        if (self._unwritten or not self._loaded or self._disk_failed) and now >= self._retry_mono_s:
            self._rewrite()
        self._look()

    def _wait_s(self) -> float:
        dues = (self._state.next_due_mono_s(), self._trial.machine.next_due_mono_s())
        due = min((due for due in dues if due is not None), default=None)
        return TICK_S if due is None else min(max(due - self._clock.mono_s(), 0.001), TICK_S)

    def _press(self, actuation: Actuation, mode: Mode) -> Press:
        return Press(
            alarm_id=uuid.uuid4().hex,
            incident_id=uuid.uuid4().hex,
            pressed_at_us=self._clock.utc_us(),
            at_mono_s=actuation.at_mono_s,
            clock=self._clock_now,
            line=actuation.line,
            held_at_boot=actuation.held_at_boot,
            simulated=self._identity.simulated,
            mode=mode,
        )

    def _actuated(self, actuation: Actuation) -> None:
        if actuation is self._unserved:
            self._unserved = None
        was_test = self._modes.state.at(self._clock.mono_s()).mode == "test"
        real = self._modes.pressed(self._clock.mono_s())
        if real:
            mode: Mode = self._modes.state.mode
            self._take(self._state.pressed(self._press(actuation, mode)))
        else:
            mode = "test"
            self._try(self._trial.pressed(self._press(actuation, mode)))
            self._inspector.tried(self._trial.machine.waiting[-1].alarm)
        log.warning("bell pressed line=%s held_at_boot=%s mode=%s", actuation.line, actuation.held_at_boot, mode)
        if was_test and real:
            log.warning("the test became real: three presses in a row")

    def _wish(self, wish: Wish) -> None:
        """Do what a person with the right to it asked for."""
        if isinstance(wish, SetMode):
            self._modes.set(wish.mode, wish.seconds, wish.by, wish.reason)
        elif isinstance(wish, RunSelfTest):
            log.warning("self-test wanted by=%s", wish.by)
            self._inspector.run_self_test()
        else:
            if self._modes.state.at(self._clock.mono_s()).mode != "test":
                self._modes.set("test", wish.wait_s + RECEIPT_S, wish.officer, PRESS_TEST)
            self._inspector.begin_press_test(wish.work_order, wish.officer, wish.wait_s)

    def _try(self, step: TrialStep) -> None:
        """Adopt the test run, show it, publish what it sends."""
        self._trial, actions = step
        if actions:
            self._show()
        for action in actions:
            if isinstance(action, Publish):
                self._publish(action.alarm)

    def _take(self, step: Step) -> None:
        """Adopt the new state, show it, then carry out the actions in their order."""
        self._state, actions = step
        if not actions:
            return
        self._show()
        for action in actions:
            if isinstance(action, Publish):
                self._publish(action.alarm)
            else:
                self._write(action)

    def _publish(self, alarm: Alarm) -> None:
        topic = topics.test_up if alarm.mode == "test" else topics.up
        if self._link is not None and not self._link.publish(topic(alarm.pole, "alarm"), encode(alarm), qos=1):
            self._link.hurry()

    def _publish_inspection(self, inspection: Inspection) -> bool:
        topic = topics.up(inspection.pole, "inspection")
        return self._link is not None and self._link.publish(topic, encode(inspection), qos=1)

    def _write(self, action: Action) -> None:
        if isinstance(action, StoreReceipt):
            self._press_to_receipt_ms = (self._clock.mono_s() - action.pressed_mono_s) * 1000
            log.info(
                "alarm receipted alarm_id=%s press_to_receipt_ms=%.3f",
                action.receipt.alarm_id,
                self._press_to_receipt_ms,
            )
        self._windows_mono_s = self._clock.mono_s()
        if self._unwritten:
            self._unwritten.append(action)  # the order of writing is the order of happening
            return
        try:
            self._commit(action)
        except OutboxError as error:
            self._unwritten.append(action)
            self._outbox_failed(error)
        self._tell_damage()

    def _commit(self, action: Action) -> None:
        if isinstance(action, Store):
            self._outbox.add(action.alarm)
        elif isinstance(action, StoreReceipt):
            self._outbox.receipt(action.receipt)
        elif isinstance(action, StoreUpdate):
            self._outbox.update(action.update)
        elif isinstance(action, StoreReopened):
            self._outbox.reopen(action.incident_id)

    def _outbox_failed(self, error: OutboxError) -> None:
        self._disk_failed = True
        self._retry_mono_s = self._clock.mono_s() + RETRY_S
        self._faults.report_error(error)

    def _recall(self) -> None:
        try:
            stored = self._outbox.load(self._identity.pole, self._clock.mono_s())
        except OutboxError as error:
            self._outbox_failed(error)
            return
        self._loaded = True
        self._state = self._state.recovered(stored)
        self._tell_damage()

    def _recall_mode(self) -> None:
        try:
            self._modes.begin()
        except OutboxError as error:
            self._outbox_failed(error)
        else:
            self._modes_known = True

    def _rewrite(self) -> None:
        """Write what waits to be written, in the order in which it happened."""
        if not self._loaded:
            self._recall()
        if not self._modes_known:
            self._recall_mode()
        try:
            self._outbox.write_check()
            while self._unwritten:
                self._commit(self._unwritten[0])
                self._unwritten.popleft()
        except OutboxError as error:
            self._outbox_failed(error)
            return
        if self._loaded:
            self._disk_failed = False
            self._faults.clear("outbox-unwritable")
        self._tell_damage()

    def _tell_damage(self) -> None:
        """A damaged outbox may have held alarms: put back what we know; the fault stands until the next start."""
        if self._outbox.damaged is None or self._outbox.damaged == self._damage:
            return
        self._damage = self._outbox.damaged
        text = f"the outbox was damaged, moved to {self._damage} and begun anew; replace the disk"
        self._faults.report("outbox-unwritable", text, "quarantine")
        self._unwritten.extendleft(Store(waiting.alarm) for waiting in reversed(self._state.waiting))
        self._retry_mono_s = self._clock.mono_s()

    def _hear(self, message: FromCenter) -> None:
        kind = message.topic.rsplit("/", 1)[-1]
        try:
            if message.topic == topics.CENTER_BEAT:
                self._beat(decode(message.payload, CenterBeat))
            elif message.topic == topics.down(self._identity.pole, "receipt"):
                self._receipted(decode(message.payload, AlarmReceipt))
            elif message.topic == topics.down(self._identity.pole, "answer"):
                self._take(self._state.updated(decode(message.payload, AlarmUpdate)))
        except ContractError as error:
            self._faults.report_error(error, kind)
        else:
            self._faults.clear("message-invalid", kind)

    def _receipted(self, receipt: AlarmReceipt) -> None:
        """Take a receipt: of an alarm, else of a test, else of an inspection, else of nothing we know."""
        if not any(waiting.alarm.alarm_id == receipt.alarm_id for waiting in self._state.waiting):
            now = self._clock.mono_s()
            self._trial, pressed_mono_s = self._trial.receipted(receipt, now)
            if pressed_mono_s is not None:
                self._inspector.trial_receipted(receipt.alarm_id, (now - pressed_mono_s) * 1000)
                return
            if self._inspector.receipted(receipt):
                return
        self._take(self._state.receipted(receipt))

    def _beat(self, beat: CenterBeat) -> None:
        if beat != self._last_beat:
            self._last_beat = beat
            self._beat_mono_s = self._clock.mono_s()

    def _in_service(self) -> bool:
        now = self._clock.mono_s()
        line = self._line()
        polled = line.polled_mono_s is not None and now - line.polled_mono_s <= POLL_MAX_S
        return line.good and polled and self._center_lives(now) and self._session_stands(now)

    def _session_stands(self, now: float) -> bool:
        """Return whether there is a session, or was one a moment ago: white must promise nothing that is known cut."""
        if self._link is None or self._link.health().session:
            self._session_lost_mono_s = None
        elif self._session_lost_mono_s is None:
            self._session_lost_mono_s = now
        return self._session_lost_mono_s is None or now - self._session_lost_mono_s <= SESSION_LOST_S

    def _center_lives(self, now: float) -> bool:
        return self._beat_mono_s is not None and now - self._beat_mono_s <= BEAT_MAX_S

    def _show(self) -> None:
        self._light.show(self._shown(self._clock.mono_s()))

    def _shown(self, now: float) -> LightState:
        """Return the light: a real call first, then a test press, then an open incident, then the mode."""
        mode = self._modes.state.at(now).mode
        if self._unserved is not None and mode != "test" and not self._state.waiting:
            return LightState.CALLING
        if not self._state.waiting:
            tried = self._trial.light(now)
            if tried is not None:
                return tried
            if self._state.incident_id is None and mode == "test":
                return LightState.TEST
        return self._state.light(now, in_service=self._in_service())

    def _look(self) -> None:
        """Show the light and renew the snapshot."""
        self._show()
        now = self._clock.mono_s()
        if self._center_lives(now):
            self._faults.clear("link-down", "center")
        elif now - max(self._beat_mono_s or 0.0, self._started_mono_s) > BEAT_MAX_S:
            self._faults.report("link-down", f"no beat of the center for {BEAT_MAX_S:.0f} s", "center")
        self.snapshot = BellSnapshot(
            presses=self._state.presses,
            waiting=len(self._state.waiting),
            ignored=self._state.ignored,
            beat_mono_s=self._beat_mono_s,
            press_to_receipt_ms=self._press_to_receipt_ms,
            incidents=self._incidents,
            mode=self._modes.state.mode,
            mode_until_us=self._modes.until_us(),
            self_test_at_us=self._inspector.last_self_test_us,
            self_test_round_trip_ms=self._inspector.round_trip_ms,
        )

    def _tend(self) -> None:
        """Nobody waits: the time for everything that is no press. One that fails does not keep the others back."""
        now = self._clock.mono_s()
        self._inspector.tick(alarms_wait=bool(self._state.waiting))
        for duty in (self._tend_mode, self._tend_windows, self._tend_outbox):
            try:
                duty(now)
            except OutboxError as error:
                self._outbox_failed(error)

    def _tend_mode(self, now: float) -> None:
        """Let the mode expire, end a test run with its mode."""
        state = self._modes.state
        if state.mode == "test" and state.reason == PRESS_TEST and self._inspector.press_test is None:
            self._modes.set("normal", 0.0, state.by, f"{PRESS_TEST} done")
        if self._modes.state.mode != "test" and self._trial.over(now):
            self._trial = Trial(AlarmState(self._identity.pole))
        self._modes.tick(save=not self._disk_failed)

    def _tend_windows(self, now: float) -> None:
        if now >= self._windows_mono_s:
            self._windows_mono_s = now + WINDOWS_S
            self._incidents = self._windows()

    def _tend_outbox(self, now: float) -> None:
        if now >= self._tend_mono_s and not self._unwritten:
            self._tend_mono_s = now + TEND_S
            self._outbox.tend()

    def _make_inspector(self) -> Inspector:
        return Inspector(
            InspectorParts(
                self._identity.pole,
                self._outbox,
                self._light,
                self._faults,
                self._clock,
                self._clock_state,
                lambda: self._line(),
                self._beat_age_s,
                BEAT_MAX_S,
                self._publish_inspection,
                self._outbox_failed,
            )
        )

    def _beat_age_s(self) -> float | None:
        return None if self._beat_mono_s is None else self._clock.mono_s() - self._beat_mono_s

    def _windows(self) -> tuple[OpenIncident, ...]:
        """Return the presses whose footage goes first: the stored ones, and those that could not be stored."""
        since_us = self._clock.utc_us() - round((self._identity.window_after_s + FOOTAGE_EXTRA_S) * 1_000_000)
        alarms = [waiting.alarm for waiting in self._state.waiting]
        ours = [OpenIncident(incident_id=a.incident_id, pressed_at_us=a.pressed_at_us) for a in alarms]
        try:
            stored = self._outbox.windows(since_us)
        except OutboxError:
            self._incidents = tuple(ours)
            raise
        return (*stored, *(incident for incident in ours if incident not in stored))
