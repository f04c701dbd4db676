"""What the replay cache forgets, it forgets upwards: a floor below which nobody is believed without a nonce."""

from hypothesis import given
from hypothesis import strategies as st

from agent.mqtt.replay_cache import FRESH_US, KEEP_US, ReplayCache, fresh_cache

NOW = 1_790_000_000_000_000


def test_a_command_is_remembered_past_its_expiry():
    cache = ReplayCache().remember("a", NOW, NOW)
    assert "a" in cache.remember("b", NOW + KEEP_US, NOW + KEEP_US - 1).seen
    later = cache.remember("b", NOW + KEEP_US, NOW + KEEP_US)
    assert "a" not in later.seen
    assert later.floor_us == NOW


def test_a_full_cache_forgets_the_oldest_and_raises_the_floor():
    cache = ReplayCache()
    for number in range(5):
        cache = cache.remember(str(number), NOW + number, NOW, capacity=3)
    assert set(cache.seen) == {"2", "3", "4"}
    assert cache.floor_us == NOW + 1


def test_a_memory_that_begins_anew_doubts_every_command_that_lives_already():
    assert fresh_cache(NOW).floor_us == NOW + FRESH_US == NOW + 330_000_000


@given(
    st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 2000)), max_size=40),
    st.integers(1, 6),
)
def test_whatever_the_clock_does_a_command_is_remembered_or_below_the_floor(steps, capacity):
    """(seconds of expiry, seconds of the pole's clock) in any order: the clock may jump both ways."""
    cache, sent = ReplayCache(), {}
    for number, (exp, now) in enumerate(steps):
        exp_us = NOW + exp * 10_000_000
        sent[str(number)] = exp_us
        cache = cache.remember(str(number), exp_us, NOW + now * 10_000_000, capacity)
        assert len(cache.seen) <= capacity
        assert all(jti in cache.seen or exp_us <= cache.floor_us for jti, exp_us in sent.items())
