"""A wrong clock must never delete evidence early (agent.upload.retention, R-RETAIN)."""

from hypothesis import given
from hypothesis import strategies as st

from agent.upload.retention import DAY_S, SETTLE_S, ClockHistory, expire_before_us

NOW_US = 1_790_000_000_000_000
DAY_US = round(DAY_S) * 1_000_000
YEAR_US = 365 * DAY_US


def watched(seconds: float, *, synced: bool, start_us: int = NOW_US) -> ClockHistory:
    """A history of looks once a minute for `seconds`, at a clock that runs true."""
    history = ClockHistory.start(start_us, 1000.0).look(start_us, 1000.0, synced=synced)
    return history.look(start_us + round(seconds * 1e6), 1000.0 + seconds, synced=synced)


def test_a_synchronised_clock_expires_after_the_retention():
    history = watched(SETTLE_S, synced=True)
    assert expire_before_us(history, 30, None) == history.utc_us - 30 * DAY_US


def test_a_clock_that_has_only_just_synchronised_is_not_believed_yet():
    assert expire_before_us(watched(SETTLE_S - 1, synced=True), 30, None) is None


def test_an_unsynchronised_clock_expires_nothing():
    assert expire_before_us(watched(3600, synced=False), 30, None) is None


def test_the_centers_time_is_believed_where_the_own_clock_is_not():
    assert expire_before_us(watched(0, synced=False, start_us=0), 30, NOW_US) == NOW_US - 30 * DAY_US


def test_of_two_trusted_times_the_earlier_one_counts():
    history = watched(SETTLE_S, synced=True, start_us=NOW_US + YEAR_US)
    assert expire_before_us(history, 30, NOW_US) == NOW_US - 30 * DAY_US
    history = watched(SETTLE_S, synced=True, start_us=NOW_US)
    assert expire_before_us(history, 30, NOW_US + YEAR_US) == history.utc_us - 30 * DAY_US


def test_a_jump_of_the_clock_starts_the_trust_anew():
    history = watched(SETTLE_S, synced=True)
    jumped = history.look(history.utc_us + YEAR_US, history.mono_s + 60, synced=True)
    assert expire_before_us(jumped, 30, None) is None
    settled = jumped.look(jumped.utc_us + round(SETTLE_S * 1e6), jumped.mono_s + SETTLE_S, synced=True)
    assert expire_before_us(settled, 30, None) == settled.utc_us - 30 * DAY_US


def test_losing_the_synchronisation_ends_the_trust():
    history = watched(SETTLE_S, synced=True)
    lost = history.look(history.utc_us + 60_000_000, history.mono_s + 60, synced=False)
    assert expire_before_us(lost, 30, None) is None


def test_a_wrong_clock_that_ran_without_a_step_for_the_whole_retention_measures_the_age_rightly():
    history = watched(30 * DAY_S, synced=False, start_us=0)
    assert expire_before_us(history, 30, None) == 0
    assert expire_before_us(watched(30 * DAY_S - 1, synced=False, start_us=0), 30, None) is None


@given(
    jumps=st.lists(st.tuples(st.integers(1, 7200), st.integers(-YEAR_US, YEAR_US)), min_size=1, max_size=20),
    synced=st.booleans(),
)
def test_whatever_the_clock_jumps_nothing_younger_than_the_retention_by_the_center_expires(jumps, synced):
    history = ClockHistory.start(NOW_US, 0.0)
    utc_us, mono_s = NOW_US, 0.0
    for passed_s, jump_us in jumps:
        mono_s += passed_s
        utc_us += passed_s * 1_000_000 + jump_us
        history = history.look(utc_us, mono_s, synced=synced)
        center_us = NOW_US + round(mono_s * 1e6)
        before_us = expire_before_us(history, 30, center_us)
        assert before_us is not None and before_us <= center_us - 30 * DAY_US
