"""The line: a press, a cut cable, a short and a dead contact are told apart, and none of them stays silent.

Streams are strings, one letter each 50 ms: `.` idle, `P` pressed, `C` both open (cut), `S` both closed (short).
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.bell.line import Line, LineLimits

STEP_S = 0.05
PAIRS = {".": (False, False), "P": (True, True), "C": (False, True), "S": (True, False)}


def watched(stream, supervised=True, step_s=STEP_S):
    """Return the line at the end and the announced lines."""
    line, announced = Line(supervised), []
    for index, letter in enumerate(stream):
        line, actuation = line.sample(index * step_s, *PAIRS[letter])
        if actuation is not None:
            announced.append(actuation)
    return line, announced


def lines(stream, **kind):
    return [actuation.line for actuation in watched(stream, **kind)[1]]


@pytest.mark.parametrize(
    ("stream", "announced"),
    [
        ("....", []),
        (".P.", ["pressed"]),
        (".PPPPPPPP.", ["pressed"]),
        (".P..P.", ["pressed", "pressed"]),
        (".CP.", ["pressed"]),  # NC opens before NO closes
        (".SPS.", ["pressed"]),  # NO closes first and opens last
        (".CPCPC.", ["pressed"]),  # one contact bounces within the press
        (".C.", ["contact-fault"]),  # shorter than the settle time: the NO contact is dead
        (".S.", ["contact-fault"]),
        (".CCCCCCCC", ["cut"]),
        (".SSSSSSSS", ["short"]),
        (".CCCCCCCC.", ["cut"]),
        (".CCCCCCCCP", ["cut", "cut"]),  # in the fault the other contact still alarms
        (".SSSSSSSSP", ["short", "short"]),
        (".PPCCCCCCCC.", ["pressed"]),  # the cable was cut during a press: fault, but announced already
    ],
)
def test_what_is_announced(stream, announced):
    assert lines(stream) == announced


@pytest.mark.parametrize(
    ("stream", "kind"), [(".CCCCCCC", "cut"), (".SSSSSSS", "short"), (".P", "pressed"), (".", "idle")]
)
def test_the_line_settles(stream, kind):
    assert watched(stream)[0].kind == kind


def test_a_cut_is_a_fault_until_it_is_mended():
    assert "bell-line-cut" in watched(".CCCCCCC")[0].standing_faults(1.0)
    mended = watched("." + "C" * 40 + ".", step_s=1.0)[0]
    assert mended.standing_faults(50.0) == {}
    assert mended.good


def test_a_disagreement_that_heals_itself_is_a_dead_contact_until_a_complete_press():
    line = watched(".CCCCCCC.")[0]
    assert list(line.standing_faults(1.0)) == ["bell-contact-fault"]
    assert not line.good
    line = watched(".CCCCCCC..P.")[0]
    assert line.standing_faults(1.0) == {}


def test_in_a_cut_cable_every_press_alarms_and_the_fault_stays():
    line, announced = watched("." + "C" * 40 + "PCPC", step_s=1.0)
    assert [actuation.line for actuation in announced] == ["cut", "cut", "cut"]
    assert "bell-line-cut" in line.standing_faults(50.0)


def test_a_contact_active_since_the_start_is_held_at_boot():
    assert [actuation.held_at_boot for actuation in watched("P")[1]] == [True]
    assert [actuation.held_at_boot for actuation in watched("PP.P")[1]] == [True, False]
    assert [actuation.held_at_boot for actuation in watched("CCCCCCCCCP")[1]] == [True, False]


def test_a_single_contact_is_idle_or_pressed_under_a_standing_warning():
    line, announced = watched(".P", supervised=False)
    assert (line.kind, [actuation.line for actuation in announced]) == ("pressed", ["pressed"])
    assert list(line.standing_faults(1.0)) == ["bell-line-unsupervised"]
    line, actuation = Line(supervised=False).sample(0.0, True, None)
    assert (line.kind, actuation.line) == ("pressed", "pressed")


def test_a_press_without_end_is_stuck_until_it_is_let_go():
    line, announced = watched("." + "P" * 40, step_s=1.0)
    assert len(announced) == 1
    assert "bell-stuck" in line.standing_faults(40.0)
    assert "bell-stuck" not in line.standing_faults(30.0)
    line, _ = line.sample(41.0, False, False)
    assert line.standing_faults(41.0) == {}


def test_a_jammed_contact_still_alarms_by_the_other_one():
    """NO stays closed for minutes; the button's NC contact still moves."""
    line, announced = watched("." + "P" * 40 + "SSPSSPSS", step_s=1.0)
    assert [actuation.line for actuation in announced] == ["pressed", "short", "short"]
    assert "bell-stuck" not in line.standing_faults(50.0) and "bell-line-short" in line.standing_faults(50.0)


@pytest.mark.parametrize(
    ("stream", "step_s", "shown"),
    [
        (".", 1.0, "idle"),
        (".PP", 1.0, "pressed"),
        (".CC", 1.0, "cut"),
        (".SS", 1.0, "short"),
        (".C.", 0.05, "contact-fault"),
        ("." + "P" * 40, 1.0, "stuck"),
    ],
)
def test_the_line_in_one_word_is_the_worst_thing_about_it(stream, step_s, shown):
    assert watched(stream, step_s=step_s)[0].shown(len(stream) * step_s) == shown


def test_every_time_limit_can_be_set():
    limits = LineLimits(settle_s=1.0, mended_s=5.0, stuck_s=2.0)
    slow, _ = Line(True, limits).sample(0.0, False, False)
    slow, _ = slow.sample(1.0, False, True)
    assert slow.sample(1.9, False, True)[0].kind == "idle"
    cut, _ = slow.sample(2.1, False, True)
    assert cut.kind == "cut"
    assert cut.sample(4.0, False, False)[0].contact_fault
    assert not cut.sample(6.1, False, False)[0].contact_fault
    pressed, _ = Line(True, limits).sample(0.0, True, True)
    assert "bell-stuck" in pressed.standing_faults(2.1)


@given(st.text(alphabet=".PCS", max_size=60))
def test_whatever_came_before_the_next_press_from_idle_is_announced(before):
    line, _ = watched(before + ".")
    _, actuation = line.sample(1000.0, True, True)
    assert actuation is not None and actuation.line == "pressed"


@given(st.text(alphabet="PCS", min_size=1, max_size=60))
def test_no_departure_from_idle_stays_silent(stream):
    _, announced = watched("." + stream + ".")
    assert announced
