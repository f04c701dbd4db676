"""Presses in test mode: the alarm machine once more, with tests in it and nothing real. Pure.

Rules: a test is shown and resent as an alarm is, but calls nobody, is not stored (a test that dies with the process is
pressed again) and is given up with its test run; at most `WAITING` are resent; its light is green and never sounds.
"""

from dataclasses import dataclass, replace

from agent.bell.alarm import Action, AlarmState, Press, Publish, StoreReceipt
from agent.bell.indicator import LightState
from agent.contract.messages import AlarmReceipt

WAITING = 20
SHOWN_S = 3.0
GIVEN_UP_S = 60.0

TrialStep = tuple["Trial", tuple[Action, ...]]


@dataclass(frozen=True)
class Trial:
    """One test run: from the beginning of test mode until it ends. `received_mono_s` is the newest receipt's time."""

    machine: AlarmState
    received_mono_s: float | None = None

    def pressed(self, press: Press) -> TrialStep:
        """A press in test mode."""
        machine, actions = self.machine.pressed(press)
        return replace(self, machine=replace(machine, waiting=machine.waiting[-WAITING:])), _published(actions)

    def receipted(self, receipt: AlarmReceipt, now_mono_s: float) -> tuple["Trial", float | None]:
        """The center has a test; return also when it was pressed (monotonic), or None when it is none of ours."""
        machine, actions = self.machine.receipted(receipt)
        if not actions:
            return self, None
        (found,) = [action for action in actions if isinstance(action, StoreReceipt)]
        return replace(self, machine=machine, received_mono_s=now_mono_s), found.pressed_mono_s

    def connected(self, now_mono_s: float) -> TrialStep:
        """The session stands: send what waits."""
        machine, actions = self.machine.connected(now_mono_s)
        return replace(self, machine=machine), _published(actions)

    def ticked(self, now_mono_s: float) -> TrialStep:
        """Time passed: send again what is due."""
        machine, actions = self.machine.ticked(now_mono_s)
        return replace(self, machine=machine), _published(actions)

    def over(self, now_mono_s: float) -> bool:
        """Whether nothing of the run is worth waiting for any more."""
        return all(now_mono_s - waiting.pressed_mono_s > GIVEN_UP_S for waiting in self.machine.waiting)

    def light(self, now_mono_s: float) -> LightState | None:
        """Return what the tester must see now, None when nothing of a test."""
        if self.machine.waiting:
            return LightState.TEST_CALLING
        fresh = self.received_mono_s is not None and now_mono_s - self.received_mono_s <= SHOWN_S
        return LightState.TEST_RECEIVED if fresh else None


def _published(actions: tuple[Action, ...]) -> tuple[Action, ...]:
    return tuple(action for action in actions if isinstance(action, Publish))
