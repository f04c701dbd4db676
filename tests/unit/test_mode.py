"""The mode: test and maintenance end by themselves, whatever the clocks do, and three presses are real."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.bell.mode import MODE_MAX_S, REAL_WITHIN_S, ModeError, ModeState, restored

US = 1_000_000
NOW_US = 1_790_000_000 * US


def begun(mode="test", seconds=600.0, now=100.0):
    return ModeState().begun(mode, seconds, now, "kim", "work order 7")


@pytest.mark.parametrize("mode", MODE_MAX_S)
def test_a_mode_ends_by_itself_and_says_why(mode):
    state = begun(mode, 60.0)
    assert state.at(159.9).mode == mode
    over = state.at(160.0)
    assert (over.mode, over.by) == ("normal", "clock")


@pytest.mark.parametrize(
    ("mode", "seconds"),
    [("test", 900.1), ("test", 0), ("test", -5), ("maintenance", 14_400.1), ("off", 10), ("test", float("nan"))],
)
def test_no_mode_is_longer_than_allowed_and_no_other_one_exists(mode, seconds):
    with pytest.raises(ModeError):
        begun(mode, seconds)


def test_a_press_is_a_test_only_in_test_mode():
    assert ModeState().pressed(0.0)[1]
    assert begun("maintenance").pressed(101.0)[1]
    assert not begun("test").pressed(101.0)[1]
    assert begun("test", 60.0).pressed(160.0)[1], "the mode was over when the button was pressed"


def test_the_third_press_within_5_seconds_is_real_and_ends_the_test():
    state, real = begun().pressed(101.0)
    state, second = state.pressed(103.0)
    state, third = state.pressed(106.0)
    assert (real, second, third) == (False, False, True)
    assert (state.mode, state.by) == ("normal", "bell")


def test_three_slow_presses_stay_tests():
    state, _ = begun().pressed(101.0)
    state, _ = state.pressed(104.0)
    state, real = state.pressed(101.0 + REAL_WITHIN_S + 0.1)
    assert (real, state.mode) == (False, "test")


def test_presses_before_the_mode_count_for_the_three():
    state, _ = ModeState().pressed(100.0)
    state, _ = state.pressed(101.0)
    assert state.begun("test", 600.0, 102.0, "kim", "").pressed(103.0)[1]


def test_after_a_restart_of_the_service_the_rest_goes_on_whatever_utc_says():
    saved = begun(seconds=600.0).saved("boot-1", 100.0, NOW_US)
    for utc_us in (NOW_US, NOW_US - 86_400 * US, NOW_US + 86_400 * US):
        state = restored(saved, "boot-1", 400.0, utc_us)
        assert (state.mode, state.left_s(400.0), state.by) == ("test", 300.0, "kim")
    assert restored(saved, "boot-1", 700.0, NOW_US).mode == "normal"


def test_after_a_reboot_the_saved_rest_goes_on_less_what_passed():
    saved = begun(seconds=600.0).saved("boot-1", 200.0, NOW_US)
    assert restored(saved, "boot-2", 5.0, NOW_US + 100 * US).left_s(5.0) == pytest.approx(400.0)


@pytest.mark.parametrize("passed_s", [-0.000001, -86_400, 501, 86_400])
def test_after_a_reboot_with_an_impossible_or_late_clock_it_is_normal(passed_s):
    saved = begun(seconds=600.0).saved("boot-1", 200.0, NOW_US)
    assert restored(saved, "boot-2", 5.0, NOW_US + round(passed_s * US)).mode == "normal"


def test_where_the_kernel_has_no_boot_id_every_start_counts_as_a_reboot():
    saved = begun(seconds=600.0).saved("", 100.0, NOW_US)
    assert restored(saved, "", 110.0, NOW_US - US).mode == "normal"


@given(st.floats(1, 900), st.floats(0, 900), st.sampled_from(["boot-1", "boot-2"]), st.integers(-(10**12), 10**12))
def test_no_restart_and_no_jump_of_the_clock_makes_a_mode_longer(seconds, saved_after_s, boot, jump_us):
    state = begun(seconds=seconds, now=0.0)
    saved = state.saved("boot-1", saved_after_s, NOW_US)
    mono_s = saved_after_s + 1.0 if boot == "boot-1" else 3.0
    after = restored(saved, boot, mono_s, NOW_US + jump_us)
    assert after.left_s(mono_s) <= max(seconds - saved_after_s, 0.0) + 1e-6
