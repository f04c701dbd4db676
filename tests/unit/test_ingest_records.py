"""A pole's records keep their order; an unreadable one never stops the rest (center.ingest.records_intake)."""

import json
from pathlib import Path

import pytest

from agent.contract.canonical_json import canonical_bytes
from center.ingest.problem import Refusal
from center.ingest.records_intake import BATCH, RecordBatch, parse_batch, stand_in, take_records, why_unreadable
from center.store import Store, records

POLE = "pole-1"


@pytest.fixture
def store(tmp_path: Path):
    store = Store(tmp_path / "center.sqlite")
    yield store
    store.close()


def record(number: int, **fields: object) -> str:
    return canonical_bytes({"kind": "boot", "pole": POLE, "n": number, **fields}).decode()


def take(store: Store, first: int, *records: str, pole: str = POLE, log: str = "") -> int:
    return take_records(store, pole, RecordBatch(first, list(records), log), lambda: 7)


def security(store: Store) -> list[str]:
    return [event.data["what"] for event in store.events.after(0) if event.kind == "security"]


def test_records_are_stored_as_they_came(store: Store):
    assert take(store, 0, record(0), record(1)) == 2
    assert take(store, 2, record(2)) == 3
    assert [bytes(raw).decode() for raw in store.records.raw(POLE)] == [record(0), record(1), record(2)]


def test_a_batch_that_leaves_a_hole_stores_nothing_and_is_told_where_to_begin(store: Store):
    take(store, 0, record(0))
    assert take(store, 5, record(5)) == 1
    assert store.records.next_record(POLE) == 1


def test_the_same_batch_again_changes_nothing(store: Store):
    for _ in range(2):
        assert take(store, 0, record(0), "not json", record(2)) == 3
    assert len(store.quarantine.newest()) == 1


@pytest.mark.parametrize(
    "damaged",
    [
        "not json",
        "[]",
        "1",
        '{"pole": "pole-1"}',
        '{"pole":"pole-2"}',
        '{"n":1}',
        '{"pole":"pole-1","x":1e400}',
        "[" * 9000,
    ],
)
def test_an_unreadable_record_is_kept_in_quarantine_and_its_place_is_taken(store: Store, damaged: str):
    assert take(store, 0, record(0), damaged, record(2)) == 3
    assert store.records.raw(POLE)[1] == stand_in(damaged.encode(), POLE)
    kept = store.quarantine.newest()
    assert [row.payload for row in kept] == [damaged.encode()]
    assert kept[0].reason.startswith("record 1: ")
    assert "quarantine" in [event.kind for event in store.events.after(0)]


def test_an_unknown_kind_and_an_unknown_field_are_kept(store: Store):
    strange = record(0, kind="from-the-future", extra={"a": [1, 2]})
    assert take(store, 0, strange) == 1
    assert store.records.raw(POLE)[0] == strange.encode()


def test_a_rewritten_history_is_refused_and_raises_a_security_event(store: Store):
    take(store, 0, record(0), record(1))
    with pytest.raises(Refusal) as caught:
        take(store, 1, record(9), record(2))
    assert caught.value.code == "record-conflict"
    assert store.records.next_record(POLE) == 2
    assert security(store) == ["record-conflict"]


OLD_DISK, NEW_DISK = "a" * 32, "b" * 32


@pytest.mark.parametrize("old", [OLD_DISK, ""])
def test_a_new_disk_begins_a_new_log_beside_the_old_one_and_an_operator_is_told(store: Store, old: str):
    take(store, 0, record(0), record(1), log=old)
    assert security(store) == []
    assert take(store, 0, record(7), log=NEW_DISK) == 1
    assert take(store, 1, record(8), log=NEW_DISK) == 2
    assert [bytes(raw).decode() for raw in store.records.raw(POLE)] == [record(n) for n in (0, 1, 7, 8)]
    assert [log.log_id for log in store.records.logs(POLE)] == [old, NEW_DISK]
    assert security(store) == ["record-log-new"]


def test_the_old_disk_put_back_goes_on_where_its_log_ended(store: Store):
    take(store, 0, record(0), log=OLD_DISK)
    take(store, 0, record(7), log=NEW_DISK)
    assert take(store, 1, record(1), log=OLD_DISK) == 2
    assert security(store) == ["record-log-new"]


def test_a_new_log_does_not_let_an_old_one_be_rewritten(store: Store):
    take(store, 0, record(0), log=OLD_DISK)
    take(store, 0, record(7), log=NEW_DISK)
    with pytest.raises(Refusal):
        take(store, 0, record(9), log=OLD_DISK)
    assert security(store) == ["record-log-new", "record-conflict"]


def test_a_pole_can_not_begin_logs_without_end(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(records, "LOGS_PER_POLE", 2)
    for log in ("a", "b"):
        take(store, 0, record(0), log=log * 32)
    with pytest.raises(Refusal):
        take(store, 0, record(0), log="c" * 32)


def test_a_field_of_a_later_version_does_not_stop_a_pole():
    assert parse_batch(b'{"first":0,"records":[],"x":1}') == RecordBatch(0, [])


def test_each_pole_has_its_own_order(store: Store):
    take(store, 0, record(0))
    other = canonical_bytes({"kind": "boot", "pole": "pole-2"}).decode()
    assert take(store, 0, other, pole="pole-2") == 1


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "bad-request"),
        (b"[]", "bad-request"),
        (b'{"first":0}', "bad-request"),
        (b'{"first":-1,"records":[]}', "bad-request"),
        (b'{"first":0,"records":[1]}', "bad-request"),
        (b'{"first":0,"records":[],"log":1}', "bad-request"),
        (b'{"first":0,"records":[],"log":"../../etc"}', "bad-request"),
        (b'{"first":0,"records":[],"log":"\\u0000"}', "bad-request"),
        (b"\xff\xfe", "bad-request"),
        (json.dumps({"first": 0, "records": [""] * (BATCH + 1)}).encode(), "too-large"),
    ],
)
def test_a_body_of_another_shape_is_refused(body: bytes, code: str):
    with pytest.raises(Refusal) as caught:
        parse_batch(body)
    assert caught.value.code == code


def test_a_canonical_record_of_this_pole_is_readable():
    assert why_unreadable(record(0).encode(), POLE) == ""
