"""One connection to `center.sqlite`: how it is opened, how a transaction runs, what an error becomes.

Rules:
* WAL; `synchronous=FULL`, so a commit that returned is on the disk (receipts stand on that);
  `durable=False` is for telemetry, which the pole says again in seconds: its commits cost no fsync and
  therefore hold the one write lock only briefly while an alarm waits for it;
* a lock serialises the threads of one process on a connection; a busy database is waited for `BUSY_S`;
* a write begins with BEGIN IMMEDIATE: it waits at its begin and never fails half-way for want of the lock;
* every sqlite3.Error leaves as StoreError, after a rollback; a value that can never be stored (an integer over 64
  bits) is the sender's fault, a ContractError: taken for a broken disk it would be tried again for ever.
"""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from center.errors import ContractError, StoreError
from center.store.schema import APPLICATION_ID, STEPS, VERSION

BUSY_S = 2.0
MMAP_BYTES = 64 << 20


class Database:
    """A thread-safe connection. Reads through `rows` and `row`, writes inside `transaction()`."""

    def __init__(self, path: Path, *, durable: bool = True, autocheckpoint: bool = True) -> None:
        """Open `path`, making or migrating it.

        With `autocheckpoint=False` somebody else must call `checkpoint` (the alarm path leaves it to telemetry).

        Raises:
            StoreError: not writable, not ours, or of a newer schema.
        """
        self._path = path
        self._lock = threading.RLock()
        self._depth = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        except (sqlite3.Error, OSError) as exc:
            raise StoreError(f"{path} cannot be opened: {exc}; check state_dir and its rights") from exc
        self._connection.row_factory = sqlite3.Row
        try:
            self._prepare(durable, autocheckpoint)
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self, durable: bool, autocheckpoint: bool) -> None:
        for pragma in (
            "journal_mode = WAL",
            f"synchronous = {'FULL' if durable else 'NORMAL'}",
            "foreign_keys = OFF",
            f"mmap_size = {MMAP_BYTES}",
            f"wal_autocheckpoint = {1000 if autocheckpoint else 0}",
        ):
            self._execute(f"PRAGMA {pragma}")
        self._migrate()
        self._execute("PRAGMA foreign_keys = ON")

    def _migrate(self) -> None:
        if self._versions() == (APPLICATION_ID, VERSION):
            return
        with self.transaction():
            application, version = self._versions()
            if version > VERSION:
                raise StoreError(f"{self._path} has schema {version}, this program knows {VERSION}: update pole-center")
            empty = not self.row("SELECT 1 FROM sqlite_master")
            if application != APPLICATION_ID and not empty:
                raise StoreError(f"{self._path} is another program's database; name another state_dir")
            for step in STEPS[version:]:
                for statement in _statements(step):
                    self._execute(statement)
            if self.row("PRAGMA foreign_key_check"):
                raise StoreError(f"{self._path} holds rows that belong to nothing; restore it from a copy")
            self._execute(f"PRAGMA application_id = {APPLICATION_ID}")
            self._execute(f"PRAGMA user_version = {VERSION}")

    def _versions(self) -> tuple[int, int]:
        return int(self._execute("PRAGMA application_id").fetchone()[0]), int(
            self._execute("PRAGMA user_version").fetchone()[0]
        )

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run the body in one transaction; a nested one joins the outer.

        Raises:
            StoreError: it could not begin or commit; nothing of it is kept.
        """
        with self._lock:
            if self._depth:
                yield
                return
            self._execute("BEGIN IMMEDIATE")
            self._depth = 1
            try:
                yield
                self._execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.rollback()
                raise
            finally:
                self._depth = 0

    def write(self, sql: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        """Run one statement inside the caller's `transaction()`."""
        assert self._depth > 0, "write outside a transaction"
        return self._execute(sql, values)

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """Return every row of a query."""
        with self._lock:
            return self._execute(sql, values).fetchall()

    def row(self, sql: str, values: Sequence[Any] = ()) -> sqlite3.Row | None:
        """Return the first row of a query, or None."""
        with self._lock:
            found: sqlite3.Row | None = self._execute(sql, values).fetchone()
            return found

    def data_version(self) -> int:
        """Return a number that changes when another connection committed (SQLite pragma data_version)."""
        with self._lock:
            return int(self._execute("PRAGMA data_version").fetchone()[0])

    def checkpoint(self) -> None:
        """Move the write-ahead log into the database without blocking a writer (PASSIVE)."""
        with self._lock:
            self._execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._connection.close()

    def _execute(self, sql: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        try:
            return self._connection.execute(sql, values)
        except sqlite3.Error as exc:
            raise StoreError(f"{self._path}: {exc}") from exc
        except (OverflowError, UnicodeEncodeError) as exc:
            raise ContractError(f"a value does not fit the database: {exc}") from exc


def _statements(script: str) -> Iterator[str]:
    """Split a script into statements; `executescript` would commit the transaction it runs in."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
