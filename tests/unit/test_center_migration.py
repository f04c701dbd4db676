"""A database of the first schema opens, keeps all it held, and works on."""

import sqlite3
from pathlib import Path

import pytest
from support.center_alarms import make_alarm
from support.center_store import START_US, CenterClock, open_store

from agent.contract.messages import AlarmUpdate, decode, encode
from center.errors import StoreError
from center.store.schema import APPLICATION_ID, STEPS, VERSION

OLD = ("open", "answered", "closed", "reopened")


def first_schema(directory: Path) -> Path:
    """A database as the first release wrote it: an incident of each kind, with presses and an answer on its way."""
    path = directory / "center.sqlite"
    with sqlite3.connect(path, isolation_level=None) as raw:
        raw.executescript(STEPS[0])
        raw.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        raw.execute("PRAGMA user_version = 1")
        raw.execute("PRAGMA foreign_keys = ON")
        for number, state in enumerate(OLD):
            answered = None if state == "open" else START_US + 5
            closed = START_US + 9 if state in ("closed", "reopened") else None
            raw.execute(
                "INSERT INTO incident VALUES (?, 'pole-1', ?, 2, 'pressed', 0, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    state,
                    "open" if state == "reopened" else state,
                    START_US,
                    START_US,
                    START_US + number,
                    answered,
                    "kim" if answered else "",
                    closed,
                    "lee" if closed else "",
                    "prank" if closed else "",
                ),
            )
            for press in (1, 2):
                alarm = make_alarm(alarm_id=f"{state}-{press}", incident_id=state, press_number=press)
                raw.execute(
                    "INSERT INTO alarm VALUES (?, ?, 'pole-1', ?, ?, 'pressed', ?, ?)",
                    (alarm.alarm_id, state, press, START_US, START_US + 20 * press, encode(alarm)),
                )
        update = AlarmUpdate(incident_id="answered", state="answered", at_us=START_US + 5, by="kim")
        raw.execute(
            "INSERT INTO down_queue VALUES (7, 'pole-1', 'answered', 'answer', ?, ?, NULL)",
            (encode(update), START_US + 5),
        )
    raw.close()
    return path


def test_an_old_database_opens_with_all_it_held(tmp_path: Path) -> None:
    first_schema(tmp_path)
    store = open_store(tmp_path)
    rows = {row.incident_id: row for row in store.alarms.incidents("all")}
    assert {name: row.state for name, row in rows.items()} == {
        "open": "open",
        "answered": "answered",
        "closed": "closed",
        "reopened": "open",
    }
    assert (rows["answered"].owner, rows["answered"].owned_since_us) == ("kim", START_US + 5)
    assert (rows["closed"].reason, rows["closed"].closed_by) == ("prank", "lee")
    assert (rows["reopened"].owner, rows["reopened"].answered_at_us, rows["reopened"].waiting) == ("", None, True)
    assert all(row.changed_at_us == START_US + 40 for row in rows.values())
    assert [len(store.alarms.presses(name)) for name in OLD] == [2, 2, 2, 2]
    assert decode(store.alarms.down_queue()[0].payload, AlarmUpdate).by == "kim"
    assert store.alarms.answer_times(0, 2**62).count == 4
    store.close()


def test_what_was_open_in_an_old_database_can_be_worked_on(tmp_path: Path) -> None:
    first_schema(tmp_path)
    clock = CenterClock()
    clock.advance(100)
    store = open_store(tmp_path, clock)
    assert store.alarms.seen("open", "kim").state == "seen"
    assert store.alarms.dispatch("answered", "kim", "119").state == "dispatched"
    again = make_alarm(alarm_id="closed-3", incident_id="closed", press_number=3)
    store.alarms.commit(again, encode(again))
    assert {call.incident_id for call in store.escalations.waiting()} == {"open", "reopened", "closed"}
    store.close()


def test_it_is_migrated_once_and_opens_again(tmp_path: Path) -> None:
    path = first_schema(tmp_path)
    open_store(tmp_path).close()
    open_store(tmp_path).close()
    with sqlite3.connect(path) as raw:
        assert raw.execute("PRAGMA user_version").fetchone() == (VERSION,)
        assert raw.execute("PRAGMA foreign_key_check").fetchall() == []
        assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    raw.close()


def test_a_migrated_database_has_the_tables_of_a_new_one(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    old = first_schema(tmp_path / "old")
    open_store(tmp_path / "old").close()
    open_store(tmp_path / "new").close()

    def tables(path: Path) -> list[tuple[str, str]]:
        with sqlite3.connect(path) as raw:
            found = raw.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name").fetchall()
        raw.close()
        return found

    assert tables(old) == tables(tmp_path / "new" / "center.sqlite")


def test_foreign_keys_hold_after_the_migration(tmp_path: Path) -> None:
    first_schema(tmp_path)
    store = open_store(tmp_path)
    with pytest.raises(StoreError, match="FOREIGN KEY"), store.database.transaction():
        store.database.write("DELETE FROM incident WHERE incident_id = 'open'")
    store.close()


def test_a_database_with_orphans_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    path = first_schema(tmp_path)
    with sqlite3.connect(path) as raw:
        raw.execute("DELETE FROM incident WHERE incident_id = 'open'")
    raw.close()
    with pytest.raises(StoreError, match="belong to nothing"):
        open_store(tmp_path)
    with sqlite3.connect(path) as raw:
        assert raw.execute("PRAGMA user_version").fetchone() == (1,)
    raw.close()


def test_the_records_of_an_old_database_stay_in_a_log_without_a_name(tmp_path: Path) -> None:
    path = first_schema(tmp_path)
    record = b'{"kind":"gap","pole":"pole-1","camera":"front","cause":"power","start_us":1,"end_us":2}'
    with sqlite3.connect(path) as raw:
        raw.execute("INSERT INTO record VALUES ('pole-1', 0, 'gap', 'front', '', 'power', 1, 2, ?)", (record,))
    raw.close()
    store = open_store(tmp_path)
    assert list(store.records.raw("pole-1")) == [record]
    assert store.records.next_record("pole-1") == 1 and store.records.next_record("pole-1", "a" * 32) == 0
    assert [span.kind for span in store.records.timeline("pole-1", "front", 0, 9)] == ["gap"]
    store.close()
