"""The pole's durable memory of commands: who was obeyed, what must not be obeyed again, which audit rows wait.

Rules:
* durable and self-mending as `agent.durable_database` says; used by the one thread that serves commands;
* `begin` commits the jti, the rate count and the audit row `before` together, before the pole acts: killed at any later
  instant, the command is never obeyed twice, and the center hears that it was begun;
* a command begun and not finished when the service starts is `interrupted`, never done again;
* an audit row stays until the center's receipt. `AUDITS_MAX` rows wait at most: then no command is obeyed any more
  (fail closed), while refusals stop at `REFUSALS_MAX` and are only counted, so that a flood cannot block officers;
* the floor of a memory begun anew (after damage too) makes every command of the next minutes prove its
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
from agent.durable_database import DurableDatabase, Schema
from agent.mqtt.command_error import CommandStoreError
from agent.mqtt.replay_cache import ReplayCache, fresh_cache

APPLICATION_ID = 0x706F6C64  # "pold"
SCHEMA_VERSION = 1
AUDITS_MAX = 5_000
REFUSALS_MAX = 1_000
RECENT_US = 86_400 * 1_000_000

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS seen (jti TEXT PRIMARY KEY, exp_us INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS accepted (op TEXT NOT NULL, at_us INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS begun (jti TEXT PRIMARY KEY, payload BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS audit (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    audit_id TEXT NOT NULL UNIQUE,
    payload BLOB NOT NULL
) STRICT;
"""


@dataclass(frozen=True)
class Remembered:
    """What the journal held: the replay cache, accepted times by operation, `before` rows that have no `after`."""

    cache: ReplayCache
    recent_us: dict[str, tuple[int, ...]]
    unfinished: tuple[CommandAudit, ...]


class CommandJournal(DurableDatabase):
    """The database at `path`. Opened at the first call; a failed call may be tried again."""

    def __init__(self, path: Path, clock: Clock) -> None:
        schema = Schema(_SCHEMA, APPLICATION_ID, SCHEMA_VERSION, prepare=self._set_floor)
        super().__init__(path, clock, schema, CommandStoreError)

    def _set_floor(self, db: sqlite3.Connection) -> None:
        """A memory that was just begun does not know what was obeyed before it."""
        floor_us = fresh_cache(self._clock.utc_us()).floor_us
        db.execute("INSERT OR IGNORE INTO meta VALUES ('floor_us', ?)", (floor_us,))

    def load(self) -> Remembered:
        """Return everything.

        Raises:
            CommandStoreError: it cannot be read.
        """
        with self.commit() as db:
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
        with self.commit() as db:
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
        with self.commit() as db:
            db.execute("DELETE FROM begun WHERE jti = ?", (after.jti,))
            _insert(db, after)

    def note(self, audit: CommandAudit) -> bool:
        """Commit a row about something not obeyed; False when so many wait that it was left out.

        Raises:
            CommandStoreError: it is not on disk.
        """
        with self.commit() as db:
            if _count(db) >= REFUSALS_MAX:
                return False
            _insert(db, audit)
        return True

    def waiting(self, limit: int = 100) -> list[bytes]:
        """Return the oldest audit rows without a receipt, as they are sent.

        Raises:
            CommandStoreError: they cannot be read.
        """
        with self.using() as db:
            rows = db.execute("SELECT payload FROM audit ORDER BY seq LIMIT ?", (limit,)).fetchall()
        return [payload for (payload,) in rows]

    def receipted(self, audit_id: str) -> None:
        """Commit the center's receipt: the row is the center's now.

        Raises:
            CommandStoreError: it is not on disk; the row is sent again, which the center tolerates.
        """
        with self.commit() as db:
            db.execute("DELETE FROM audit WHERE audit_id = ?", (audit_id,))


def _readable(rows: list[tuple[bytes]]) -> Iterator[CommandAudit]:
    for (payload,) in rows:
        with contextlib.suppress(ContractError):
            yield decode(payload, CommandAudit)


def _insert(db: sqlite3.Connection, audit: CommandAudit) -> None:
    db.execute("INSERT OR IGNORE INTO audit (audit_id, payload) VALUES (?, ?)", (audit.audit_id, encode(audit)))


def _count(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT count(*) FROM audit").fetchone()[0])
