"""The pole's durable memory of commands: who was obeyed, what must not be obeyed again, which audit rows wait.

Rules:
* SQLite, WAL, `synchronous=FULL`; one connection, used by the one thread that serves commands;
* `begin` commits the jti, the rate count and the audit row `before` together, before the pole acts: killed at any later
  instant, the command is never obeyed twice, and the center hears that it was begun;
* a command begun and not finished when the service starts is `interrupted`, never done again;
* an audit row stays until the center's receipt. `AUDITS_MAX` rows wait at most: then no command is obeyed any more
  (fail closed), while refusals stop at `REFUSALS_MAX` and are only counted, so that a flood cannot block officers;
* damage is moved to `quarantine/` and a new memory begun; its floor makes every command of the next minutes prove its
  freshness by a nonce (`agent.mqtt.replay_cache`), because what was obeyed is no longer known.
"""

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agent.clock import Clock
from agent.contract.errors import ContractError
from agent.contract.messages import CommandAudit, decode, encode
from agent.mqtt.command_error import CommandStoreError
from agent.mqtt.replay_cache import ReplayCache, fresh_cache

APPLICATION_ID = 0x706F6C64  # "pold"
SCHEMA_VERSION = 1
AUDITS_MAX = 5_000
REFUSALS_MAX = 1_000
RECENT_US = 86_400 * 1_000_000

_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS seen (jti TEXT PRIMARY KEY, exp_us INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS accepted (op TEXT NOT NULL, at_us INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS begun (jti TEXT PRIMARY KEY, payload BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS audit (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    audit_id TEXT NOT NULL UNIQUE,
    payload BLOB NOT NULL
) STRICT;
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};
"""


@dataclass(frozen=True)
class Remembered:
    """What the journal held: the replay cache, accepted times by operation, `before` rows that have no `after`."""

    cache: ReplayCache
    recent_us: dict[str, tuple[int, ...]]
    unfinished: tuple[CommandAudit, ...]


class CommandJournal:
    """The database at `path`. Opened at the first call; a failed call may be tried again."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._db: sqlite3.Connection | None = None
        self.damaged: Path | None = None

    def load(self) -> Remembered:
        """Return everything.

        Raises:
            CommandStoreError: it cannot be read.
        """
        with self._commit() as db:
            floor = db.execute("SELECT value FROM meta WHERE name = 'floor_us'").fetchone()[0]
            seen = dict(db.execute("SELECT jti, exp_us FROM seen").fetchall())
            recent: dict[str, tuple[int, ...]] = {}
            for op, at_us in db.execute("SELECT op, at_us FROM accepted ORDER BY at_us").fetchall():
                recent[op] = (*recent.get(op, ()), at_us)
            begun = db.execute("SELECT payload FROM begun").fetchall()
        return Remembered(ReplayCache(seen, floor), recent, tuple(_readable(begun)))

    def begin(self, before: CommandAudit, cache: ReplayCache) -> None:
        """Commit that a command is about to be obeyed; `cache` holds its jti already.

        Raises:
            CommandStoreError: it is not on disk, or too many audit rows wait: do not act.
        """
        with self._commit() as db:
            if _count(db) >= AUDITS_MAX:
                raise CommandStoreError(f"{AUDITS_MAX} audit rows wait for the center; restore the link first")
            exp_us = cache.seen.get(before.jti, cache.floor_us)
            db.execute("INSERT OR REPLACE INTO seen VALUES (?, ?)", (before.jti, exp_us))
            db.execute("DELETE FROM seen WHERE exp_us <= ?", (cache.floor_us,))
            db.execute("UPDATE meta SET value = ? WHERE name = 'floor_us'", (cache.floor_us,))
            db.execute("INSERT INTO accepted VALUES (?, ?)", (before.op, before.at_us))
            db.execute("DELETE FROM accepted WHERE abs(? - at_us) > ?", (before.at_us, RECENT_US))
            db.execute("INSERT OR REPLACE INTO begun VALUES (?, ?)", (before.jti, encode(before)))
            _insert(db, before)

    def finish(self, after: CommandAudit) -> None:
        """Commit how a command ended; the same row twice changes nothing.

        Raises:
            CommandStoreError: it is not on disk; call again.
        """
        with self._commit() as db:
            db.execute("DELETE FROM begun WHERE jti = ?", (after.jti,))
            _insert(db, after)

    def note(self, audit: CommandAudit) -> bool:
        """Commit a row about something not obeyed; False when so many wait that it was left out.

        Raises:
            CommandStoreError: it is not on disk.
        """
        with self._commit() as db:
            if _count(db) >= REFUSALS_MAX:
                return False
            _insert(db, audit)
        return True

    def waiting(self, limit: int = 100) -> list[bytes]:
        """Return the oldest audit rows without a receipt, as they are sent.

        Raises:
            CommandStoreError: they cannot be read.
        """
        with self._failing() as db:
            rows = db.execute("SELECT payload FROM audit ORDER BY seq LIMIT ?", (limit,)).fetchall()
        return [payload for (payload,) in rows]

    def receipted(self, audit_id: str) -> None:
        """Commit the center's receipt: the row is the center's now.

        Raises:
            CommandStoreError: it is not on disk; the row is sent again, which the center tolerates.
        """
        with self._commit() as db:
            db.execute("DELETE FROM audit WHERE audit_id = ?", (audit_id,))

    def close(self) -> None:
        """Let go of the database; the next call opens it again."""
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()
            self._db = None

    @contextlib.contextmanager
    def _commit(self) -> Iterator[sqlite3.Connection]:
        with self._failing() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")

    @contextlib.contextmanager
    def _failing(self) -> Iterator[sqlite3.Connection]:
        """Turn every failure of SQLite and of the file system into a CommandStoreError; put damage aside."""
        try:
            yield self._connection()
        except CommandStoreError:
            raise
        except (sqlite3.OperationalError, OSError) as exc:
            self.close()
            raise CommandStoreError(f"{self._path} cannot be used: {exc}; check the disk") from exc
        except sqlite3.DatabaseError as exc:
            if type(exc) is not sqlite3.DatabaseError:  # damage is the base class itself, the rest are our mistakes
                raise
            self._quarantine(exc)
            raise CommandStoreError(f"{self._path} was damaged and was moved to {self.damaged}") from exc

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
            if db.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
                raise sqlite3.DatabaseError("quick_check found damage")
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, SCHEMA_VERSION):
                raise sqlite3.DatabaseError(f"schema version {version}, we know {SCHEMA_VERSION}")
            db.executescript(_SCHEMA)
            floor_us = fresh_cache(self._clock.utc_us()).floor_us
            db.execute("INSERT OR IGNORE INTO meta VALUES ('floor_us', ?)", (floor_us,))
        except BaseException:
            db.close()
            raise
        return db

    def _quarantine(self, cause: Exception) -> None:
        self.close()
        folder = self._path.parent / "quarantine"
        try:
            folder.mkdir(exist_ok=True)
            name = f"{self._path.name}.{self._clock.utc_us()}"
            for suffix in ("-wal", "-shm", ""):
                part = self._path.with_name(self._path.name + suffix)
                if part.exists():
                    part.rename(folder / (name + suffix))
        except OSError as exc:
            raise CommandStoreError(f"{self._path} is damaged ({cause}) and cannot be moved away: {exc}") from exc
        self.damaged = folder / name


def _readable(rows: list[tuple[bytes]]) -> Iterator[CommandAudit]:
    for (payload,) in rows:
        with contextlib.suppress(ContractError):
            yield decode(payload, CommandAudit)


def _insert(db: sqlite3.Connection, audit: CommandAudit) -> None:
    db.execute("INSERT OR IGNORE INTO audit (audit_id, payload) VALUES (?, ?)", (audit.audit_id, encode(audit)))


def _count(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT count(*) FROM audit").fetchone()[0])
