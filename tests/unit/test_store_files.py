"""Objects, records, events, quarantine and the database itself."""

import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.center_store import CenterClock, open_store

from center.errors import ConflictError, ContractError, StoreError
from center.store import Store, StoredObject, events, quarantine
from center.store.schema import VERSION

STORED = StoredObject("s1", "pole-1", "front", 100, 200, 5, "aa", "r", "p", 1, "note", b"{}")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path)
    yield store
    store.close()


def gap(start_us: int, end_us: int, pole: str = "pole-1") -> bytes:
    span = f'"start_us":{start_us},"end_us":{end_us}'
    return f'{{"kind":"gap","pole":"{pole}","camera":"front","cause":"power",{span}}}'.encode()


def test_an_object_is_found_again_as_it_was_given(store: Store) -> None:
    assert store.objects.add(STORED) == STORED
    assert store.objects.get("s1") == STORED
    assert store.objects.totals() == (1, 5)


def test_the_same_object_again_keeps_the_first_receipt(store: Store) -> None:
    store.objects.add(STORED)
    assert store.objects.add(replace(STORED, receipt="another", stored_at_us=9)) == STORED


@pytest.mark.parametrize("change", [{"sha256": "bb"}, {"pole": "pole-2"}])
def test_a_segment_has_one_digest_and_one_pole_for_ever(store: Store, change: dict[str, str]) -> None:
    store.objects.add(STORED)
    with pytest.raises(ConflictError, match="another digest"):
        store.objects.add(replace(STORED, **change))  # type: ignore[arg-type]


@pytest.mark.parametrize(("from_us", "to_us", "found"), [(0, 100, 0), (0, 101, 1), (199, 300, 1), (200, 300, 0)])
def test_objects_of_a_span_are_those_that_overlap_it(store: Store, from_us: int, to_us: int, found: int) -> None:
    store.objects.add(STORED)
    assert len(store.objects.by_pole("pole-1", "front", from_us, to_us)) == found


def test_the_timeline_shows_every_log_of_a_pole(store: Store) -> None:
    store.records.add_records("pole-1", 0, [gap(0, 10), gap(30, 40)], log="a" * 32)
    store.records.add_records("pole-1", 0, [gap(10, 30)], log="b" * 32)
    assert [span.start_us for span in store.records.timeline("pole-1", "front", 0, 50)] == [0, 10, 30]


def test_records_are_taken_in_order_and_the_next_index_is_told(store: Store) -> None:
    assert store.records.next_record("pole-1") == 0
    assert store.records.add_records("pole-1", 0, [gap(0, 1), gap(1, 2)]) == 2
    assert store.records.add_records("pole-1", 2, [gap(2, 3)]) == 3
    assert list(store.records.raw("pole-1")) == [gap(0, 1), gap(1, 2), gap(2, 3)]


def test_a_batch_beyond_the_next_index_stores_nothing(store: Store) -> None:
    assert store.records.add_records("pole-1", 5, [gap(0, 1)]) == 0
    assert list(store.records.raw("pole-1")) == []


def test_an_overlapping_batch_adds_only_what_is_new(store: Store) -> None:
    store.records.add_records("pole-1", 0, [gap(0, 1), gap(1, 2)])
    assert store.records.add_records("pole-1", 1, [gap(1, 2), gap(2, 3)]) == 3


def test_a_batch_sent_again_in_full_does_not_move_the_index_back(store: Store) -> None:
    store.records.add_records("pole-1", 0, [gap(0, 1), gap(1, 2)])
    assert store.records.add_records("pole-1", 0, [gap(0, 1)]) == 2


def test_a_rewritten_history_is_refused_whole(store: Store) -> None:
    store.records.add_records("pole-1", 0, [gap(0, 1)])
    with pytest.raises(ConflictError, match="record 0 of pole pole-1 differs"):
        store.records.add_records("pole-1", 0, [gap(0, 9), gap(9, 10)])
    assert store.records.next_record("pole-1") == 1


@pytest.mark.parametrize("raw", [b"", b"[]", b"\xff", gap(0, 1, "pole-2"), b"{}"])
def test_a_record_that_is_damaged_or_anothers_is_refused(store: Store, raw: bytes) -> None:
    with pytest.raises(ContractError):
        store.records.add_records("pole-1", 0, [gap(0, 1), raw])
    assert store.records.next_record("pole-1") == 0


def test_a_record_of_an_unknown_kind_keeps_its_place(store: Store) -> None:
    odd = b'{"kind":"weather","pole":"pole-1","start_us":"never","end_us":1e99}'
    assert store.records.add_records("pole-1", 0, [odd]) == 1
    assert list(store.records.raw("pole-1")) == [odd]


def test_the_timeline_tells_stored_from_only_stated(store: Store) -> None:
    segments = [
        f'{{"kind":"segment","pole":"pole-1","camera":"front","segment":"s{n}","start_us":{n}00,"end_us":{n + 1}00}}'
        for n in (1, 2)
    ]
    store.records.add_records("pole-1", 0, [gap(0, 100), *(text.encode() for text in segments)])
    store.objects.add(STORED)
    spans = store.records.timeline("pole-1", "front", 0, 1000)
    assert [(span.kind, span.cause, span.segment, span.stored) for span in spans] == [
        ("gap", "power", "", False),
        ("segment", "", "s1", True),
        ("segment", "", "s2", False),
    ]
    assert list(store.records.cameras("pole-1")) == ["front"]


def test_events_come_in_order_and_only_the_newest_are_kept(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "KEEP", 500)
    with store.database.transaction():
        for number in range(1000):
            store.events.append("pole", {"n": number})
    kept = store.events.after(0, 10_000)
    assert [event.data["n"] for event in kept] == list(range(500, 1000))
    assert store.events.newest() == 1000
    assert [event.id for event in store.events.after(998)] == [999, 1000]


def test_a_flood_of_footage_does_not_wash_a_security_event_away(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "KEEP", 500)
    first = store.events.append("security", {"what": "record-log-new"})
    with store.database.transaction():
        for number in range(2000):
            store.events.append("object", {"number": number})
    assert [event.id for event in store.events.of_kind("security")] == [first]
    with store.database.transaction():
        for number in range(2000):
            store.events.append("security", {"number": number})
    kept = store.events.of_kind("security", limit=5000)
    assert 500 <= len(kept) < 1600, "they are bounded too"


def test_the_quarantine_keeps_the_newest_and_cuts_long_payloads(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine, "KEEP", 3)
    for number in range(5):
        store.quarantine.add("pole-1", f"t{number}", "bad", bytes(100_000))
    kept = store.quarantine.newest()
    assert [row.source for row in kept] == ["t4", "t3", "t2"]
    assert len(kept[0].payload) == quarantine.MAX_BYTES


def test_a_commit_is_on_disk_when_it_returns(store: Store) -> None:
    (mode,) = store.database.row("PRAGMA journal_mode") or ("",)
    (level,) = store.database.row("PRAGMA synchronous") or (0,)
    assert (mode, level) == ("wal", 2)


def test_another_process_sees_what_was_committed(tmp_path: Path, store: Store) -> None:
    other = open_store(tmp_path)
    before = other.database.data_version()
    store.write_check()
    assert other.database.data_version() != before
    other.close()


def test_an_older_program_refuses_a_newer_schema(tmp_path: Path, store: Store) -> None:
    store.close()
    with sqlite3.connect(tmp_path / "center.sqlite") as raw:
        raw.execute(f"PRAGMA user_version = {VERSION + 1}")
    raw.close()
    with pytest.raises(StoreError, match="update pole-center"):
        open_store(tmp_path)


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    raw = sqlite3.connect(tmp_path / "center.sqlite")
    raw.execute("CREATE TABLE theirs (x)")
    raw.close()
    with pytest.raises(StoreError, match="another program's database"):
        open_store(tmp_path)


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "center.sqlite").write_bytes(b"not a database at all" * 100)
    with pytest.raises(StoreError, match=r"center\.sqlite"):
        open_store(tmp_path)


def test_two_programs_that_start_at_once_make_one_schema(tmp_path: Path) -> None:
    opened: list[Store] = []
    threads = [threading.Thread(target=lambda: opened.append(open_store(tmp_path))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 6
    for store in opened:
        store.write_check()
        store.close()


def test_a_failed_transaction_leaves_nothing_and_the_next_one_works(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.database.transaction():
        store.events.append("pole", {})
        raise ZeroDivisionError
    assert store.events.newest() == 0
    store.write_check()


def test_a_failed_inner_step_takes_the_outer_one_with_it(store: Store) -> None:
    with pytest.raises(StoreError), store.database.transaction():
        store.events.append("pole", {})
        store.database.write("INSERT INTO nowhere VALUES (1)")
    assert store.events.newest() == 0


def test_a_number_too_large_for_the_database_is_the_senders_mistake(store: Store) -> None:
    with pytest.raises(ContractError, match="does not fit"):
        store.objects.add(replace(STORED, end_us=2**70))
    store.write_check()


def test_clocks_of_rows_are_the_centers(tmp_path: Path) -> None:
    clock = CenterClock()
    clock.advance(5)
    store = open_store(tmp_path, clock)
    store.events.append("pole", {})
    assert store.events.after(0)[0].at_us == clock.us
    store.close()
