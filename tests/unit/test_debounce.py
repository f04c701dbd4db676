"""Debounce: no press longer than the debounce time is lost, no shorter one is made up."""

from hypothesis import given
from hypothesis import strategies as st

from agent.bell.debounce import Debounce

D = 0.030
gaps = st.floats(min_value=0.0, max_value=0.2, allow_nan=False)
bounces = st.lists(st.tuples(gaps, st.booleans()), max_size=60)


def fed(samples, start=0.0):
    """Return the states after each (gap, level)."""
    state, at, states = Debounce(D, start), start, []
    for gap, level in samples:
        at += gap
        state = state.sample(at, level)
        states.append(state)
    return states


@given(bounces)
def test_an_unbroken_active_run_of_the_debounce_time_is_never_lost(before):
    *_, last = fed([*before, (0.001, True), (D, True)])
    assert last.active


@given(bounces)
def test_an_unbroken_idle_run_of_the_debounce_time_ends_every_press(before):
    *_, last = fed([*before, (0.001, False), (D, False)])
    assert not last.active


@given(bounces, bounces)
def test_it_is_never_lost_either_when_polls_cut_the_run_into_pieces(before, after):
    pieces = [(0.003, True)] * 10
    states = fed([*before, (0.0, True), *pieces, *after])
    assert any(state.active for state in states[len(before) :])


@given(st.lists(st.floats(min_value=0.0, max_value=D / 10), max_size=9))
def test_active_time_of_less_than_the_debounce_time_in_all_never_flips_it(bursts):
    samples = [piece for burst in bursts for piece in ((0.0, True), (burst, False))]
    assert not any(state.active for state in fed([*samples, (0.0, False)]))


@given(bounces)
def test_the_state_flips_no_later_than_it_said(samples):
    for state in fed(samples):
        due = state.due_mono_s()
        if due is not None:
            assert due - state.at_mono_s <= D + 1e-9
            assert state.sample(due, state.level).active == state.level


@given(bounces, st.floats(min_value=0.0, max_value=1.0))
def test_a_sample_from_the_past_counts_as_simultaneous(samples, back_s):
    *_, state = fed([(0.0, False), *samples])
    late = state.sample(state.at_mono_s - back_s, True)
    assert late.at_mono_s == state.at_mono_s
    assert late.active == state.active


def test_a_chattering_contact_that_is_mostly_closed_still_counts():
    chatter = [(0.002, True), (0.006, False)] * 30
    assert any(state.active for state in fed(chatter))


def test_a_stable_state_has_nothing_due():
    assert Debounce(D, 0.0).due_mono_s() is None
