"""A small SQLite database that survives power cuts and its own damage: the bell's outbox, the commands' memory.

Rules:
* WAL, `synchronous=FULL`: what a commit returned from is on disk; one connection, used from one thread at a time;
* opened at the first call; every failure is the owner's error, and the next call tries anew, so a disk that has room
  again needs no restart;
* a damaged database, or one of a newer schema, is moved to `quarantine/` beside it (the last `KEEP_DAMAGED` are kept)
  and a fresh one begun: damage is never a reason to stop a service. `damaged` says where the old one lies.
"""

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from agent.clock import Clock
from agent.contract.errors import PoleAgentError

KEEP_DAMAGED = 3
_FILES = ("-wal", "-shm", "")


@dataclass(frozen=True)
class Schema:
    """`text` creates what is missing (a database of an older version lacks tables only); `prepare` fills first rows."""

    text: str
    application_id: int
    version: int
    prepare: Callable[[sqlite3.Connection], None] | None = None
    autocheckpoint: bool = True


class DurableDatabase:
    """The database at `path`; `error` is what every failure becomes, with a sentence for a person."""

    def __init__(self, path: Path, clock: Clock, schema: Schema, error: type[PoleAgentError]) -> None:
        self._path = path
        self._clock = clock
        self._schema = schema
        self._error = error
        self._db: sqlite3.Connection | None = None
        self.damaged: Path | None = None

    def close(self) -> None:
        """Let go of the database; the next call opens it again."""
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()
            self._db = None

    @contextlib.contextmanager
    def commit(self) -> Iterator[sqlite3.Connection]:
        """Run the block in one transaction that is on disk when the block is left.

        Raises:
            PoleAgentError: the owner's kind; nothing of the block is on disk.
        """
        with self.using() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")

    @contextlib.contextmanager
    def using(self) -> Iterator[sqlite3.Connection]:
        """Give the connection for single statements, each its own transaction.

        Raises:
            PoleAgentError: the owner's kind.
        """
        try:
            yield self._connection()
        except (sqlite3.OperationalError, OSError) as exc:
            self.close()
            if isinstance(exc, self._error):
                raise
            raise self._error(f"{self._path} cannot be used: {exc}; check the disk") from exc
        except sqlite3.DatabaseError as exc:
            if type(exc) is not sqlite3.DatabaseError:  # damage is the base class itself, the rest are our mistakes
                raise
            self._quarantine(exc)
            raise self._error(f"{self._path} was damaged ({exc}) and was moved to {self.damaged}") from exc

    def _connection(self) -> sqlite3.Connection:
        if self._db is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._db = self._opened()
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError as exc:
                self._quarantine(exc)
                self._db = self._opened()
        return self._db

    def _opened(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, timeout=2.0, isolation_level=None, check_same_thread=False)
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            if not self._schema.autocheckpoint:
                db.execute("PRAGMA wal_autocheckpoint = 0")
            if db.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
                raise sqlite3.DatabaseError("quick_check found damage")
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if not 0 <= version <= self._schema.version:
                raise sqlite3.DatabaseError(f"schema version {version}, we know {self._schema.version}")
            marks = f"PRAGMA application_id={self._schema.application_id}; PRAGMA user_version={self._schema.version};"
            db.executescript(self._schema.text + marks)
            if self._schema.prepare is not None:
                self._schema.prepare(db)
        except BaseException:
            db.close()
            raise
        return db

    def _quarantine(self, cause: Exception) -> None:
        """Move the database and its journals aside; what cannot be moved stays and fails again."""
        self.close()
        folder = self._path.parent / "quarantine"
        name = f"{self._path.name}.{self._clock.utc_us()}"
        try:
            folder.mkdir(exist_ok=True)
            for suffix in _FILES:
                part = self._path.with_name(self._path.name + suffix)
                if part.exists():
                    part.rename(folder / (name + suffix))
            for old in sorted(folder.glob(f"{self._path.name}.*"))[: -len(_FILES) * KEEP_DAMAGED]:
                old.unlink()
        except OSError as exc:
            raise self._error(f"{self._path} is damaged ({cause}) and cannot be moved away: {exc}") from exc
        self.damaged = folder / name
