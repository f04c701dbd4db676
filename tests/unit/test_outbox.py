"""The outbox: what was committed is there after a restart, whatever happened to the disk."""

import sqlite3

import msgspec
import pytest

from agent.bell.outbox import KEEP_ROWS, Outbox, OutboxError
from agent.clock import SimulatedClock
from agent.contract.messages import Alarm, AlarmReceipt, AlarmUpdate, ClockState, encode
from agent.durable_database import KEEP_DAMAGED

CLOCK_STATE = ClockState(synced=True, source="ntp", error_us=1)
DAY_US = 86_400_000_000
VERSION_1 = """
CREATE TABLE alarm (seq INTEGER PRIMARY KEY, alarm_id TEXT NOT NULL UNIQUE, incident_id TEXT NOT NULL,
    press_number INTEGER NOT NULL, pressed_at_us INTEGER NOT NULL, payload BLOB NOT NULL,
    committed_at_us INTEGER) STRICT;
CREATE INDEX alarm_waiting ON alarm (seq) WHERE committed_at_us IS NULL;
CREATE TABLE incident (incident_id TEXT PRIMARY KEY, state TEXT NOT NULL, at_us INTEGER NOT NULL,
    by_whom TEXT NOT NULL, reason TEXT NOT NULL) STRICT;
PRAGMA application_id = 0x62656C6C;
PRAGMA user_version = 1;
"""


@pytest.fixture
def clock():
    return SimulatedClock()


@pytest.fixture
def outbox(tmp_path, clock):
    box = Outbox(tmp_path / "state" / "outbox.sqlite", clock)
    yield box
    box.close()


def alarm(number, clock, incident="i1"):
    return Alarm(
        alarm_id=f"a{number}",
        incident_id=incident,
        press_number=number,
        pole="pole-1",
        pressed_at_us=clock.utc_us(),
        clock=CLOCK_STATE,
        line="pressed",
    )


def update(state, incident="i1"):
    return AlarmUpdate(incident_id=incident, state=state, at_us=5, by="kim")


def again(outbox, clock):
    """What a service that starts now would know."""
    fresh = Outbox(outbox._path, clock)
    try:
        return fresh.load("pole-1", 50.0)
    finally:
        fresh.close()


def waiting(state):
    return [waiting.alarm.alarm_id for waiting in state.waiting]


def test_an_unreceipted_alarm_is_there_after_a_restart_and_due_at_once(outbox, clock):
    outbox.add(alarm(1, clock))
    outbox.add(alarm(2, clock))
    state = again(outbox, clock)
    assert waiting(state) == ["a1", "a2"]
    assert (state.incident_id, state.press_number, state.phase) == ("i1", 2, "calling")
    assert state.next_due_mono_s() == 50.0


def test_the_state_of_the_incident_survives(outbox, clock):
    outbox.add(alarm(1, clock))
    outbox.receipt(AlarmReceipt(alarm_id="a1", committed_at_us=9))
    assert again(outbox, clock).phase == "received"
    assert again(outbox, clock).receipted_at_us == 9
    outbox.update(update("answered"))
    assert again(outbox, clock).phase == "answered"
    outbox.update(update("closed"))
    assert again(outbox, clock).phase == "ready"


def test_an_operator_s_words_lead_only_forward(outbox, clock):
    outbox.add(alarm(1, clock))
    outbox.receipt(AlarmReceipt(alarm_id="a1", committed_at_us=9))
    for word, phase in (("seen", "seen"), ("dispatched", "dispatched"), ("answered", "dispatched")):
        outbox.update(update(word))
        assert again(outbox, clock).phase == phase


def test_the_incident_before_is_known_after_a_restart_whether_one_is_open_or_not(outbox, clock):
    outbox.add(alarm(1, clock, "first"))
    outbox.update(update("closed", "first"))
    assert again(outbox, clock).previous_incident_id == "first"
    outbox.add(msgspec.structs.replace(alarm(2, clock, "second"), previous_incident_id="first"))
    state = again(outbox, clock)
    assert (state.incident_id, state.previous_incident_id) == ("second", "first")


def test_every_call_twice_is_as_once(outbox, clock):
    for _ in range(2):
        outbox.add(alarm(1, clock))
    for at_us in (9, 10):
        outbox.receipt(AlarmReceipt(alarm_id="a1", committed_at_us=at_us))
    assert again(outbox, clock).receipted_at_us == 9
    for _ in range(2):
        outbox.update(update("closed"))
    outbox.add(alarm(1, clock))
    outbox.update(update("answered"))
    state = again(outbox, clock)
    assert (waiting(state), state.phase) == ([], "ready")


def test_a_reopened_call_is_unanswered_after_a_restart_and_a_closed_one_stays_closed(outbox, clock):
    outbox.add(alarm(1, clock))
    outbox.receipt(AlarmReceipt(alarm_id="a1", committed_at_us=9))
    outbox.update(update("answered"))
    outbox.reopen("i1")
    assert again(outbox, clock).phase == "received"
    outbox.update(update("closed"))
    outbox.reopen("i1")
    assert again(outbox, clock).phase == "ready"


def test_words_on_unknown_alarms_and_incidents_change_nothing(outbox, clock):
    outbox.receipt(AlarmReceipt(alarm_id="nobody", committed_at_us=9))
    outbox.update(update("answered", "nobody"))
    assert again(outbox, clock).phase == "ready"


def test_old_receipted_alarms_go_and_unreceipted_ones_never(outbox, clock):
    outbox.add(alarm(1, clock, "old"))
    outbox.receipt(AlarmReceipt(alarm_id="a1", committed_at_us=9))
    outbox.update(update("closed", "old"))
    outbox.add(alarm(2, clock, "lost"))
    outbox.update(update("closed", "lost"))  # closed or not: what nobody has receipted stays
    clock.advance(31 * 86_400)
    outbox.tend()
    assert waiting(again(outbox, clock)) == ["a2"]
    assert [window.incident_id for window in outbox.windows(0)] == ["lost"]


def test_receipted_alarms_are_bounded_in_number(outbox, clock):
    outbox.add(alarm(1, clock, "first"))
    outbox.receipt(AlarmReceipt(alarm_id="a1", committed_at_us=9))
    outbox.update(update("closed", "first"))
    outbox._db.execute("INSERT INTO alarm VALUES (?, 'far', 'second', 1, ?, x'', 1)", (KEEP_ROWS + 1, clock.utc_us()))
    outbox.tend()
    rows = outbox._db.execute("SELECT alarm_id FROM alarm").fetchall()
    assert rows == [("far",)]


def test_footage_windows_stay_until_received_and_closed_and_past(outbox, clock):
    outbox.add(alarm(1, clock))
    late_us = clock.utc_us() + DAY_US
    assert [window.incident_id for window in outbox.windows(late_us)] == ["i1"]
    outbox.receipt(AlarmReceipt(alarm_id="a1", committed_at_us=9))
    assert outbox.windows(late_us)
    outbox.update(update("closed"))
    assert outbox.windows(clock.utc_us())
    assert outbox.windows(late_us) == []


@pytest.mark.parametrize("content", [b"no database at all", b"SQLite format 3\0" + b"\xff" * 4096])
def test_a_damaged_database_is_put_aside_and_a_fresh_one_begun(outbox, clock, content):
    outbox._path.parent.mkdir()
    outbox._path.write_bytes(content)
    outbox.add(alarm(1, clock))
    assert waiting(again(outbox, clock)) == ["a1"]
    assert outbox.damaged is not None and outbox.damaged.read_bytes() == content


def test_damage_found_in_use_fails_that_call_and_the_next_one_works(outbox, clock):
    for number in range(1, 200):
        outbox.add(alarm(number, clock))
    outbox.tend()
    outbox.close()
    with outbox._path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 60_000)
    outbox.load("pole-1", 0.0)
    assert outbox.damaged is not None
    outbox.add(alarm(7, clock))
    assert waiting(again(outbox, clock)) == ["a7"]


def test_a_database_of_a_newer_version_is_kept_aside(outbox, clock):
    outbox.add(alarm(1, clock))
    outbox._db.execute("PRAGMA user_version = 99")
    outbox.close()
    assert waiting(outbox.load("pole-1", 0.0)) == []
    with sqlite3.connect(outbox.damaged) as kept:
        assert kept.execute("SELECT count(*) FROM alarm").fetchone() == (1,)
    kept.close()


def test_a_database_of_version_1_goes_on_with_what_it_holds(outbox, clock):
    """Before modes and inspections: alarm and incident were two statements, without a trigger."""
    outbox._path.parent.mkdir(parents=True)
    with sqlite3.connect(outbox._path) as old:
        old.executescript(VERSION_1)
        old.execute("INSERT INTO alarm VALUES (1, 'a1', 'i1', 1, 5, ?, NULL)", (encode(alarm(1, clock)),))
        old.execute("INSERT INTO incident VALUES ('i1', 'answered', 5, 'kim', '')")
    old.close()
    state = outbox.load("pole-1", 0.0)
    assert (waiting(state), state.word, outbox.damaged) == (["a1"], "answered", None)
    outbox.add(alarm(2, clock, "i2"))
    assert again(outbox, clock).incident_id == "i2"
    outbox.write_check()


def test_damaged_databases_do_not_fill_the_disk(outbox, clock):
    for _ in range(3 * KEEP_DAMAGED + 5):
        outbox.close()
        clock.advance(1)
        outbox._path.parent.mkdir(exist_ok=True)
        for part in outbox._path.parent.glob("outbox.sqlite*"):
            part.unlink()
        outbox._path.write_bytes(b"garbage that is no database")
        outbox.load("pole-1", 0.0)
    assert len(list((outbox._path.parent / "quarantine").iterdir())) <= 3 * KEEP_DAMAGED


def test_a_folder_that_cannot_be_made_is_an_error_and_works_as_soon_as_it_can(outbox, clock):
    outbox._path.parent.write_text("in the way")
    with pytest.raises(OutboxError, match="check the disk"):
        outbox.add(alarm(1, clock))
    outbox._path.parent.unlink()
    outbox.add(alarm(1, clock))
    assert waiting(again(outbox, clock)) == ["a1"]


def test_a_full_disk_is_an_error_and_loses_nothing_that_was_committed(outbox, clock):
    outbox.add(alarm(1, clock))
    pages = outbox._db.execute("PRAGMA page_count").fetchone()[0]
    outbox._db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(OutboxError, match="full"):
        for number in range(2, 500):
            outbox.add(alarm(number, clock))
    assert "a1" in waiting(again(outbox, clock))
    outbox.add(alarm(501, clock))


def test_a_commit_is_synchronous_and_never_a_checkpoint(outbox, clock):
    outbox.add(alarm(1, clock))
    assert outbox._db.execute("PRAGMA synchronous").fetchone() == (2,)
    assert outbox._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert outbox._db.execute("PRAGMA wal_autocheckpoint").fetchone() == (0,)
