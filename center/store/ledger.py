"""The ledger of use, viewing, provision and destruction (R-LEDGER: Osan 32(4) and its form 2, Yeosu 33).

Rules:
* append-only: the database itself refuses to change or remove a row (triggers in the schema);
* each row's hash is SHA-256 over the hash before it and its own canonical JSON; the first stands on 64 zeros;
* `verify` reads every row again and names the first that does not fit; it cannot see a cut tail, so the newest
  hash belongs on paper once a month (docs/guide/center.md);
* the row is committed before the act it speaks of begins.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from sqlite3 import Row
from typing import Literal

import msgspec

from agent.contract.canonical_json import canonical_bytes
from center.errors import ConflictError
from center.store.database import Database
from center.store.events import Events

Kind = Literal["viewing", "use", "provision", "destruction"]
START = "0" * 64


@dataclass(frozen=True)
class LedgerEntry:
    """What the form asks: `file` is the segment or file, `purpose` the reason given, `recipient` who received it."""

    kind: Kind
    file: str
    officer: str
    purpose: str
    sha256: str = ""
    recipient: str = ""
    ground: str = ""
    form: str = ""
    period: str = ""
    approval: str = ""


@dataclass(frozen=True)
class LedgerRow:
    """One row as it stands: its number, its instant, its entry and its place in the chain."""

    id: int
    at_us: int
    entry: LedgerEntry
    prev_hash: str
    hash: str


class Ledger:
    """The ledger table."""

    def __init__(self, database: Database, events: Events, now_us: Callable[[], int]) -> None:
        self._database = database
        self._events = events
        self._now_us = now_us

    def add(self, entry: LedgerEntry) -> int:
        """Append a row durably and return its number.

        Raises:
            ConflictError: the officer, the purpose or the file is not named.
            StoreError: not written; the act must not happen.
        """
        missing = [name for name in ("officer", "purpose", "file") if not getattr(entry, name).strip()]
        if missing:
            raise ConflictError(f"the ledger needs {' and '.join(missing)}: name it")
        with self._database.transaction():
            last = self._database.row("SELECT id, hash FROM ledger ORDER BY id DESC LIMIT 1")
            number, prev_hash = (int(last["id"]) + 1, str(last["hash"])) if last else (1, START)
            text = canonical_bytes({"no": number, "at_us": self._now_us(), **asdict(entry)})
            self._database.write(
                "INSERT INTO ledger VALUES (?, ?, ?, ?)", (number, text, prev_hash, chain(prev_hash, text))
            )
            told = {"no": number, "kind": entry.kind, "file": entry.file, "officer": entry.officer}
            self._events.append("ledger", told)
        return number

    def list(self, limit: int = 1000, before: int | None = None) -> Sequence[LedgerRow]:
        """Return rows, newest first, older than row `before`."""
        rows = self._database.rows(
            "SELECT * FROM ledger WHERE (?1 IS NULL OR id < ?1) ORDER BY id DESC LIMIT ?2", (before, limit)
        )
        return [_row(row) for row in rows]

    def oldest_first(self) -> Iterator[LedgerRow]:
        """Yield every row in order, reading a thousand at a time."""
        last = 0
        while rows := self._database.rows("SELECT * FROM ledger WHERE id > ? ORDER BY id LIMIT 1000", (last,)):
            yield from (_row(row) for row in rows)
            last = int(rows[-1]["id"])

    def verify(self) -> tuple[int, str]:
        """Check the whole chain; return how many rows stand and the newest hash.

        Raises:
            ConflictError: a row was changed, removed or put in; names its number.
        """
        count, prev_hash, last = 0, START, 0
        while rows := self._database.rows("SELECT * FROM ledger WHERE id > ? ORDER BY id LIMIT 1000", (last,)):
            for row in rows:
                count += 1
                _check(row, count, prev_hash)
                prev_hash = str(row["hash"])
            last = int(rows[-1]["id"])
        return count, prev_hash


def chain(prev_hash: str, text: bytes) -> str:
    """Return the hash of a row: SHA-256 of the hash before it (hexadecimal), a line feed, and its text."""
    return hashlib.sha256(prev_hash.encode() + b"\n" + text).hexdigest()


def _check(row: Row, number: int, prev_hash: str) -> None:
    text = bytes(row["entry"])
    fits = row["id"] == number and row["prev_hash"] == prev_hash and row["hash"] == chain(prev_hash, text)
    if not fits or msgspec.json.decode(text).get("no") != number:
        raise ConflictError(f"the ledger is broken at row {row['id']}: it was changed outside this program")


def _row(row: Row) -> LedgerRow:
    fields = msgspec.json.decode(bytes(row["entry"]))
    number, at_us = fields.pop("no"), fields.pop("at_us")
    return LedgerRow(number, at_us, LedgerEntry(**fields), row["prev_hash"], row["hash"])
