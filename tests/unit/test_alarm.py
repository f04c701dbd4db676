"""The alarm machine: latched, resent, answered; one press one alarm."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.bell.alarm import AlarmState, Press, Publish, Store, StoreReceipt, StoreReopened, StoreUpdate
from agent.bell.indicator import LightState
from agent.contract.messages import AlarmReceipt, AlarmUpdate, ClockState

CLOCK = ClockState(synced=True, source="ntp", error_us=10)


def press(number, at=100.0, **kind):
    return Press(f"alarm-{number}", f"incident-{number}", 1_000_000 * number, at, CLOCK, **kind)


def receipt(alarm_id, at_us=10):
    return AlarmReceipt(alarm_id=alarm_id, committed_at_us=at_us)


def update(state, incident_id="incident-1", at_us=20):
    return AlarmUpdate(incident_id=incident_id, state=state, at_us=at_us, by="kim")


@pytest.fixture
def ready():
    return AlarmState("pole-1")


@pytest.fixture
def calling(ready):
    return ready.pressed(press(1))[0]


@pytest.fixture
def received(calling):
    return calling.receipted(receipt("alarm-1"))[0]


def test_a_press_calls_at_once_stores_then_publishes(ready):
    state, actions = ready.pressed(press(1))
    assert state.phase == "calling"
    assert [type(action) for action in actions] == [Store, Publish]
    assert state.light(100.0, in_service=False) is LightState.CALLING


def test_only_the_receipt_leads_to_received(calling):
    assert calling.ticked(1000.0)[0].phase == "calling"
    assert calling.connected(1000.0)[0].phase == "calling"
    state, actions = calling.receipted(receipt("alarm-1"))
    assert state.phase == "received"
    assert actions == (StoreReceipt(receipt("alarm-1"), 100.0),)
    assert state.light(100.0, in_service=True) is LightState.RECEIVED


def test_answered_then_closed_then_ready(received):
    state, actions = received.updated(update("answered"))
    assert (state.phase, actions) == ("answered", (StoreUpdate(update("answered")),))
    assert state.light(0.0, in_service=True) is LightState.ANSWERED
    state, _ = state.updated(update("closed"))
    assert state.phase == "ready"
    assert state.light(0.0, in_service=True) is LightState.READY
    assert state.light(0.0, in_service=False) is LightState.OUT_OF_SERVICE


def test_after_2_seconds_without_a_receipt_the_light_says_so_until_the_next_press(calling):
    assert calling.light(101.9, in_service=True) is LightState.CALLING
    assert calling.light(102.0, in_service=True) is LightState.NOT_RECEIVED
    again = calling.pressed(press(2, at=105.0))[0]
    assert again.light(105.0, in_service=True) is LightState.CALLING


def test_seen_keeps_the_light_of_received_and_is_remembered(received):
    state, actions = received.updated(update("seen"))
    assert (state.phase, actions) == ("seen", (StoreUpdate(update("seen")),))
    assert state.light(0.0, in_service=True) is LightState.RECEIVED


def test_dispatched_is_green_with_or_without_an_answer_before(received):
    for state in (received, received.updated(update("answered"))[0]):
        after, actions = state.updated(update("dispatched"))
        assert (after.phase, actions) == ("dispatched", (StoreUpdate(update("dispatched")),))
        assert after.light(0.0, in_service=True) is LightState.ANSWERED


@pytest.mark.parametrize("late", ["seen", "answered", "dispatched"])
def test_a_word_that_comes_late_leads_nowhere_back(received, late):
    state = received.updated(update("dispatched"))[0]
    assert state.updated(update(late)) == (state, ())


def test_an_incident_names_the_one_closed_before_it_in_each_of_its_presses(received):
    state = received.updated(update("closed"))[0]
    state, (store, _) = state.pressed(press(2))
    assert store.alarm.previous_incident_id == "incident-1"
    _, (store, _) = state.pressed(press(3))
    assert (store.alarm.incident_id, store.alarm.previous_incident_id) == ("incident-2", "incident-1")


def test_a_press_in_an_open_incident_joins_it(received):
    state, (store, _) = received.pressed(press(2))
    assert (store.alarm.alarm_id, store.alarm.incident_id, store.alarm.press_number) == ("alarm-2", "incident-1", 2)
    assert state.phase == "calling"


def test_a_press_in_an_answered_incident_stays_answered_once_it_is_received(received):
    state = received.updated(update("answered"))[0].pressed(press(2))[0]
    assert state.phase == "calling"
    assert state.receipted(receipt("alarm-2"))[0].phase == "answered"


def test_after_closing_a_press_begins_a_new_incident(received):
    state = received.updated(update("closed"))[0]
    _, (store, _) = state.pressed(press(2))
    assert (store.alarm.incident_id, store.alarm.press_number) == ("incident-2", 1)


def test_received_waits_for_the_receipt_of_every_press(calling):
    state = calling.pressed(press(2))[0].receipted(receipt("alarm-2"))[0]
    assert state.phase == "calling"
    assert state.receipted(receipt("alarm-1"))[0].phase == "received"


def test_a_close_that_crosses_an_unreceipted_press_closes_nothing(received):
    state = received.updated(update("answered"))[0].pressed(press(2))[0]
    state, actions = state.updated(update("closed"))
    assert (state.phase, actions, state.ignored) == ("calling", (StoreReopened("incident-1"),), 1)
    assert state.receipted(receipt("alarm-2", at_us=30))[0].phase == "received"


def test_a_close_older_than_the_newest_receipt_closes_nothing(received):
    state = received.pressed(press(2))[0].receipted(receipt("alarm-2", at_us=30))[0]
    assert state.updated(update("closed", at_us=20))[0].phase == "received"
    assert state.updated(update("closed", at_us=40))[0].phase == "ready"


def test_a_close_of_an_earlier_call_takes_its_answer_with_it(received):
    """The center has a new call that nobody has answered: green would be a lie."""
    answered = received.updated(update("answered"))[0].pressed(press(2))[0]
    state = answered.receipted(receipt("alarm-2", at_us=30))[0]
    assert state.phase == "answered"
    state, actions = state.updated(update("closed", at_us=25))
    assert state.phase == "received"
    assert actions == (StoreReopened("incident-1"),)
    assert state.updated(update("answered", at_us=40))[0].phase == "answered"


def test_a_center_whose_clock_went_back_a_day_still_closes_the_next_incident(received):
    closed = received.updated(update("closed"))[0]
    state = closed.pressed(press(2))[0].receipted(receipt("alarm-2", at_us=5))[0]
    assert state.updated(update("closed", "incident-2", at_us=6))[0].phase == "ready"


def test_a_late_receipt_of_an_earlier_incident_does_not_outdate_the_words_on_this_one(calling):
    two = dataclasses.replace(calling, incident_id=None, press_number=0).pressed(press(2))[0]
    state = two.receipted(receipt("alarm-2", at_us=5))[0].receipted(receipt("alarm-1", at_us=50))[0]
    assert state.updated(update("closed", "incident-2", at_us=6))[0].phase == "ready"


@pytest.mark.parametrize("state", ["seen", "answered", "dispatched", "closed"])
def test_a_word_on_an_unknown_incident_is_counted_and_changes_nothing(received, state):
    after, actions = received.updated(update(state, "somebody-else"))
    assert actions == ()
    assert after == dataclasses.replace(received, ignored=1)


def test_a_receipt_twice_counts_once(received):
    after, actions = received.receipted(receipt("alarm-1"))
    assert (after.phase, actions, after.ignored) == ("received", (), 1)


def test_without_a_receipt_it_is_resent_after_2_4_8_15_and_then_every_15_seconds(calling):
    state, sent, now = calling, [], 100.0
    while now < 162.0:
        now += 0.5
        state, actions = state.ticked(now)
        sent += [now - 100.0] * len(actions)
    assert sent == [2.0, 6.0, 14.0, 29.0, 44.0, 59.0]


def test_nothing_is_stored_again_when_it_is_resent(calling):
    _, actions = calling.ticked(102.0)
    assert [type(action) for action in actions] == [Publish]


def test_a_new_connection_sends_everything_at_once_oldest_first_and_begins_the_schedule_anew(calling):
    state = calling.pressed(press(2))[0]
    state, actions = state.connected(500.0)
    assert [action.alarm.alarm_id for action in actions] == ["alarm-1", "alarm-2"]
    assert state.next_due_mono_s() == 502.0


def test_the_siren_goes_on_after_15_seconds_and_off_with_the_receipt(calling):
    assert calling.light(114.9, in_service=True) is LightState.NOT_RECEIVED
    assert calling.light(115.0, in_service=True) is LightState.SIREN
    assert calling.receipted(receipt("alarm-1"))[0].light(120.0, in_service=True) is LightState.RECEIVED


def test_the_alarm_says_how_it_came_about(ready):
    _, (store, _) = ready.pressed(press(1, line="cut", held_at_boot=True, simulated=True))
    assert (store.alarm.line, store.alarm.held_at_boot, store.alarm.simulated) == ("cut", True, True)


def test_what_the_outbox_gives_back_late_goes_before_what_was_pressed_since(ready, calling):
    since = ready.pressed(press(2))[0]
    joined = since.recovered(calling)
    assert [waiting.alarm.alarm_id for waiting in joined.waiting] == ["alarm-1", "alarm-2"]
    assert joined.incident_id == "incident-2"
    assert ready.recovered(calling).waiting == calling.waiting


events = st.lists(
    st.one_of(
        st.just("press"),
        st.just("connect"),
        st.just("tick"),
        st.tuples(st.just("receipt"), st.integers(1, 9)),
        st.tuples(st.sampled_from(["seen", "answered", "dispatched", "closed"]), st.integers(1, 9), st.integers(0, 50)),
    ),
    max_size=40,
)


@given(events)
def test_no_alarm_leaves_the_machine_without_its_receipt(script):
    state, pressed, receipted, now = AlarmState("pole-1"), 0, set(), 0.0
    for event in script:
        now += 1.0
        if event == "press":
            pressed += 1
            state, _ = state.pressed(press(pressed, now))
        elif event == "connect":
            state, _ = state.connected(now)
        elif event == "tick":
            state, _ = state.ticked(now)
        elif event[0] == "receipt":
            if event[1] <= pressed:
                receipted.add(f"alarm-{event[1]}")
            state, _ = state.receipted(receipt(f"alarm-{event[1]}", int(now)))
        else:
            state, _ = state.updated(update(event[0], f"incident-{event[1]}", event[2]))
        waiting = {waiting.alarm.alarm_id for waiting in state.waiting}
        assert waiting == {f"alarm-{number}" for number in range(1, pressed + 1)} - receipted
        assert (state.phase == "calling") == bool(waiting)
