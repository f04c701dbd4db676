"""The bell itself: one thread owns the alarm machine, the outbox and the light; everyone else posts to its inbox.

A press, in this order: light, commit (fsync), publish; nothing in that path sleeps or waits for the network.
Rules:
* a failing outbox stops nothing: the alarm is published from memory, the fault `outbox-unwritable` stands, and what
  could not be written is written as soon as the disk takes it;
* what the center sends is at most `MESSAGES` deep in the inbox (then dropped: it comes again), a press never;
* white means that the next press will reach a person: line good and read within `POLL_MAX_S`, center's beat not older
  than `BEAT_MAX_S` (N8); a beat counts only when it is a new one;
* a message that does not follow the contract changes nothing: fault `message-invalid` until a good one of its kind.
"""

import logging
import queue
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agent.bell.alarm import Action, AlarmState, Press, Publish, Step, Store, StoreReceipt, StoreUpdate
from agent.bell.contact_watch import LineReading
from agent.bell.light import Light
from agent.bell.line import Actuation
from agent.bell.outbox import Outbox, OutboxError
from agent.clock import Clock
from agent.contract import topics
from agent.contract.errors import ContractError
from agent.contract.messages import Alarm, AlarmReceipt, AlarmUpdate, CenterBeat, ClockState, decode, encode
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


Event = Actuation | LinkUp | FromCenter


@dataclass(frozen=True)
class BellSnapshot:
    """What others may know of the bell; replaced as a whole."""

    presses: int = 0
    waiting: int = 0
    ignored: int = 0
    beat_mono_s: float | None = None
    press_to_receipt_ms: float | None = None
    incidents: tuple[OpenIncident, ...] = ()


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
    ) -> None:
        self._identity = identity
        self._outbox = outbox
        self._light = light
        self._faults = faults
        self._clock = clock
        self._clock_state = clock_state
        self._inbox: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._link: Link | None = None
        self._line: Callable[[], LineReading] = LineReading
        self._state = AlarmState(identity.pole)
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
        self.snapshot = BellSnapshot()

    def attach(self, link: Link, line: Callable[[], LineReading]) -> None:
        """Name the link to publish on and where the line's reading is; before `run`."""
        self._link, self._line = link, line

    def post(self, event: Event) -> None:
        """Hand over an event; returns at once. Messages are dropped while `MESSAGES` wait."""
        if isinstance(event, FromCenter) and self._inbox.qsize() >= MESSAGES:
            log.warning("message dropped, the bell is busy topic=%s", event.topic)
            return
        self._inbox.put(event)

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
        self._outbox.close()

    def begin(self) -> None:
        """Remember what the outbox holds."""
        self._recall()
        self._look()

    def handle(self, event: Event) -> None:
        """Carry out one event."""
        if isinstance(event, Actuation):
            self._take(self._state.pressed(self._press(event)))
            log.warning("bell pressed line=%s held_at_boot=%s", event.line, event.held_at_boot)
        elif isinstance(event, LinkUp):
            self._take(self._state.connected(self._clock.mono_s()))
        else:
            self._hear(event)
        self._look()

    def tick(self) -> None:
        """Let time pass: resend what is due, write what could not be written, look after the light."""
        now = self._clock.mono_s()
        self._clock_now = self._clock_state()  # at most a tick old when a press needs it, and not asked in its path
        self._take(self._state.ticked(now))
        if (self._unwritten or not self._loaded) and now >= self._retry_mono_s:
            self._rewrite()
        self._look()

    def _wait_s(self) -> float:
        due = self._state.next_due_mono_s()
        return TICK_S if due is None else min(max(due - self._clock.mono_s(), 0.001), TICK_S)

    def _press(self, actuation: Actuation) -> Press:
        return Press(
            alarm_id=uuid.uuid4().hex,
            incident_id=uuid.uuid4().hex,
            pressed_at_us=self._clock.utc_us(),
            at_mono_s=actuation.at_mono_s,
            clock=self._clock_now,
            line=actuation.line,
            held_at_boot=actuation.held_at_boot,
            simulated=self._identity.simulated,
        )

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
        if self._link is not None and not self._link.publish(
            topics.up(self._identity.pole, "alarm"), encode(alarm), qos=1
        ):
            self._link.hurry()

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

    def _outbox_failed(self, error: OutboxError) -> None:
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

    def _rewrite(self) -> None:
        """Write what waits to be written, in the order in which it happened."""
        if not self._loaded:
            self._recall()
        try:
            while self._unwritten:
                self._commit(self._unwritten[0])
                self._unwritten.popleft()
        except OutboxError as error:
            self._outbox_failed(error)
            return
        if self._loaded:
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
                self._take(self._state.receipted(decode(message.payload, AlarmReceipt)))
            elif message.topic == topics.down(self._identity.pole, "answer"):
                self._take(self._state.updated(decode(message.payload, AlarmUpdate)))
        except ContractError as error:
            self._faults.report_error(error, kind)
        else:
            self._faults.clear("message-invalid", kind)

    def _beat(self, beat: CenterBeat) -> None:
        if beat != self._last_beat:
            self._last_beat = beat
            self._beat_mono_s = self._clock.mono_s()

    def _in_service(self) -> bool:
        now = self._clock.mono_s()
        line = self._line()
        polled = line.polled_mono_s is not None and now - line.polled_mono_s <= POLL_MAX_S
        return line.good and polled and self._center_lives(now)

    def _center_lives(self, now: float) -> bool:
        return self._beat_mono_s is not None and now - self._beat_mono_s <= BEAT_MAX_S

    def _show(self) -> None:
        self._light.show(self._state.light(self._clock.mono_s(), in_service=self._in_service()))

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
        )

    def _tend(self) -> None:
        """Nobody waits: the time for upkeep."""
        now = self._clock.mono_s()
        try:
            if now >= self._windows_mono_s:
                self._windows_mono_s = now + WINDOWS_S
                self._incidents = self._windows()
            if now >= self._tend_mono_s and not self._unwritten:
                self._tend_mono_s = now + TEND_S
                self._outbox.tend()
        except OutboxError as error:
            self._outbox_failed(error)

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
