"""The end-of-line resistor: what the voltage says, for the network that is really wired.

`level_of` computes the voltage from resistances, so that the tests speak of rain and rust and not of numbers.
Streams are sampled every 10 ms, as the watch polls.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.bell.adc_reader import SimulatedAdc
from agent.bell.contact import Levels
from agent.bell.contact_watch import POLL_S
from agent.bell.resistor_contact import ResistorContact
from agent.bell.resistor_line import CUT_MIN, DRIFT_S, FALL_S, HYSTERESIS, NOMINAL, STEP, ResistorLine
from agent.clock import SimulatedClock

PULL_UP = END = 4_700.0
BUTTON = 1_500.0
DRY = 50_000.0


def parallel(first, second):
    return 1 / (1 / first + 1 / second)


def level_of(pressed=False, cable=0.0, leak=1e12, where=1.0, tolerance=1.0):
    """Per mille of full scale: `cable` ohms in series, `leak` ohms across it at the share `where` of its length."""
    far = parallel(END, BUTTON) if pressed else END
    line = cable * where + parallel(leak, cable * (1 - where) + far * tolerance)
    return 1000 * line / (PULL_UP + line)


class Stream:
    """A line sampled every 10 ms."""

    def __init__(self):
        self.line, self.now = ResistorLine(), 100.0

    def hold(self, level, seconds):
        for _ in range(max(round(seconds / POLL_S), 1)):
            self.now += POLL_S
            self.line = self.line.sample(self.now, level)
        return self.line.kind

    def rest(self, level):
        """Come to rest there as slowly as rust and rain do."""
        at = self.line.level
        for step in range(1, 31):
            self.now += 10.0
            self.line = self.line.sample(self.now, at + (level - at) * step / 30)
        for _ in range(int(FALL_S) * 6):
            self.now += 1.0
            self.line = self.line.sample(self.now, level)
        return self.line.kind


@pytest.mark.parametrize(
    ("level", "kind"),
    [
        (level_of(), "idle"),
        (level_of(pressed=True), "pressed"),
        (1000.0, "cut"),
        (0.0, "short"),
        (level_of(cable=100.0), "idle"),  # 1 km of cable
        (level_of(pressed=True, cable=100.0), "pressed"),
    ],
)
def test_the_four_lines_are_told_apart_by_their_first_sample(level, kind):
    assert ResistorLine().sample(1.0, level).kind == kind


@given(st.floats(0.95, 1.05), st.booleans())
def test_five_percent_resistors_change_nothing(tolerance, pressed):
    line = ResistorLine().sample(1.0, level_of(pressed, tolerance=tolerance))
    assert line.kind == ("pressed" if pressed else "idle")
    assert line.drift is None


@given(
    cable=st.floats(0, 1e6),
    leak=st.floats(DRY, 1e9),
    where=st.floats(0, 1),
)
def test_a_line_that_says_idle_rings_when_pressed(cable, leak, where):
    """However rusted the cable is: it either says cut, or the press is seen."""
    stream = Stream()
    kind = stream.rest(level_of(False, cable, leak, where))
    if kind == "idle":
        assert stream.hold(level_of(True, cable, leak, where), 0.01) in ("pressed", "short")


@given(leak=st.floats(1, 1e9))
def test_a_line_in_water_that_says_idle_rings_when_pressed(leak):
    stream = Stream()
    if stream.rest(level_of(leak=leak)) == "idle":
        assert stream.hold(level_of(True, leak=leak), 0.01) in ("pressed", "short")


@given(st.floats(430, 570), st.lists(st.floats(-20, 20), min_size=20, max_size=200))
def test_noise_on_a_resting_line_is_never_a_press(level, noise):
    stream = Stream()
    stream.rest(level)
    for shift in noise:
        assert stream.hold(level + shift, 0.01) == "idle"


@given(st.lists(st.floats(0, 1000), max_size=100), st.floats(0, 20))
def test_no_history_hides_a_press_of_a_sound_button(levels, hole_s):
    stream = Stream()
    for level in levels:
        stream.hold(level, 0.01)
    stream.now += hole_s
    assert stream.hold(level_of(pressed=True), 0.01) == "pressed"


@given(st.floats(300, CUT_MIN - HYSTERESIS - 1), st.floats(0, 1000))
@settings(max_examples=30)  # each is minutes of the line's life
def test_after_any_disturbance_a_line_comes_to_rest_again(level, disturbance):
    stream = Stream()
    stream.rest(level)
    stream.hold(disturbance, 5.0)
    stream.hold(level, 1.0)
    assert stream.rest(level) == "idle"


@pytest.mark.parametrize(("from_level", "to_level"), [(CUT_MIN, "cut"), (60.0, "short"), (280.0, "pressed")])
def test_a_level_that_trembles_at_a_limit_does_not_chatter(from_level, to_level):
    stream = Stream()
    stream.hold(from_level, 0.1)
    assert stream.line.kind == to_level
    for _ in range(50):
        for tremble in (-HYSTERESIS + 1, HYSTERESIS - 1):
            assert stream.hold(from_level + tremble, 0.01) == to_level


def test_a_cut_a_release_and_a_repair_return_to_idle():
    stream = Stream()
    for level, kind in ((1000.0, "cut"), (NOMINAL, "idle"), (0.0, "short"), (NOMINAL, "idle")):
        assert stream.hold(level, 1.0) == kind


def test_a_fresh_bad_joint_that_lifts_the_level_at_once_does_not_hide_the_next_press():
    stream = Stream()
    stream.hold(level_of(), 60)
    stream.hold(level_of(cable=3_000), 1.0)
    assert stream.hold(level_of(True, cable=3_000), 0.01) == "pressed"


def test_a_spark_of_one_sample_does_not_leave_a_press_behind():
    stream = Stream()
    stream.hold(NOMINAL, 1.0)
    stream.hold(CUT_MIN - 1, 0.01)
    assert stream.hold(NOMINAL, 0.01) == "idle"


@pytest.mark.parametrize(
    ("level", "drift"),
    [
        (level_of(leak=10_000), "wet"),
        (level_of(cable=2_500), "corroded"),
        (level_of(), None),
    ],
)
def test_a_wrong_rest_is_a_drift_only_when_it_lasts(level, drift):
    stream = Stream()
    stream.hold(level, DRIFT_S - 1)
    assert stream.line.standing_drift(stream.now) is None
    stream.hold(level, 60)
    assert stream.line.standing_drift(stream.now) == drift


def test_a_press_on_a_drifting_line_leaves_its_drift_standing_and_drying_ends_it():
    stream, wet = Stream(), level_of(leak=10_000)
    stream.rest(wet)
    stream.hold(level_of(True, leak=10_000), 0.5)
    assert stream.line.standing_drift(stream.now) == "wet"
    stream.rest(level_of())
    assert stream.line.standing_drift(stream.now) is None


def test_a_button_held_at_the_start_is_a_press_even_on_a_rusted_line():
    assert Stream().hold(level_of(True, cable=1_000), 0.01) == "pressed"
    assert NOMINAL - level_of(True, cable=1_000) >= STEP


def test_each_line_looks_to_the_watch_like_two_contacts():
    adc, clock = SimulatedAdc(), SimulatedClock()
    contact = ResistorContact(adc, clock.mono_s, lambda drift, level: None)
    contact.open(lambda edge: None)
    seen = []
    for level in (500.0, 195.0, 1000.0, 0.0):
        adc.set(level)
        clock.advance(POLL_S)
        seen.append(contact.levels())
    assert seen == [Levels(False, True), Levels(True, False), Levels(False, False), Levels(True, True)]


def test_a_drift_is_told_once_when_it_stands_and_once_when_it_ends():
    adc, clock, told = SimulatedAdc(level_of(cable=2_500)), SimulatedClock(), []
    contact = ResistorContact(adc, clock.mono_s, lambda drift, level: told.append(drift))
    contact.open(lambda edge: None)
    for level in (level_of(cable=2_500), 540.0, 515.0):
        adc.set(level)
        for _ in range(100):
            clock.advance(1.0)
            contact.levels()
    assert told == ["corroded", None]
