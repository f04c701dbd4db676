from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from support.center_alarms import make_heartbeat
from support.center_store import CenterClock, open_store

from agent.contract.messages import Fault, Heartbeat, Status, encode
from center.store import PoleRow, Store


@pytest.fixture
def clock() -> CenterClock:
    return CenterClock()


@pytest.fixture
def store(tmp_path: Path, clock: CenterClock) -> Iterator[Store]:
    store = open_store(tmp_path, clock)
    yield store
    store.close()


def born(store: Store, session: str, state: Literal["online", "offline"] = "online") -> bool:
    return store.poles.note_status(Status(pole="pole-1", session=session, state=state, at_us=1))


def beat(store: Store, heartbeat: Heartbeat) -> None:
    store.poles.note_heartbeat(heartbeat, encode(heartbeat))


def pole(store: Store) -> PoleRow:
    row = store.poles.get("pole-1")
    assert row is not None
    return row


def test_an_unknown_pole_is_none(store: Store) -> None:
    assert store.poles.get("pole-1") is None
    assert list(store.poles.list()) == []


def test_a_birth_makes_a_pole_online(store: Store) -> None:
    assert born(store, "s1")
    assert (pole(store).state, pole(store).heartbeat) == ("online", None)


def test_the_will_of_the_newest_session_makes_it_silent_at_once(store: Store) -> None:
    born(store, "s1")
    assert born(store, "s1", "offline")
    assert (pole(store).state, pole(store).silent) == ("offline", True)


def test_the_late_will_of_an_older_session_counts_for_nothing(store: Store) -> None:
    born(store, "s1")
    born(store, "s2")
    assert not born(store, "s1", "offline")
    assert (pole(store).state, pole(store).silent) == ("online", False)


def test_a_birth_that_its_own_will_has_overtaken_counts_for_nothing(store: Store) -> None:
    born(store, "s1", "offline")
    assert not born(store, "s1")
    assert pole(store).state == "offline"


def test_a_new_session_after_a_will_is_online_again_and_the_fault_is_closed(store: Store) -> None:
    born(store, "s1")
    born(store, "s1", "offline")
    born(store, "s2")
    assert (pole(store).state, pole(store).silent) == ("online", False)
    (fault,) = store.faults.between(0, 2**62)
    assert fault.closed_at_us is not None


def test_a_heartbeat_proves_life_whatever_the_will_said(store: Store) -> None:
    born(store, "s1", "offline")
    beat(store, make_heartbeat())
    assert (pole(store).state, pole(store).silent) == ("online", False)


def test_the_same_will_twice_opens_one_fault(store: Store) -> None:
    born(store, "s1")
    born(store, "s1", "offline")
    born(store, "s1", "offline")
    assert len(store.faults.standing("pole-1")) == 1


@pytest.mark.parametrize("interval_s", [1, 5, 30, 120])
def test_a_pole_is_silent_only_when_overdue_by_its_own_interval(
    store: Store, clock: CenterClock, interval_s: float
) -> None:
    for seq in range(1, 5):
        beat(store, make_heartbeat(seq=seq))
        clock.advance(interval_s)
    clock.advance(19)
    assert store.poles.raise_silent(20) == 0
    clock.advance(2)
    assert store.poles.raise_silent(20) == 1
    assert pole(store).silent


def test_a_lost_heartbeat_does_not_stretch_the_interval(store: Store, clock: CenterClock) -> None:
    for seq in (1, 2, 3):
        beat(store, make_heartbeat(seq=seq))
        clock.advance(5)
    clock.advance(100)
    beat(store, make_heartbeat(seq=24))
    assert pole(store).interval_us == 5_000_000


def test_a_silent_pole_is_raised_once(store: Store, clock: CenterClock) -> None:
    beat(store, make_heartbeat())
    clock.advance(100)
    assert (store.poles.raise_silent(20), store.poles.raise_silent(20)) == (1, 0)


def test_time_in_which_the_center_was_deaf_is_not_held_against_a_pole(store: Store, clock: CenterClock) -> None:
    beat(store, make_heartbeat())
    clock.advance(3600)
    assert list(store.poles.silent(20, watching_since_us=clock.us)) == []
    clock.advance(51)
    assert list(store.poles.silent(20, watching_since_us=clock.us - 51_000_000)) == ["pole-1"]


def test_pole_states_are_told_once_each(store: Store, clock: CenterClock) -> None:
    born(store, "s1")
    beat(store, make_heartbeat(seq=1))
    beat(store, make_heartbeat(seq=2))
    clock.advance(100)
    store.poles.raise_silent(20)
    assert [event.data["state"] for event in store.events.after(0) if event.kind == "pole"] == ["online", "silent"]


def test_the_last_heartbeat_is_shown_with_fields_we_do_not_know_kept(store: Store) -> None:
    raw = encode(make_heartbeat()).replace(b'"v":1', b'"v":1,"fan_rpm":900')
    store.poles.note_heartbeat(make_heartbeat(), raw)
    assert pole(store).raw == raw
    assert pole(store).heartbeat == make_heartbeat()


def test_a_heartbeat_that_an_older_program_stored_does_not_hide_its_pole(store: Store) -> None:
    store.poles.note_heartbeat(make_heartbeat(), b'{"v":0}')
    assert (pole(store).heartbeat, pole(store).raw) == (None, b'{"v":0}')


def test_the_list_shows_each_pole_with_its_own_faults(store: Store) -> None:
    beat(store, make_heartbeat("pole-2", faults=[Fault(code="disk-low", since_us=1)]))
    beat(store, make_heartbeat("pole-1"))
    assert [(row.pole, [fault.code for fault in row.faults]) for row in store.poles.list()] == [
        ("pole-1", []),
        ("pole-2", ["disk-low"]),
    ]


def test_a_fault_opens_once_keeps_its_newest_detail_and_closes(store: Store, clock: CenterClock) -> None:
    beat(store, make_heartbeat(faults=[Fault(code="disk-low", since_us=7, detail="9 % free")]))
    clock.advance(30)
    beat(store, make_heartbeat(seq=2, faults=[Fault(code="disk-low", since_us=7, detail="8 % free")]))
    clock.advance(30)
    beat(store, make_heartbeat(seq=3))
    (row,) = store.faults.between(0, 2**62)
    assert row.closed_at_us is not None
    assert (row.detail, row.since_us, row.closed_at_us - row.opened_at_us) == ("8 % free", 7, 60_000_000)


def test_the_same_code_of_two_cameras_is_two_faults(store: Store) -> None:
    faults = [Fault(code="camera-source-lost", subject=camera, since_us=1) for camera in ("front", "gate")]
    beat(store, make_heartbeat(faults=faults))
    beat(store, make_heartbeat(seq=2, faults=faults[:1]))
    assert [row.subject for row in store.faults.standing()] == ["front"]


def test_a_fault_that_comes_back_is_a_new_row(store: Store) -> None:
    for seq, faults in enumerate(([Fault(code="x", since_us=1)], [], [Fault(code="x", since_us=2)]), 1):
        beat(store, make_heartbeat(seq=seq, faults=faults))
    assert [row.since_us for row in store.faults.between(0, 2**62)] == [1, 2]


def test_the_fault_log_of_a_span_holds_what_stood_in_it(store: Store, clock: CenterClock) -> None:
    began = clock.us
    beat(store, make_heartbeat(faults=[Fault(code="x", since_us=1)]))
    clock.advance(10)
    beat(store, make_heartbeat(seq=2))
    clock.advance(10)
    assert list(store.faults.between(clock.us, clock.us + 1)) == []
    assert len(store.faults.between(began + 5_000_000, began + 6_000_000)) == 1


def test_a_heartbeat_never_closes_what_the_center_says_of_the_pole(store: Store) -> None:
    store.faults.open("pole-1", Fault(code="inspection-due", since_us=1), "center")
    beat(store, make_heartbeat())
    assert [row.code for row in store.faults.standing("pole-1")] == ["inspection-due"]
