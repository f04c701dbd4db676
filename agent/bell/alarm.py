"""The alarm: from a press to a person's answer. Pure: frozen values, one method per event.

    ready -> calling -> received -> seen -> answered -> dispatched -> ready
             (press)    (center's   (an operator's word each; any may be left out)  (operator
                         receipt)                                                    closes)

Rules:
* latched: only the center's words lead out of `calling` and beyond; a release does nothing, the citizen cannot cancel;
* `received` needs the center's receipt of every press; a PUBACK is not delivery (DESIGN decision 8);
* a press in an open incident is a new alarm of the same incident with the next `press_number`; what a person has said
  stays said (the center does the same); after closing, the next press begins a new incident that names the closed one;
* an operator's word only leads forward: a `seen` after `answered` changes nothing;
* a close that crosses a press of that incident on its way does not close it, for nobody has seen that press: such a
  close meets an unreceipted alarm, or is older (`at_us`) than the newest receipt (`committed_at_us`), both center time;
* without a receipt an alarm is sent again after `RESEND_S`, then every last value; all of them, oldest first, at each
  new connection; `NOT_RECEIVED_S` after the last press the light says so, `SIREN_S` after any the siren goes on;
* a receipt or update for something unknown changes nothing and is counted.
Actions are carried out in their order: the caller shows the light first, then stores, then publishes.
"""

from dataclasses import dataclass, replace
from typing import Literal, get_args

from agent.bell.indicator import LightState
from agent.bell.mode import Mode
from agent.contract.messages import Alarm, AlarmReceipt, AlarmUpdate, ClockState

Phase = Literal["ready", "calling", "received", "seen", "answered", "dispatched"]
Word = Literal["open", "seen", "answered", "dispatched"]
WORDS: tuple[Word, ...] = get_args(Word)

RESEND_S = (2.0, 4.0, 8.0, 15.0)
NOT_RECEIVED_S = 2.0
SIREN_S = 15.0


@dataclass(frozen=True)
class Press:
    """A stable press as the service saw it; `alarm_id` and `incident_id` are fresh ids (uuid4 hex) to use if needed."""

    alarm_id: str
    incident_id: str
    pressed_at_us: int
    at_mono_s: float
    clock: ClockState
    line: Literal["pressed", "cut", "short", "contact-fault"] = "pressed"
    held_at_boot: bool = False
    simulated: bool = False
    mode: Mode = "normal"


@dataclass(frozen=True)
class Waiting:
    """An alarm without a receipt; `sends` counts attempts since the last connection, `due_mono_s` is the next one."""

    alarm: Alarm
    pressed_mono_s: float
    due_mono_s: float
    sends: int = 1


@dataclass(frozen=True)
class Store:
    """Commit the alarm to the outbox."""

    alarm: Alarm


@dataclass(frozen=True)
class Publish:
    """Hand the alarm to the link."""

    alarm: Alarm


@dataclass(frozen=True)
class StoreReceipt:
    """Commit the receipt; only now may the outbox forget the alarm. `pressed_mono_s` is for the measured delay."""

    receipt: AlarmReceipt
    pressed_mono_s: float


@dataclass(frozen=True)
class StoreUpdate:
    """Commit what the operator did."""

    update: AlarmUpdate


@dataclass(frozen=True)
class StoreReopened:
    """Commit that the operator's words were about an earlier call of the incident: nobody has answered this one."""

    incident_id: str


Action = Store | Publish | StoreReceipt | StoreUpdate | StoreReopened
Step = tuple["AlarmState", tuple[Action, ...]]


@dataclass(frozen=True)
class AlarmState:
    """Everything the bell must remember; all but `presses` and `ignored` comes back from the outbox after a restart.

    `word` is the furthest an operator has said of the open incident; `previous_incident_id` is the one before it, or
    the last one while none is open.
    """

    pole: str
    incident_id: str | None = None
    press_number: int = 0
    word: Word = "open"
    waiting: tuple[Waiting, ...] = ()
    receipted_at_us: int = 0
    previous_incident_id: str = ""
    presses: int = 0
    ignored: int = 0

    @property
    def phase(self) -> Phase:
        """Return where the alarm stands."""
        if self.waiting:
            return "calling"
        if self.incident_id is None:
            return "ready"
        return "received" if self.word == "open" else self.word

    def light(self, now_mono_s: float, *, in_service: bool) -> LightState:
        """Return what the citizen must see; white only while a press is certain to reach a person."""
        if self.waiting:
            ages_s = [now_mono_s - waiting.pressed_mono_s for waiting in self.waiting]
            if max(ages_s) >= SIREN_S:
                return LightState.SIREN
            return LightState.NOT_RECEIVED if min(ages_s) >= NOT_RECEIVED_S else LightState.CALLING
        if self.incident_id is not None:
            return LightState.ANSWERED if self.word in ("answered", "dispatched") else LightState.RECEIVED
        return LightState.READY if in_service else LightState.OUT_OF_SERVICE

    def pressed(self, press: Press) -> Step:
        """A stable press, or a contact found held at start."""
        alarm = Alarm(
            alarm_id=press.alarm_id,
            incident_id=self.incident_id or press.incident_id,
            press_number=self.press_number + 1,
            pole=self.pole,
            pressed_at_us=press.pressed_at_us,
            clock=press.clock,
            line=press.line,
            held_at_boot=press.held_at_boot,
            simulated=press.simulated,
            mode=press.mode,
            previous_incident_id=self.previous_incident_id,
        )
        waiting = Waiting(alarm, press.at_mono_s, press.at_mono_s + RESEND_S[0])
        state = replace(
            self,
            incident_id=alarm.incident_id,
            press_number=alarm.press_number,
            waiting=(*self.waiting, waiting),
            receipted_at_us=self.receipted_at_us if self.incident_id else 0,
            presses=self.presses + 1,
        )
        return state, (Store(alarm), Publish(alarm))

    def receipted(self, receipt: AlarmReceipt) -> Step:
        """The center has committed an alarm."""
        found = [waiting for waiting in self.waiting if waiting.alarm.alarm_id == receipt.alarm_id]
        if not found:
            return replace(self, ignored=self.ignored + 1), ()
        rest = tuple(waiting for waiting in self.waiting if waiting is not found[0])
        ours = found[0].alarm.incident_id == self.incident_id
        newest_us = max(self.receipted_at_us, receipt.committed_at_us) if ours else self.receipted_at_us
        return replace(self, waiting=rest, receipted_at_us=newest_us), (StoreReceipt(receipt, found[0].pressed_mono_s),)

    def updated(self, update: AlarmUpdate) -> Step:
        """An operator saw, answered, dispatched or closed an incident."""
        if update.incident_id != self.incident_id:
            return replace(self, ignored=self.ignored + 1), ()
        if update.state != "closed":
            if WORDS.index(update.state) <= WORDS.index(self.word):
                return self, ()
            return replace(self, word=update.state), (StoreUpdate(update),)
        unseen = any(waiting.alarm.incident_id == update.incident_id for waiting in self.waiting)
        if unseen or update.at_us < self.receipted_at_us:
            reopened = () if self.word == "open" else (StoreReopened(update.incident_id),)
            return replace(self, word="open", ignored=self.ignored + 1), reopened
        closed = replace(self, incident_id=None, press_number=0, word="open", previous_incident_id=update.incident_id)
        return closed, (StoreUpdate(update),)

    def connected(self, now_mono_s: float) -> Step:
        """The link is up: everything unreceipted goes out now, oldest first, and its schedule begins anew."""
        again = tuple(replace(w, sends=1, due_mono_s=now_mono_s + RESEND_S[0]) for w in self.waiting)
        return replace(self, waiting=again), tuple(Publish(waiting.alarm) for waiting in again)

    def ticked(self, now_mono_s: float) -> Step:
        """Time passed: send again what is due."""
        due = tuple(waiting for waiting in self.waiting if waiting.due_mono_s <= now_mono_s)
        if not due:
            return self, ()
        waiting = tuple(_again(w, now_mono_s) if w in due else w for w in self.waiting)
        return replace(self, waiting=waiting), tuple(Publish(w.alarm) for w in due)

    def recovered(self, stored: "AlarmState") -> "AlarmState":
        """Return this state joined with what the outbox gave back late: its older alarms first, our incident if any."""
        ours = {waiting.alarm.alarm_id for waiting in self.waiting}
        older = tuple(waiting for waiting in stored.waiting if waiting.alarm.alarm_id not in ours)
        base = self if self.incident_id is not None else stored
        return replace(base, waiting=older + self.waiting, presses=self.presses, ignored=self.ignored)

    def next_due_mono_s(self) -> float | None:
        """Return when `ticked` has something to do, or None."""
        return min((waiting.due_mono_s for waiting in self.waiting), default=None)


def _again(waiting: Waiting, now_mono_s: float) -> Waiting:
    wait_s = RESEND_S[min(waiting.sends, len(RESEND_S) - 1)]
    return replace(waiting, sends=waiting.sends + 1, due_mono_s=now_mono_s + wait_s)
