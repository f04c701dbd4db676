"""Which lamps show what, and that a broken lamp never stops the alarm."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.bell.indicator import PARADE, PATTERNS, Lamps, LightState, RecordingIndicator, lamps_for
from agent.bell.light import RETRY_S, Light
from agent.bell.switch import SimulatedSwitch
from agent.clock import SimulatedClock
from agent.errors import HardwareError
from agent.fault_board import FaultBoard


@pytest.mark.parametrize("state", LightState)
def test_every_state_begins_with_a_lamp_on(state):
    lamps = lamps_for(state, 0.0)
    assert lamps.white or lamps.red or lamps.green


@pytest.mark.parametrize("since_s", [0.0, 0.3, 1.7, 99.9])
def test_white_means_ready_and_nothing_else(since_s):
    assert [state for state in LightState if lamps_for(state, since_s).white] == [LightState.READY]


@given(st.floats(min_value=0, max_value=1e6))
def test_the_siren_sounds_throughout_its_state_and_a_tone_opens_received(since_s):
    assert lamps_for(LightState.SIREN, since_s).siren
    assert lamps_for(LightState.RECEIVED, since_s).siren == (since_s < 0.4)
    assert not lamps_for(LightState.CALLING, since_s).siren


def test_calling_blinks_and_received_is_steady():
    assert {lamps_for(LightState.CALLING, n / 10).red for n in range(10)} == {True, False}
    assert {lamps_for(LightState.RECEIVED, n / 10).red for n in range(10)} == {True}


def test_amber_is_red_and_green_together_and_slow():
    assert lamps_for(LightState.OUT_OF_SERVICE, 0.9) == Lamps(red=True, green=True)
    assert lamps_for(LightState.OUT_OF_SERVICE, 1.1) == Lamps()


def test_no_two_states_look_alike_without_colour_but_the_steady_ones_which_sound_or_stand_apart():
    looks: dict[str, list[LightState]] = {}
    for state, (_, pattern) in PATTERNS.items():
        looks.setdefault(pattern, []).append(state)
    alike = sorted(tuple(state.value for state in states) for states in looks.values() if len(states) > 1)
    assert alike == [("calling", "siren"), ("ready", "received", "answered")]
    tones = [tones_of(state) for state in (LightState.READY, LightState.RECEIVED, LightState.ANSWERED)]
    assert tones == [0, 1, 2]


def tones_of(state):
    heard = [lamps_for(state, n / 100).siren for n in range(300)]
    return sum(now and not before for before, now in zip([False, *heard], heard, strict=False))


@pytest.mark.parametrize("state", [LightState.TEST, LightState.TEST_CALLING, LightState.TEST_RECEIVED])
def test_a_test_is_never_red_and_never_heard(state):
    shown = [lamps_for(state, n / 10) for n in range(50)]
    assert not any(lamps.red or lamps.siren or lamps.call112 for lamps in shown)


def test_the_call_112_sign_burns_steadily_with_the_siren_and_at_no_other_time():
    assert all(lamps_for(LightState.SIREN, n / 10).call112 for n in range(20))
    others = [state for state in LightState if state is not LightState.SIREN]
    assert not any(lamps_for(state, n / 10).call112 for state in others for n in range(20))


class Lamp:
    """A rig whose current sense is closed while a lamp that works is lit."""

    def __init__(self, burnt_out="", stuck=False):
        self.clock, self.indicator, self.sense = SimulatedClock(), RecordingIndicator(), SimulatedSwitch()
        self.faults = FaultBoard(self.clock)
        self.light = Light(self.indicator, self.faults, self.clock, self.sense)
        self._burnt_out, self._stuck = burnt_out, stuck
        self.light.refresh()

    def step(self, seconds=0.05):
        self.clock.advance(seconds)
        lit = self.indicator.lit()
        names = [name for name in ("white", "red", "green", "call112") if getattr(lit, name)]
        self.sense.set(self._stuck or any(name != self._burnt_out for name in names))
        self.light.refresh()

    def run_test(self):
        self.light.begin_test(0.3)
        for _ in range(40):
            self.step()
        return self.light.lamp_test


def test_an_indicator_test_shows_every_lamp_and_ends_where_it_began():
    rig = Lamp()
    rig.light.show(LightState.READY)
    rig.indicator.history.clear()
    assert rig.run_test().ended
    assert rig.indicator.history[:5] == list(PARADE)
    assert rig.indicator.lit() == Lamps(white=True)


def test_the_current_sense_tells_which_lamp_drew_and_whether_it_flows_in_the_dark():
    assert Lamp().run_test().drew == {"white", "red", "green", "call112"}
    assert Lamp(burnt_out="red").run_test().drew == {"white", "green", "call112"}
    assert "dark" in Lamp(stuck=True).run_test().drew


def test_a_press_ends_an_indicator_test_at_once():
    rig = Lamp()
    rig.light.begin_test(5.0)
    rig.light.show(LightState.CALLING)
    assert rig.indicator.lit() == Lamps(red=True)
    assert rig.light.lamp_test.broken_off
    rig.step()
    assert rig.indicator.lit() == Lamps(red=True)


def test_a_broken_sense_is_a_fault_of_its_own_and_darkens_nothing():
    rig = Lamp()
    rig.light.begin_test(1.0)
    rig.sense.set(None)
    rig.clock.advance(1.5)
    rig.light.refresh()
    assert [(fault.code, fault.subject) for fault in rig.faults.standing()] == [("hardware-unusable", "lamp-sense")]
    assert rig.indicator.lit() == Lamps(white=True)


def test_the_outputs_are_known_to_follow_or_not():
    rig = Lamp()
    assert rig.light.follows()
    rig.indicator.lit = lambda: Lamps(white=True, siren=True)
    assert not rig.light.follows()


class BrokenIndicator(RecordingIndicator):
    broken = True

    def drive(self, lamps):
        if self.broken:
            raise HardwareError("lamp burnt out")
        super().drive(lamps)


def test_a_change_is_shown_at_once():
    clock, indicator = SimulatedClock(), RecordingIndicator()
    light = Light(indicator, FaultBoard(clock), clock)
    light.show(LightState.CALLING)
    assert indicator.lit() == Lamps(red=True)
    clock.advance(0.25)
    light.refresh()
    assert indicator.lit() == Lamps()


def test_the_same_state_again_does_not_restart_its_pattern():
    clock, indicator = SimulatedClock(), RecordingIndicator()
    light = Light(indicator, FaultBoard(clock), clock)
    light.show(LightState.CALLING)
    clock.advance(0.25)
    light.show(LightState.CALLING)
    light.refresh()
    assert indicator.lit() == Lamps()


def test_broken_lamps_are_a_fault_and_are_tried_again():
    clock, indicator = SimulatedClock(), BrokenIndicator()
    faults = FaultBoard(clock)
    light = Light(indicator, faults, clock)
    light.show(LightState.CALLING)
    assert [(fault.code, fault.subject) for fault in faults.standing()] == [("hardware-unusable", "lamps")]
    indicator.broken = False
    clock.advance(RETRY_S)
    light.refresh()
    assert faults.standing() == []
    assert indicator.history
