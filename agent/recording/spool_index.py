"""The spool's index: one SQLite file shared by every process of the pole (docs/design/spool.md, invariants 3-6).

Rules:
* WAL and `synchronous=FULL`: a commit that returned survives a power cut;
* each change is one short `BEGIN IMMEDIATE` transaction that keeps every invariant of the index by itself;
  rows, records, coverage and tallies change together or not at all;
* records are numbered from 0 without holes, in commit order; a record is never changed;
* `covered_until_us` of a camera moves only forward and only by a record that begins exactly there;
* the numbering belongs to one log: an index that is made anew has a new random log id, so that the center never takes
  a new disk's record 0 for a rewritten one. An index from before there were log ids has the id "".
"""

import hashlib
import secrets
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from agent.contract.records import AnyRecord, DeletionRecord, GapRecord, SegmentRecord, TornRecord, encode_record
from agent.errors import SpoolError, SpoolFullError
from agent.recording.segment_name import parse_segment_name

BUSY_S = 10.0
SCHEMA_VERSION = 1

_SCHEMA = """
CREATE TABLE IF NOT EXISTS record (
    idx INTEGER PRIMARY KEY, kind TEXT NOT NULL, camera TEXT NOT NULL, segment TEXT NOT NULL,
    start_us INTEGER NOT NULL, end_us INTEGER NOT NULL, body BLOB NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS record_span ON record (camera, start_us) WHERE camera <> '';
CREATE TABLE IF NOT EXISTS segment (
    segment TEXT PRIMARY KEY, camera TEXT NOT NULL, torn INTEGER NOT NULL, state TEXT NOT NULL,
    bytes INTEGER NOT NULL, sha256 TEXT NOT NULL, start_us INTEGER NOT NULL, end_us INTEGER NOT NULL,
    record_idx INTEGER NOT NULL, receipt TEXT NOT NULL DEFAULT '', reason TEXT NOT NULL DEFAULT '')
    STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS segment_state ON segment (state, start_us);
CREATE INDEX IF NOT EXISTS segment_end ON segment (end_us);
CREATE TABLE IF NOT EXISTS camera (
    camera TEXT PRIMARY KEY, covered_until_us INTEGER NOT NULL, counter INTEGER NOT NULL,
    boot_id TEXT NOT NULL, clean INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tally (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
"""
_ADDED = """
CREATE TABLE IF NOT EXISTS log (id TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS sighting (idx INTEGER NOT NULL, at_us INTEGER NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS segment_record ON segment (record_idx);
"""
LOG_ID_BYTES = 16
SIGHTING_EVERY_US = 3_600_000_000

TALLIES = (
    "sealed",
    "torn",
    "receipted",
    "deleted",
    "evicted",
    "quarantined",
    "pending_segments",
    "pending_bytes",
    "held_bytes",
    "records_acknowledged",
)
PENDING = "pending"
RECEIPTED = "receipted"
LEAVING = "leaving"
QUARANTINED = "quarantined"


class SegmentRow(NamedTuple):
    """One row of `segment`; `state` is pending, receipted, leaving or quarantined."""

    segment: str
    camera: str
    torn: bool
    state: str
    bytes: int
    sha256: str
    start_us: int
    end_us: int
    record_idx: int
    receipt: str
    reason: str


class CameraRow(NamedTuple):
    """One row of `camera`: how far it is covered and how its last run ended."""

    camera: str
    covered_until_us: int
    counter: int
    boot_id: str
    clean: bool


class SpoolIndex:
    """The index, one connection a process; thread-safe, every method is one transaction."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self._in_transaction = False
        with _translated():
            self._db = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.execute("PRAGMA journal_size_limit=1048576")
        with self.transaction():
            self._create()

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Hold the write lock of the index; commits at the end, rolls back on any error; may be nested.

        Raises:
            SpoolFullError: the disk is full.
            SpoolError: the index cannot be read or written, or another process held it for `BUSY_S`.
        """
        with self._lock, _translated():
            if self._in_transaction:
                yield
                return
            self._db.execute("BEGIN IMMEDIATE")
            self._in_transaction = True
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
            finally:
                self._in_transaction = False

    def rows(self, sql: str, *values: object) -> list[Any]:
        """Return the rows of a read-only query."""
        with self._lock, _translated():
            return self._db.execute(sql, values).fetchall()

    def log_id(self) -> str:
        """Return the log's id, 32 hexadecimal digits; "" when the index is older than log ids."""
        found = self.rows("SELECT id FROM log")
        return str(found[0][0]) if found else ""

    # -- records and coverage ---------------------------------------------------------------------------------

    def append(self, record: AnyRecord) -> int:
        """Append one record, move its camera's coverage, and return the record's index."""
        camera, segment, start_us, end_us = _span(record)
        with self.transaction():
            if camera:
                self._cover(camera, start_us, end_us)
            found = self.rows("SELECT max(idx) FROM record")
            idx = 0 if found[0][0] is None else int(found[0][0]) + 1
            kind = str(record.__struct_config__.tag)
            values = (idx, kind, camera, segment, start_us, end_us, encode_record(record))
            self._db.execute("INSERT INTO record VALUES (?,?,?,?,?,?,?)", values)
        return idx

    def register(self, record: SegmentRecord | TornRecord) -> None:
        """Commit a sealed or torn segment: its record, its row, the counter and the tallies."""
        torn = isinstance(record, TornRecord)
        with self.transaction():
            idx = self.append(record)
            row = (record.segment, record.camera, int(torn), PENDING, record.bytes, record.sha256)
            self._db.execute(
                "INSERT INTO segment (segment,camera,torn,state,bytes,sha256,start_us,end_us,record_idx)"
                " VALUES (?,?,?,?,?,?,?,?,?)",
                (*row, record.start_us, record.end_us, idx),
            )
            self.note_counter(record.camera, parse_segment_name(record.segment).counter)
            self.add("torn" if torn else "sealed", 1)
            self.add("pending_segments", 1)
            self.add("pending_bytes", record.bytes)
            self.add("held_bytes", record.bytes)

    def start_coverage(self, camera: str, at_us: int) -> None:
        """Let the coverage of a camera that was never seen before begin at `at_us`."""
        with self.transaction():
            self._db.execute("INSERT OR IGNORE INTO camera VALUES (?,?,-1,'',1)", (camera, at_us))

    def camera(self, camera: str) -> CameraRow | None:
        """Return what is known of a camera."""
        for name, covered_until_us, counter, boot_id, clean in self.rows("SELECT * FROM camera WHERE camera=?", camera):
            return CameraRow(name, covered_until_us, counter, boot_id, bool(clean))
        return None

    def note_run(self, camera: str, boot_id: str, *, clean: bool) -> None:
        """Note that the camera's service runs (clean=False) or ended in order (clean=True)."""
        with self.transaction():
            self._db.execute("UPDATE camera SET boot_id=?, clean=? WHERE camera=?", (boot_id, int(clean), camera))

    def note_counter(self, camera: str, counter: int) -> None:
        """Keep the highest counter used by a camera."""
        with self.transaction():
            self._db.execute("UPDATE camera SET counter=max(counter,?) WHERE camera=?", (counter, camera))

    def _cover(self, camera: str, start_us: int, end_us: int) -> None:
        known = self.camera(camera)
        if known is None:
            self.start_coverage(camera, start_us)
        elif known.covered_until_us != start_us:
            raise SpoolError(
                f"camera {camera} is covered until {known.covered_until_us}, a record begins at {start_us};"
                " record the gap between them first"
            )
        if end_us < start_us:
            raise SpoolError(f"a record of camera {camera} ends {start_us - end_us} us before it begins")
        self._db.execute("UPDATE camera SET covered_until_us=? WHERE camera=?", (end_us, camera))

    # -- segments ---------------------------------------------------------------------------------------------

    def segment(self, segment: str) -> SegmentRow | None:
        """Return the row of a segment."""
        found = self.select("segment=?", segment)
        return found[0] if found else None

    def select(self, where: str, *values: object) -> list[SegmentRow]:
        """Return the rows for which `where` (a constant of the caller, never data) holds."""
        found = self.rows(f"SELECT * FROM segment WHERE {where}", *values)  # noqa: S608
        return [SegmentRow(row[0], row[1], bool(row[2]), *row[3:]) for row in found]

    def mark(self, row: SegmentRow, state: str, *, receipt: str = "", reason: str = "") -> bool:
        """Move a row to another state; False when it is no longer in the state that `row` says."""
        with self.transaction():
            changed = self._db.execute(
                "UPDATE segment SET state=?, receipt=?, reason=? WHERE segment=? AND state=?",
                (state, receipt or row.receipt, reason or row.reason, row.segment, row.state),
            ).rowcount
            if changed and row.state == PENDING and state != PENDING:
                self.add("pending_segments", -1)
                self.add("pending_bytes", -row.bytes)
        return bool(changed)

    def quarantine(self, row: SegmentRow, reason: str) -> bool:
        """Move a row to quarantine; False when it changed meanwhile."""
        with self.transaction():
            moved = self.mark(row, QUARANTINED, reason=reason)
            if moved:
                self.add("quarantined", 1)
        return moved

    def intend_removal(self, segment: str, ground: str) -> SegmentRow | None:
        """Move a row to `leaving` and return it; None when it is gone. With a receipt the ground is the receipt,
        unless retention ended."""
        with self.transaction():
            row = self.segment(segment)
            if row is not None and row.state != LEAVING:
                self.mark(row, LEAVING, reason="receipt" if row.receipt and ground == "storage-full" else ground)
            return self.segment(segment)

    def remove(self, segment: str, record: DeletionRecord) -> bool:
        """Take away the row of a removed file and append its record; False when another process already did."""
        with self.transaction():
            row = self.segment(segment)
            if row is None or row.state != LEAVING:
                return False
            self._db.execute("DELETE FROM segment WHERE segment=?", (segment,))
            self.append(record)
            self.add("deleted", 1)
            self.add("held_bytes", -row.bytes)
            if record.ground == "storage-full":
                self.add("evicted", 1)
        return True

    # -- tallies ----------------------------------------------------------------------------------------------

    def add(self, name: str, amount: int) -> None:
        """Add to a tally."""
        with self.transaction():
            self._db.execute("UPDATE tally SET value=value+? WHERE name=?", (amount, name))

    def raise_to(self, name: str, value: int) -> None:
        """Let a tally be at least `value`."""
        with self.transaction():
            self._db.execute("UPDATE tally SET value=max(value,?) WHERE name=?", (value, name))

    def tallies(self) -> dict[str, int]:
        """Return every tally by name."""
        return {name: int(value) for name, value in self.rows("SELECT name, value FROM tally")}

    # -- age --------------------------------------------------------------------------------------------------

    def sight(self, now_us: int) -> None:
        """Note, at most once an hour, that every record up to now existed at the trusted UTC `now_us`."""
        with self.transaction():
            last = self.rows("SELECT at_us FROM sighting ORDER BY rowid DESC LIMIT 1")
            if not last or abs(now_us - int(last[0][0])) >= SIGHTING_EVERY_US:
                self._db.execute("INSERT INTO sighting SELECT coalesce(max(idx), -1), ? FROM record", (now_us,))

    def expirable(self, before_us: int, limit: int) -> list[SegmentRow]:
        """Return up to `limit` rows that are older than `before_us` for certain, whatever the pole's clock was then.

        Certain is a sighting before `before_us`, or a record written before it by a clock that was in step.
        """
        seen = self.select("record_idx<=? ORDER BY record_idx LIMIT ?", self._sighted_before(before_us), limit)
        return seen or self.select(
            "end_us<? AND (SELECT json_extract(CAST(body AS TEXT), '$.clock.synced')"
            " AND json_extract(CAST(body AS TEXT), '$.written_at_us')<? FROM record WHERE idx=record_idx)"
            " ORDER BY end_us LIMIT ?",
            before_us,
            before_us,
            limit,
        )

    def forget_records(self, before_us: int) -> None:
        """Forget acknowledged records that were sighted before `before_us`; never one that a row needs, and never the
        last one, from which the numbering goes on."""
        with self.transaction():
            seen = self._sighted_before(before_us)
            self._db.execute(
                "DELETE FROM record WHERE idx < ? AND idx <= ?"
                " AND idx < (SELECT coalesce(min(record_idx), 9e18) FROM segment)"
                " AND idx < (SELECT max(idx) FROM record)",
                (self.tallies()["records_acknowledged"], seen),
            )
            self._db.execute("DELETE FROM sighting WHERE at_us < ? AND idx < ?", (before_us, seen))

    def _sighted_before(self, before_us: int) -> int:
        return int(self.rows("SELECT coalesce(max(idx), -1) FROM sighting WHERE at_us < ?", before_us)[0][0])

    def _create(self) -> None:
        version = int(self.rows("PRAGMA user_version")[0][0])
        if version not in (0, SCHEMA_VERSION):
            raise SpoolError(f"the spool's index has version {version}, this program reads {SCHEMA_VERSION}")
        for statement in f"{_SCHEMA};{_ADDED}".split(";"):
            self._db.execute(statement)
        if version == SCHEMA_VERSION:
            return
        self._db.execute("INSERT INTO log VALUES (?)", (secrets.token_hex(LOG_ID_BYTES),))
        self._db.executemany("INSERT OR IGNORE INTO tally VALUES (?,0)", [(name,) for name in TALLIES])
        self._db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")


def receipt_digest(note: str) -> str:
    """Return the SHA-256 by which a deletion record names its receipt."""
    return hashlib.sha256(note.encode()).hexdigest()


def _span(record: AnyRecord) -> tuple[str, str, int, int]:
    """Return (camera, segment, start, end); a record that covers no time has no camera."""
    if isinstance(record, SegmentRecord | TornRecord):
        return record.camera, record.segment, record.start_us, record.end_us
    if isinstance(record, GapRecord):
        return record.camera, "", record.start_us, record.end_us
    segment = record.segment if isinstance(record, DeletionRecord) else ""
    return "", segment, record.written_at_us, record.written_at_us


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        full = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
        kind = SpoolFullError if full else SpoolError
        raise kind(f"the spool's index cannot be used: {error}") from error


def in_windows(row: SegmentRow, windows: Sequence[tuple[int, int]]) -> bool:
    """Whether a segment overlaps one of the half-open [start, end) windows."""
    return any(row.start_us < end_us and start_us < row.end_us for start_us, end_us in windows)
