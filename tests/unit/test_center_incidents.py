"""One incident: who saw it, who owns it, who was sent, and what the pole is told; and how fast calls are answered."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from support.center_alarms import make_alarm
from support.center_store import START_US, CenterClock, open_store

from agent.contract.messages import AlarmUpdate, decode, encode
from center.errors import ConflictError
from center.store import AlarmRow, IncidentRow, Store
from center.store.answer_times import Call, percentile, summary

S = 1_000_000
DAY_S = 86_400


@pytest.fixture
def clock() -> CenterClock:
    return CenterClock()


@pytest.fixture
def store(tmp_path: Path, clock: CenterClock) -> Iterator[Store]:
    store = open_store(tmp_path, clock)
    yield store
    store.close()


def press(store: Store, number: int = 1, incident: str = "incident-1", **fields: object) -> AlarmRow:
    alarm = make_alarm(alarm_id=f"{incident}-{number}", incident_id=incident, press_number=number, **fields)
    return store.alarms.commit(alarm, encode(alarm))


def incident(store: Store, name: str = "incident-1") -> IncidentRow:
    row = store.alarms.get(name)
    assert row is not None
    return row


def words(store: Store) -> list[tuple[str, str]]:
    updates = [decode(row.payload, AlarmUpdate) for row in store.alarms.down_queue()]
    return [(update.state, update.by) for update in updates]


# --- states ---


def test_the_first_who_saw_it_is_kept(store: Store, clock: CenterClock) -> None:
    press(store)
    store.alarms.seen("incident-1", "kim")
    clock.advance(1)
    store.alarms.seen("incident-1", "lee")
    row = incident(store)
    assert (row.state, row.seen_by, row.seen_at_us) == ("seen", "kim", START_US)
    assert words(store) == [("seen", "kim")]


def test_seen_is_not_answered(store: Store) -> None:
    press(store)
    assert store.alarms.seen("incident-1", "kim").waiting


def test_seen_after_the_answer_changes_nothing(store: Store) -> None:
    press(store)
    answered = store.alarms.answer("incident-1", "kim")
    assert store.alarms.seen("incident-1", "lee") == answered
    assert (answered.seen_by, answered.seen_at_us) == ("kim", START_US)


def test_nobody_takes_over_what_nobody_owns(store: Store) -> None:
    press(store)
    with pytest.raises(ConflictError, match="answer it"):
        store.alarms.take_over("incident-1", "lee")


def test_taking_over_changes_the_owner_and_keeps_who_answered_first(store: Store, clock: CenterClock) -> None:
    press(store)
    store.alarms.answer("incident-1", "kim")
    clock.advance(30)
    row = store.alarms.take_over("incident-1", "lee")
    assert (row.owner, row.owned_since_us, row.answered_by, row.state) == ("lee", clock.us, "kim", "answered")
    assert words(store) == [("answered", "kim"), ("answered", "lee")]
    with pytest.raises(ConflictError, match="answered by lee"):
        store.alarms.answer("incident-1", "kim")


def test_only_the_owner_sends_somebody_and_only_after_the_answer(store: Store) -> None:
    press(store)
    with pytest.raises(ConflictError, match="not answered yet"):
        store.alarms.dispatch("incident-1", "kim", "patrol 3")
    store.alarms.answer("incident-1", "kim")
    with pytest.raises(ConflictError, match="is kim's"):
        store.alarms.dispatch("incident-1", "lee", "patrol 3")
    with pytest.raises(ConflictError, match="who was sent"):
        store.alarms.dispatch("incident-1", "kim", "  ")
    row = store.alarms.dispatch("incident-1", "kim", "patrol 3")
    assert (row.state, row.dispatched_who, row.dispatched_by) == ("dispatched", "patrol 3", "kim")


def test_a_second_party_may_be_sent_and_both_stand_in_the_acts(store: Store, clock: CenterClock) -> None:
    press(store)
    store.alarms.answer("incident-1", "kim")
    first = store.alarms.dispatch("incident-1", "kim", "patrol 3")
    clock.advance(60)
    second = store.alarms.dispatch("incident-1", "kim", "119")
    assert store.alarms.dispatch("incident-1", "kim", "119") == second
    assert (second.dispatched_at_us, second.dispatched_who) == (first.dispatched_at_us, "119")
    sent = [act.detail for act in store.alarms.acts("incident-1") if act.act == "dispatched"]
    assert sent == ["patrol 3", "119"]


@pytest.mark.parametrize("by", ["", "  "])
def test_an_owner_has_a_name(store: Store, by: str) -> None:
    press(store)
    with pytest.raises(ConflictError, match="name"):
        store.alarms.answer("incident-1", by)
    assert incident(store).state == "open"


@pytest.mark.parametrize("state", ["open", "seen", "answered", "dispatched"])
def test_every_state_closes_only_with_a_reason(store: Store, state: str) -> None:
    press(store)
    if state != "open":
        store.alarms.seen("incident-1", "kim")
    if state in ("answered", "dispatched"):
        store.alarms.answer("incident-1", "kim")
    if state == "dispatched":
        store.alarms.dispatch("incident-1", "kim", "patrol 3")
    with pytest.raises(ConflictError, match="no reason"):
        store.alarms.close("incident-1", "kim", "")  # type: ignore[arg-type]
    assert incident(store).state == state
    assert store.alarms.close("incident-1", "lee", "real").state == "closed"


def test_each_act_is_an_event_and_a_row(store: Store) -> None:
    press(store)
    press(store, 2)
    store.alarms.seen("incident-1", "kim")
    store.alarms.answer("incident-1", "kim")
    store.alarms.take_over("incident-1", "lee")
    store.alarms.dispatch("incident-1", "lee", "119")
    store.alarms.close("incident-1", "lee", "real")
    acts = [(act.act, act.by, act.detail) for act in store.alarms.acts("incident-1")]
    assert acts == [
        ("opened", "", "incident-1-1"),
        ("pressed", "", "incident-1-2"),
        ("seen", "kim", ""),
        ("answered", "kim", ""),
        ("taken-over", "lee", ""),
        ("dispatched", "lee", "119"),
        ("closed", "lee", "real"),
    ]
    told = [(event.kind, event.data.get("act", "")) for event in store.events.after(0)]
    assert told == [("alarm", ""), ("alarm", ""), *(("incident", act) for act, _, _ in acts[2:])]


def test_priority_is_the_number_of_presses(store: Store) -> None:
    for number in (1, 2, 3):
        press(store, number)
    assert incident(store).priority == 3


def test_a_press_after_the_close_is_a_new_call_that_nobody_owns_and_the_old_one_stays_in_the_acts(store: Store) -> None:
    press(store)
    store.alarms.answer("incident-1", "kim")
    store.alarms.dispatch("incident-1", "kim", "119")
    store.alarms.close("incident-1", "kim", "prank")
    press(store, 2)
    row = incident(store)
    assert (row.state, row.calls, row.owner, row.answered_at_us, row.dispatched_who) == ("open", 2, "", None, "")
    assert (row.closed_at_us, row.reason, row.presses) == (None, "", 2)
    assert store.alarms.answer("incident-1", "lee").owner == "lee"
    assert [act.call for act in store.alarms.acts("incident-1")] == [1, 1, 1, 1, 2, 2]


def test_a_close_from_before_a_further_press_is_not_published_again(store: Store, clock: CenterClock) -> None:
    press(store)
    store.alarms.close("incident-1", "kim", "mistake")
    store.alarms.published(store.alarms.down_queue()[0].id)
    press(store, 2)
    assert store.alarms.requeue(0) == 0
    store.alarms.answer("incident-1", "lee")
    store.alarms.published(store.alarms.down_queue()[0].id)
    assert store.alarms.requeue(0) == 1
    assert words(store) == [("answered", "lee")]


def test_a_close_counts_at_the_pole_although_the_center_s_clock_went_back_a_day(
    store: Store, clock: CenterClock
) -> None:
    receipt_us = press(store).committed_at_us
    clock.advance(-DAY_S)
    assert (store.alarms.close("incident-1", "kim", "real").closed_at_us or 0) >= receipt_us


def test_a_press_after_a_close_has_a_later_receipt_although_the_clock_went_back(
    store: Store, clock: CenterClock
) -> None:
    press(store)
    closed_us = store.alarms.close("incident-1", "kim", "real").closed_at_us or 0
    clock.advance(-DAY_S)
    assert press(store, 2).committed_at_us > closed_us


def test_the_last_incident_of_a_pole_is_linked(store: Store) -> None:
    press(store, previous_incident_id="incident-0")
    assert incident(store).previous_incident_id == "incident-0"


def test_one_press_outside_maintenance_makes_the_incident_a_normal_one(store: Store) -> None:
    press(store, mode="maintenance")
    assert incident(store).mode == "maintenance"
    press(store, 2)
    press(store, 3, mode="maintenance")
    assert incident(store).mode == "normal"


# --- answer times ---


def test_nobody_called_is_no_number_at_all(store: Store) -> None:
    times = store.alarms.answer_times(0, 2**62)
    assert (times.count, times.share_within_goal, times.p50_s, times.goal_kept, times.days) == (0, None, None, None, ())


def test_answer_times_are_from_the_commit_to_the_first_answer(store: Store, clock: CenterClock) -> None:
    press(store)
    clock.advance(4)
    store.alarms.seen("incident-1", "kim")
    clock.advance(3)
    store.alarms.answer("incident-1", "kim")
    clock.advance(100)
    store.alarms.take_over("incident-1", "lee")
    times = store.alarms.answer_times(0, 2**62)
    assert (times.count, times.answered, times.p50_s, times.p90_s, times.max_s) == (1, 1, 7.0, 7.0, 7.0)
    assert times.goal_kept


def test_an_unanswered_call_is_counted_and_no_percentile_hides_it(store: Store, clock: CenterClock) -> None:
    for number in range(10):
        press(store, 1, f"i{number}")
    clock.advance(5)
    for number in range(8):
        store.alarms.answer(f"i{number}", "kim")
    store.alarms.close("i8", "kim", "prank")
    times = store.alarms.answer_times(0, 2**62)
    assert (times.count, times.answered, times.unanswered, times.closed_unanswered) == (10, 8, 2, 1)
    assert (times.within_goal, times.share_within_goal, times.goal_kept) == (8, 0.8, False)
    assert (times.p50_s, times.p90_s, times.max_s) == (5.0, None, None)


def test_a_press_after_the_close_is_a_call_of_its_own(store: Store, clock: CenterClock) -> None:
    press(store)
    clock.advance(2)
    store.alarms.answer("incident-1", "kim")
    store.alarms.close("incident-1", "kim", "mistake")
    clock.advance(60)
    press(store, 2)
    clock.advance(20)
    store.alarms.answer("incident-1", "lee")
    times = store.alarms.answer_times(0, 2**62)
    assert (times.count, times.p50_s, times.max_s, times.within_goal) == (2, 2.0, 20.0, 1)


def test_tests_and_simulated_presses_are_no_calls_unless_the_latter_are_asked_for(store: Store) -> None:
    press(store, 1, "demo", simulated=True)
    test = make_alarm(alarm_id="t", incident_id="t", mode="test")
    store.alarms.commit_test(test, encode(test))
    assert store.alarms.answer_times(0, 2**62).count == 0
    assert store.alarms.answer_times(0, 2**62, simulated=True).count == 1


def test_a_call_belongs_to_the_span_and_the_korean_day_in_which_it_began(store: Store, clock: CenterClock) -> None:
    # 2026-09-21T14:13:20Z is 23:13:20 in Korea
    press(store, 1, "late")
    clock.advance(3600)
    store.alarms.answer("late", "kim")
    press(store, 1, "early")
    times = store.alarms.answer_times(START_US, clock.us + 1)
    assert [(day.day, day.count, day.unanswered) for day in times.days] == [
        (date(2026, 9, 21), 1, 0),
        (date(2026, 9, 22), 1, 1),
    ]
    assert store.alarms.answer_times(START_US + 1, clock.us).count == 0


@pytest.mark.parametrize(
    ("times", "share", "found"),
    [([1.0], 0.9, 1.0), ([1.0, 2.0], 0.5, 1.0), ([1.0, 2.0], 0.9, 2.0), ([float(n) for n in range(1, 11)], 0.9, 9.0)],
)
def test_a_percentile_is_a_time_that_somebody_waited(times: list[float], share: float, found: float) -> None:
    assert percentile(times, share) == found


def test_exactly_ten_seconds_keep_the_goal() -> None:
    assert summary([Call(0, 10 * S, None)]).within_goal == 1
    assert summary([Call(0, 10 * S + 1, None)]).within_goal == 0
