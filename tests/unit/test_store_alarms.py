from collections.abc import Iterator
from pathlib import Path

import pytest
from support.center_alarms import make_alarm
from support.center_store import START_US, CenterClock, open_store

from agent.contract.messages import Alarm, AlarmUpdate, decode, encode
from center.errors import ConflictError, ContractError
from center.store import AlarmRow, Store


@pytest.fixture
def clock() -> CenterClock:
    return CenterClock()


@pytest.fixture
def store(tmp_path: Path, clock: CenterClock) -> Iterator[Store]:
    store = open_store(tmp_path, clock)
    yield store
    store.close()


def press(store: Store, alarm: Alarm) -> AlarmRow:
    return store.alarms.commit(alarm, encode(alarm))


def test_the_same_alarm_twice_gives_the_same_row_even_later(store: Store, clock: CenterClock) -> None:
    first = press(store, make_alarm())
    clock.advance(60)
    assert press(store, make_alarm()) == first
    assert len(store.alarms.presses("incident-1")) == 1


def test_a_resent_alarm_makes_no_second_event(store: Store) -> None:
    press(store, make_alarm())
    press(store, make_alarm())
    assert [event.kind for event in store.events.after(0)] == ["alarm"]


def test_presses_of_one_incident_are_counted_and_kept_in_order(store: Store, clock: CenterClock) -> None:
    for number in (1, 2, 3):
        press(store, make_alarm(alarm_id=f"a{number}", press_number=number, pressed_at_us=START_US + number))
        clock.advance(1)
    incident = store.alarms.get("incident-1")
    assert incident is not None
    assert (incident.presses, incident.first_pressed_at_us, incident.last_pressed_at_us) == (
        3,
        START_US + 1,
        START_US + 3,
    )
    assert [row.press_number for row in store.alarms.presses("incident-1")] == [1, 2, 3]


def test_presses_that_arrive_out_of_order_still_show_the_true_span(store: Store) -> None:
    press(store, make_alarm(alarm_id="a2", press_number=2, pressed_at_us=200))
    press(store, make_alarm(alarm_id="a1", press_number=1, pressed_at_us=100))
    incident = store.alarms.get("incident-1")
    assert incident is not None
    assert (incident.first_pressed_at_us, incident.last_pressed_at_us) == (100, 200)


def test_an_alarm_id_of_another_pole_is_refused(store: Store) -> None:
    press(store, make_alarm("pole-1"))
    with pytest.raises(ContractError, match="belongs to pole pole-1"):
        press(store, make_alarm("pole-2"))


def test_an_incident_of_another_pole_is_refused_and_nothing_is_kept(store: Store) -> None:
    press(store, make_alarm("pole-1"))
    with pytest.raises(ContractError, match="belongs to pole pole-1"):
        press(store, make_alarm("pole-2", alarm_id="a2"))
    assert len(store.alarms.presses("incident-1")) == 1


def test_a_press_after_the_close_opens_the_incident_again(store: Store) -> None:
    press(store, make_alarm())
    store.alarms.close("incident-1", "kim", "prank")
    press(store, make_alarm(alarm_id="a2", press_number=2))
    (incident,) = store.alarms.incidents("open")
    assert incident.state == "open"


def test_a_press_after_the_answer_leaves_it_answered(store: Store) -> None:
    press(store, make_alarm())
    store.alarms.answer("incident-1", "kim")
    press(store, make_alarm(alarm_id="a2", press_number=2))
    incident = store.alarms.get("incident-1")
    assert incident is not None
    assert (incident.state, incident.presses) == ("answered", 2)


def test_one_real_press_makes_a_simulated_incident_real(store: Store) -> None:
    press(store, make_alarm(simulated=True))
    press(store, make_alarm(alarm_id="a2", simulated=False))
    incident = store.alarms.get("incident-1")
    assert incident is not None
    assert not incident.simulated


def test_an_answer_is_queued_for_the_pole_in_the_same_commit(store: Store) -> None:
    press(store, make_alarm())
    assert store.alarms.answer("incident-1", "kim").state == "answered"
    (row,) = store.alarms.down_queue()
    update = decode(row.payload, AlarmUpdate)
    assert (row.pole, row.kind, update.state, update.by) == ("pole-1", "answer", "answered", "kim")


def test_the_owner_s_second_answer_changes_nothing_and_queues_nothing(store: Store, clock: CenterClock) -> None:
    press(store, make_alarm())
    first = store.alarms.answer("incident-1", "kim")
    clock.advance(5)
    assert store.alarms.answer("incident-1", "kim") == first
    assert len(store.alarms.down_queue()) == 1


def test_another_s_answer_is_refused_with_the_owner_and_since_when(store: Store) -> None:
    press(store, make_alarm())
    store.alarms.answer("incident-1", "kim")
    with pytest.raises(ConflictError, match="answered by kim at 2026-09-21T14:13:20Z"):
        store.alarms.answer("incident-1", "lee")
    incident = store.alarms.get("incident-1")
    assert incident is not None
    assert (incident.owner, len(store.alarms.down_queue())) == ("kim", 1)


def test_closing_twice_keeps_the_first_and_queues_once(store: Store) -> None:
    press(store, make_alarm())
    store.alarms.close("incident-1", "kim", "real")
    assert store.alarms.close("incident-1", "lee", "prank").reason == "real"
    assert len(store.alarms.down_queue()) == 1
    assert store.alarms.incidents("open") == []


def test_a_closed_incident_cannot_be_answered(store: Store) -> None:
    press(store, make_alarm())
    store.alarms.close("incident-1", "kim", "real")
    with pytest.raises(ConflictError, match="closed already by kim"):
        store.alarms.answer("incident-1", "lee")


@pytest.mark.parametrize("reason", ["", "because"])
def test_a_close_needs_a_known_reason(store: Store, reason: str) -> None:
    press(store, make_alarm())
    with pytest.raises(ConflictError, match="no reason"):
        store.alarms.close("incident-1", "kim", reason)  # type: ignore[arg-type]
    assert store.alarms.incidents("open")


def test_an_unknown_incident_is_named(store: Store) -> None:
    with pytest.raises(ConflictError, match="no incident nothing"):
        store.alarms.answer("nothing", "kim")


def test_what_is_published_leaves_the_queue(store: Store) -> None:
    press(store, make_alarm())
    store.alarms.answer("incident-1", "kim")
    store.alarms.published(store.alarms.down_queue()[0].id)
    assert store.alarms.down_queue() == []


def test_requeue_brings_back_only_the_newest_word_of_each_incident(store: Store, clock: CenterClock) -> None:
    for number in (1, 2):
        press(store, make_alarm(f"pole-{number}", f"a{number}", f"i{number}"))
        store.alarms.answer(f"i{number}", "kim")
    store.alarms.close("i1", "kim", "real")
    for row in store.alarms.down_queue():
        store.alarms.published(row.id)
    assert store.alarms.requeue(clock.us - 1) == 2
    states = [decode(row.payload, AlarmUpdate).state for row in store.alarms.down_queue()]
    assert states == ["answered", "closed"]


def test_requeue_for_one_pole_leaves_the_others(store: Store, clock: CenterClock) -> None:
    for number in (1, 2):
        press(store, make_alarm(f"pole-{number}", f"a{number}", f"i{number}"))
        store.alarms.answer(f"i{number}", "kim")
    for row in store.alarms.down_queue():
        store.alarms.published(row.id)
    store.alarms.requeue(clock.us - 1, "pole-2")
    assert [row.pole for row in store.alarms.down_queue()] == ["pole-2"]


def test_requeue_leaves_what_is_older(store: Store, clock: CenterClock) -> None:
    press(store, make_alarm())
    store.alarms.answer("incident-1", "kim")
    store.alarms.published(store.alarms.down_queue()[0].id)
    clock.advance(10)
    assert store.alarms.requeue(clock.us) == 0


def test_fields_we_do_not_know_are_kept_in_the_raw_bytes(store: Store) -> None:
    raw = encode(make_alarm()).replace(b'"v":1', b'"v":1,"weather":"rain"')
    store.alarms.commit(decode(raw, Alarm), raw)
    row = store.database.row("SELECT raw FROM alarm")
    assert row is not None
    assert bytes(row["raw"]) == raw
