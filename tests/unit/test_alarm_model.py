"""The alarm machine against a model: presses, receipts, operators, restarts and time in any order (hypothesis)."""

import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from agent.bell.alarm import NOT_RECEIVED_S, SIREN_S, AlarmState, Press, Publish, Store, StoreReceipt, StoreUpdate
from agent.bell.indicator import LightState
from agent.bell.outbox import Outbox
from agent.clock import SimulatedClock
from agent.contract.messages import AlarmReceipt, AlarmUpdate, ClockState

CLOCK = ClockState(synced=True, source="ntp", error_us=1)
WORDS = ("open", "seen", "answered", "dispatched")


class AlarmMachine(RuleBasedStateMachine):
    """The model: who pressed, what was receipted, what the operator said; the machine and its outbox must agree."""

    @initialize()
    def begin(self):
        self.clock = SimulatedClock(mono_s=0.0)
        self.directory = tempfile.TemporaryDirectory()
        self.outbox = Outbox(Path(self.directory.name) / "outbox.sqlite", self.clock)
        self.state = AlarmState("pole-1")
        self.pressed: list[str] = []
        self.receipted: set[str] = set()
        self.incident: str | None = None
        self.before = ""
        self.word = "open"
        self.center_us = 0
        self.siren_from = self.late_from = float("inf")

    def teardown(self):
        if hasattr(self, "outbox"):
            self.outbox.close()
            self.directory.cleanup()

    def take(self, step):
        """Carry the actions out in their order; what is published must be on disk first."""
        self.state, actions = step
        for action in actions:
            if isinstance(action, Store):
                self.outbox.add(action.alarm)
            elif isinstance(action, StoreReceipt):
                self.outbox.receipt(action.receipt)
            elif isinstance(action, StoreUpdate):
                self.outbox.update(action.update)
        return actions

    @rule()
    def press(self):
        number = len(self.pressed) + 1
        new = Press(f"alarm-{number}", f"incident-{number}", number, self.clock.mono_s(), CLOCK)
        store, publish = self.take(self.state.pressed(new))
        assert isinstance(store, Store) and isinstance(publish, Publish)
        self.incident = self.incident or f"incident-{number}"
        assert store.alarm.incident_id == self.incident
        assert store.alarm.previous_incident_id == self.before
        self.pressed.append(store.alarm.alarm_id)
        self.siren_from = min(self.siren_from, self.clock.mono_s() + SIREN_S)
        self.late_from = self.clock.mono_s() + NOT_RECEIVED_S

    @rule()
    def receipt_oldest(self):
        self.receipt(int(self.waiting()[0].removeprefix("alarm-")) if self.waiting() else 0)

    @rule(which=st.integers(0, 6))
    def receipt(self, which):
        """Also twice, and of an alarm that nobody sent."""
        alarm_id = f"alarm-{which}"
        known = alarm_id in self.pressed and alarm_id not in self.receipted
        self.center_us += 1
        ignored = self.state.ignored
        actions = self.take(self.state.receipted(AlarmReceipt(alarm_id=alarm_id, committed_at_us=self.center_us)))
        assert bool(actions) == known and (self.state.ignored > ignored) != known
        self.receipted |= {alarm_id} & set(self.pressed)

    @rule(state=st.sampled_from(["seen", "answered", "dispatched", "closed"]), ours=st.booleans(), old=st.booleans())
    def operator(self, state, ours, old):
        incident = (self.incident if ours else None) or "somebody-else"
        newest = self.state.receipted_at_us
        at_us = newest - 1 if old else self.center_us + 1
        update = AlarmUpdate(incident_id=incident, state=state, at_us=at_us, by="kim")
        self.take(self.state.updated(update))
        if incident != self.incident:
            return
        if state != "closed":
            self.word = max(self.word, state, key=WORDS.index)
        elif not self.waiting() and not old:
            self.incident, self.before, self.word = None, incident, "open"
        else:
            self.word = "open"

    @rule(seconds=st.floats(0.1, 20.0))
    def time(self, seconds):
        self.clock.advance(seconds)
        now = self.clock.mono_s()
        due = self.state.next_due_mono_s()
        actions = self.take(self.state.ticked(now))
        assert bool(actions) == (due is not None and due <= now)

    @rule()
    def connect(self):
        actions = self.take(self.state.connected(self.clock.mono_s()))
        assert [action.alarm.alarm_id for action in actions] == self.waiting()

    @rule()
    def die_and_start_again(self):
        self.outbox.close()
        self.state = self.outbox.load("pole-1", self.clock.mono_s())
        if self.waiting():
            self.siren_from = self.clock.mono_s() + SIREN_S
            self.late_from = self.clock.mono_s() + NOT_RECEIVED_S
        if self.incident is not None and self.word == "open":
            self.word = self.state.word  # a close that met a press is not on disk, what was said before it is

    def waiting(self):
        return [alarm_id for alarm_id in self.pressed if alarm_id not in self.receipted]

    @invariant()
    def nothing_leaves_without_its_receipt_and_oldest_first(self):
        if hasattr(self, "state"):
            assert [waiting.alarm.alarm_id for waiting in self.state.waiting] == self.waiting()

    @invariant()
    def the_incident_and_what_was_said_of_it_are_known(self):
        if hasattr(self, "state"):
            assert (self.state.incident_id, self.state.word) == (self.incident, self.word)
            assert self.state.previous_incident_id == self.before

    @invariant()
    def the_light_tells_the_truth(self):
        if not hasattr(self, "state"):
            return
        light = self.state.light(self.clock.mono_s(), in_service=True)
        if self.waiting():
            assert light in (LightState.CALLING, LightState.NOT_RECEIVED, LightState.SIREN)
        elif self.incident is None:
            assert light is LightState.READY
            self.siren_from = self.late_from = float("inf")
        else:
            answered = self.word in ("answered", "dispatched")
            assert light is (LightState.ANSWERED if answered else LightState.RECEIVED)
            self.siren_from = self.late_from = float("inf")
        if self.waiting() and self.clock.mono_s() < self.late_from:
            assert light is not LightState.NOT_RECEIVED


TestAlarmMachine = AlarmMachine.TestCase
TestAlarmMachine.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
