import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.center_store import open_store

from center.errors import ConflictError
from center.store import LedgerEntry, Store
from center.store.ledger import START, chain

ENTRY = LedgerEntry("viewing", "pole-1.front.x", "김 경위", "사건 2026-1")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path)
    yield store
    store.close()


def without_triggers(tmp_path: Path, sql: str) -> None:
    """Do what somebody with the file in hand could do."""
    raw = sqlite3.connect(tmp_path / "center.sqlite", isolation_level=None)
    for name in ("ledger_no_update", "ledger_no_delete"):
        raw.execute(f"DROP TRIGGER {name}")
    raw.execute(sql)
    raw.close()


def test_rows_are_numbered_from_one_and_kept_as_given(store: Store) -> None:
    assert [store.ledger.add(ENTRY), store.ledger.add(ENTRY)] == [1, 2]
    newest = store.ledger.list()[0]
    assert (newest.id, newest.entry) == (2, ENTRY)


def test_each_row_stands_on_the_one_before(store: Store) -> None:
    for _ in range(3):
        store.ledger.add(ENTRY)
    rows = list(store.ledger.oldest_first())
    assert [row.prev_hash for row in rows] == [START, rows[0].hash, rows[1].hash]
    assert store.ledger.verify() == (3, rows[2].hash)


def test_an_empty_ledger_is_in_order(store: Store) -> None:
    assert store.ledger.verify() == (0, START)


@pytest.mark.parametrize(
    "sql", ["UPDATE ledger SET hash = ''", "DELETE FROM ledger", "REPLACE INTO ledger VALUES (1,'','','')"]
)
def test_the_database_itself_refuses_to_change_a_row(tmp_path: Path, store: Store, sql: str) -> None:
    store.ledger.add(ENTRY)
    raw = sqlite3.connect(tmp_path / "center.sqlite")
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        raw.execute(sql)
    raw.close()


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE ledger SET entry = CAST(replace(CAST(entry AS TEXT), 'viewing', 'use') AS BLOB) WHERE id = 2",
        "UPDATE ledger SET hash = '00' WHERE id = 2",
        "DELETE FROM ledger WHERE id = 2",
        "DELETE FROM ledger WHERE id = 1",
        "UPDATE ledger SET id = 9 WHERE id = 3",
    ],
)
def test_a_row_changed_behind_our_back_is_found(tmp_path: Path, store: Store, sql: str) -> None:
    for _ in range(3):
        store.ledger.add(ENTRY)
    without_triggers(tmp_path, sql)
    with pytest.raises(ConflictError, match="broken at row"):
        store.ledger.verify()


@pytest.mark.parametrize("missing", ["officer", "purpose", "file"])
def test_a_row_needs_officer_purpose_and_file(store: Store, missing: str) -> None:
    fields = {"file": "f", "officer": "o", "purpose": "p", missing: "  "}
    with pytest.raises(ConflictError, match=missing):
        store.ledger.add(LedgerEntry("viewing", **fields))
    assert list(store.ledger.list()) == []


def test_anybody_can_compute_the_hash_from_the_page(store: Store, tmp_path: Path) -> None:
    store.ledger.add(ENTRY)
    row = store.database.row("SELECT * FROM ledger")
    assert row is not None
    assert row["hash"] == chain(START, bytes(row["entry"]))


def test_pages_of_the_ledger_go_back_without_overlap(store: Store) -> None:
    for _ in range(5):
        store.ledger.add(ENTRY)
    first = store.ledger.list(limit=2)
    assert [row.id for row in first] == [5, 4]
    assert [row.id for row in store.ledger.list(limit=2, before=first[-1].id)] == [3, 2]
