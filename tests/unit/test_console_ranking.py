"""Worst first: what the crew sees at the top in the morning."""

from center.console.ranking import RankedFault, fault_score, pole_score

HOUR_S = 3600.0
WEEK_S = 7 * 24 * HOUR_S


def test_a_silent_pole_stands_above_any_speaking_one() -> None:
    speaking = pole_score([RankedFault("critical", WEEK_S)] * 50, None)
    assert pole_score([], 21.0) > speaking


def test_among_silent_poles_the_longest_silence_is_first() -> None:
    assert pole_score([], 600.0) > pole_score([], 60.0)


def test_a_worse_fault_of_the_same_age_is_higher() -> None:
    scores = [fault_score(RankedFault(severity, HOUR_S)) for severity in ("critical", "major", "minor", "info")]
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) == 4


def test_an_older_fault_is_higher() -> None:
    assert fault_score(RankedFault("major", WEEK_S)) > fault_score(RankedFault("major", HOUR_S))


def test_an_old_trifle_does_not_hide_a_fresh_breakdown() -> None:
    assert fault_score(RankedFault("critical", 0.0)) > fault_score(RankedFault("minor", 52 * WEEK_S))


def test_a_severity_that_we_do_not_know_counts_as_major() -> None:
    assert fault_score(RankedFault("odd", 0.0)) == fault_score(RankedFault("major", 0.0))


def test_a_clock_that_ran_backwards_does_no_harm() -> None:
    assert fault_score(RankedFault("major", -5.0)) == fault_score(RankedFault("major", 0.0))


def test_a_pole_in_order_has_no_score() -> None:
    assert pole_score([], None) == 0
