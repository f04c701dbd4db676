"""Which lamps show what, and that a broken lamp never stops the alarm."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.bell.indicator import Lamps, LightState, RecordingIndicator, lamps_for
from agent.bell.light import RETRY_S, Light
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
