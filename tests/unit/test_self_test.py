"""What a self-test finds and when it is due."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.bell import self_test
from agent.bell.contact_watch import LineReading
from agent.bell.light import LampTest
from agent.contract.messages import ClockState

US = 1_000_000
DAY_US = 86_400 * US
KST = timezone(timedelta(hours=9))


@given(st.text("abcdefghij0123456789-", min_size=1, max_size=20), st.integers(1_700_000_000, 1_900_000_000))
def test_every_pole_tests_itself_once_a_day_between_2_and_6_in_korea(pole, now_s):
    second = self_test.slot_s(pole)
    assert second == self_test.slot_s(pole)
    begin = datetime.fromtimestamp(now_s // 86_400 * 86_400 + second, UTC).astimezone(KST)
    assert 2 <= begin.hour < 6
    runs, last_us = 0, now_s * US
    for step in range(2 * 144 + 1):
        now_us = (now_s + 600 * step) * US
        if self_test.due(pole, now_us, last_us):
            runs, last_us = runs + 1, now_us
    assert runs == 2


def test_a_city_s_poles_spread_over_the_window():
    slots = {self_test.slot_s(f"gangseo-{number:04d}") // 600 for number in range(500)}
    assert len(slots) == 24


def test_a_clock_that_went_back_behind_the_last_self_test_makes_it_due_once():
    now_us = 1_790_000_000 * US
    assert self_test.due("pole-1", now_us, now_us + 1)
    assert not self_test.due("pole-1", now_us + 1, now_us)


@pytest.mark.parametrize(("polls", "result"), [(99, "fail"), (100, "pass")])
def test_the_line_must_have_been_good_for_a_second(polls, result):
    point = self_test.line_point(LineReading("idle", True, 1.0, polls))
    assert point.result == result
    assert str(polls) in point.value


def lamps(drew, sensed=True):
    return {p.name: p for p in self_test.lamp_points(True, sensed, LampTest(0.0, 0.3, frozenset(drew), ended=True))}


def test_lamps_pass_when_each_draws_current_and_none_does_in_the_dark():
    assert lamps({"white", "red", "green"})["lamps"].result == "pass"
    assert "replace: red" in lamps({"white", "green"})["lamps"].detail
    assert "sense" in lamps({"dark", "white", "red", "green"})["lamps"].detail
    assert lamps({"white"}, sensed=False)["lamps"].result == "not-fitted"


def test_outputs_that_do_not_follow_fail():
    assert self_test.lamp_points(False, False, None)[0].result == "fail"


def test_each_point_says_what_is_wrong_and_nothing_when_it_passes():
    bad = [
        self_test.line_point(LineReading()),
        self_test.outbox_point(None, "disk full"),
        self_test.center_point(None, 35.0),
        self_test.center_point(36.0, 35.0),
        *self_test.press_points(None, None, 60.0),
        *self_test.press_points("contact-fault", None, 60.0),
    ]
    assert all(point.result == "fail" and point.detail for point in bad)
    good = [
        self_test.outbox_point(1.2),
        self_test.center_point(3.0, 35.0),
        *self_test.press_points("pressed", 4.5, 60.0),
        *self_test.round_trip_points(4.5),
    ]
    assert all(point.result == "pass" and point.value and not point.detail for point in good)
    assert self_test.round_trip_points(None) == []


def test_an_unsynchronised_clock_fails_its_point_and_is_no_fault_of_the_bell():
    point = self_test.clock_point(ClockState(synced=False, source="free-running", error_us=9))
    assert point.result == "fail"
    assert self_test.failures([point]) == ""
    assert self_test.failures([point, self_test.outbox_point(None, "disk full")]) == "outbox: disk full"
