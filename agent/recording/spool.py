"""The spool: sealed segments on disk and one index that says what they are (docs/design/spool.md).

Rules:
* order of every change: file, fsync, rename, fsync directory, then the index; removal: intent in the index,
  unlink, fsync directory, then row and record. The step names are those of the crash tests;
* nothing without a receipt is removed, except at the end of retention or, on a full disk, the oldest outside
  every protected window; each removal is a record with its ground (R-RETAIN, R-INTEGRITY);
* one camera's files are written by one process only: it holds the lock of that camera's directory while it lives;
* several processes share the index; a process that dies at any step leaves nothing that `recover` cannot finish.
"""

import builtins
import fcntl
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

from agent.clock import Clock
from agent.clock_sync import read_clock_state
from agent.config import SpoolConfig
from agent.contract.messages import ClockState, SpoolReading
from agent.contract.records import AnyRecord, DeletionRecord, SegmentRecord, TornRecord
from agent.errors import SpoolError, SpoolFullError
from agent.recording.journal import Progress, SegmentHeader
from agent.recording.open_segment import OpenSegment, Step, no_step, sync_directory
from agent.recording.recovery import Recovery
from agent.recording.reserve import Reserve
from agent.recording.room import Room, leaving_order
from agent.recording.segment_name import SEALED, TORN, segment_name
from agent.recording.spool_error import spool_errors
from agent.recording.spool_index import (
    LEAVING,
    PENDING,
    RECEIPTED,
    CameraRow,
    SegmentRow,
    SpoolIndex,
    in_windows,
    receipt_digest,
)

log = logging.getLogger(__name__)

Result = TypeVar("Result")
Ground = Literal["receipt", "expired", "storage-full"]

INDEX = "index.sqlite"
RESERVE = "reserve"
LOCK = ".lock"
EVICT_BATCH = 64
FULL_BYTES = 1 << 16


class SpooledSegment(NamedTuple):
    """A sealed or torn segment on its way to the center; `record` are its canonical bytes."""

    segment: str
    camera: str
    path: Path
    bytes: int
    sha256: str
    start_us: int
    end_us: int
    record: builtins.bytes


class SpoolTotals(NamedTuple):
    """Counters since the spool was made, and what it holds now."""

    sealed: int
    torn: int
    receipted: int
    deleted: int
    evicted: int
    quarantined: int
    held_bytes: int


class Spool:
    """One per process, thread-safe; see the module's rules.

    Raises:
        SpoolError: the directory cannot be made or written, or holds the index of another version.
    """

    def __init__(
        self,
        config: SpoolConfig,
        pole: str,
        clock: Clock,
        step: Step = no_step,
        clock_state: Callable[[], ClockState] = read_clock_state,
    ) -> None:
        self._config = config
        self._clock_state = clock_state
        self._pole = pole
        self._clock = clock
        self._step = step
        self._locks: dict[str, int] = {}
        self._counters: dict[str, int] = {}
        self._reserve = Reserve(config.dir / RESERVE)
        with spool_errors("opened"):
            config.dir.mkdir(parents=True, exist_ok=True)
        self._index = self._commit(lambda: SpoolIndex(config.dir / INDEX))
        self._reserve.take()

    def close(self) -> None:
        """Close the index and let go of the cameras' locks."""
        self._index.close()
        while self._locks:
            os.close(self._locks.popitem()[1])

    # -- writing: the camera service --------------------------------------------------------------------------

    def start_camera(self, camera: str, at_us: int) -> CameraRow:
        """Take the camera's lock and return how its last run ended; its first coverage ever begins at `at_us`.

        Raises:
            SpoolError: another process records this camera.
        """
        self._lock_camera(camera)
        self._commit(lambda: self._index.start_coverage(camera, at_us))
        return self._camera(camera)

    def note_run(self, camera: str, boot_id: str, *, clean: bool) -> None:
        """Note that the camera's service runs in boot `boot_id`, or (clean) that it ended in order."""
        self._commit(lambda: self._index.note_run(camera, boot_id, clean=clean))

    def begin(
        self, header: SegmentHeader, *, expected_bytes: int = 8 << 20, protected: Sequence[tuple[int, int]] = ()
    ) -> OpenSegment:
        """Make room for `expected_bytes` and begin a segment where the camera's coverage ends.

        Raises:
            SpoolFullError: no room, and nothing may be removed.
            SpoolError: the files cannot be created.
        """
        self.make_room(expected_bytes, protected)
        directory = self._lock_camera(header.camera)
        counter = max(self._camera(header.camera).counter, self._counters.get(header.camera, -1)) + 1
        self._counters[header.camera] = counter
        name = segment_name(self._pole, header.camera, header.start_us, counter)
        with spool_errors("written"):
            return OpenSegment(directory, name, header, self, self._step)

    def recover(self, camera: str) -> list[SegmentRecord | TornRecord]:
        """Finish what a crash left of a camera's files and of any removal; returns the records it committed.

        Raises:
            SpoolError: the disk cannot be read or written; try again later.
        """
        directory = self._lock_camera(camera)
        recovery = Recovery(self._index, directory, camera, self.stamp, self._step)
        with spool_errors("recovered"):
            found = self._commit(recovery.run)
        for row in self._index.select("state=?", LEAVING):
            self._finish_removal(row)
        return found

    def append_record(self, record: AnyRecord) -> int:
        """Append a record; a gap must begin where the camera's coverage ends. Returns its index."""
        return self._commit(lambda: self._index.append(record))

    def covered_until_us(self, camera: str) -> int | None:
        """Return until when records cover the camera without a hole; None before its first start."""
        row = self._index.camera(camera)
        return row.covered_until_us if row else None

    def stamp(self) -> dict[str, Any]:
        """Return the fields that every record of now begins with."""
        return {"pole": self._pole, "written_at_us": self._clock.utc_us(), "clock": self._clock_state()}

    def describe(self, segment: str, header: SegmentHeader, last: Progress, sha256: str) -> SegmentRecord:
        """Return the record of a whole segment (for `OpenSegment`)."""
        return SegmentRecord(
            **self.stamp(),
            camera=header.camera,
            segment=segment,
            management_number=header.management_number,
            purpose=header.purpose,
            start_us=header.start_us,
            end_us=last.end_us,
            frames=last.frames,
            bytes=last.bytes,
            sha256=sha256,
            recipient=header.recipient,
            codec=header.codec,
            width=header.width,
            height=header.height,
            source_has_sound=header.source_has_sound,
        )

    def register(self, record: SegmentRecord | TornRecord) -> None:
        """Commit row and record of a segment whose file is durable (for `OpenSegment`)."""
        self._commit(lambda: self._index.register(record))

    # -- sending: the upload service --------------------------------------------------------------------------

    def pending(self, limit: int, first: Sequence[tuple[int, int]] = ()) -> list[SpooledSegment]:
        """Return up to `limit` segments without a receipt: those in a window of `first`, then the newest."""
        chosen: dict[str, SegmentRow] = {}
        for start_us, end_us in first:
            for row in self._index.select(
                "state=? AND start_us<? AND end_us>? ORDER BY start_us LIMIT ?", PENDING, end_us, start_us, limit
            ):
                chosen.setdefault(row.segment, row)
        for row in self._index.select("state=? ORDER BY start_us DESC LIMIT ?", PENDING, limit):
            chosen.setdefault(row.segment, row)
        return [self._spooled(row) for row in list(chosen.values())[:limit]]

    def receipt(self, segment: str, note: str) -> None:
        """Store the verified receipt of a segment; storing it again changes nothing.

        Raises:
            SpoolError: there is no such segment, or it is quarantined.
        """
        self._commit(lambda: self._take_receipt(segment, note))

    def delete_receipted(self, segment: str) -> DeletionRecord:
        """Remove a segment that the center holds.

        Raises:
            SpoolError: no receipt is stored for it, or the file cannot be removed.
        """
        if not self._existing(segment).receipt:
            raise SpoolError(f"segment {segment} has no stored receipt; it stays")
        record = self._remove(segment, "receipt")
        if record is None:
            raise SpoolError(f"segment {segment} was just removed by another process")
        return record

    def receipted(self, limit: int) -> list[str]:
        """Return up to `limit` segments that have a receipt and still lie here, oldest first."""
        rows = self._index.select("state=? ORDER BY start_us LIMIT ?", RECEIPTED, limit)
        return [row.segment for row in rows]

    def sight(self, now_us: int) -> None:
        """Note that everything here existed at `now_us`, a UTC that is trusted; its age counts from there."""
        self._commit(lambda: self._index.sight(now_us))

    def expire(self, before_us: int, limit: int = EVICT_BATCH) -> list[DeletionRecord]:
        """Remove up to `limit` segments that are older than `before_us` for certain, whatever their state.

        The stamps of a clock that was not in step prove nothing: a pole that boots in the past after weeks without
        power would lose what it has just recorded. Such a segment's age counts from its first `sight`.
        """
        gone = [self._remove(row.segment, "expired") for row in self._index.expirable(before_us, limit)]
        self._commit(lambda: self._index.forget_records(before_us))
        return [record for record in gone if record is not None]

    def quarantine(self, segment: str, reason: str) -> None:
        """Keep a segment but offer it no longer: its file is damaged or the center refused it for good."""
        row = self._existing(segment)
        if row.state == PENDING and self._commit(lambda: self._index.quarantine(row, reason)):
            log.warning("segment quarantined segment=%s reason=%s", segment, reason)

    def records_after(self, index: int, limit: int) -> list[tuple[int, bytes]]:
        """Return up to `limit` records (index, canonical bytes) with an index >= `index`, in order."""
        found = self._index.rows("SELECT idx, body FROM record WHERE idx>=? ORDER BY idx LIMIT ?", index, limit)
        return [(int(idx), bytes(body)) for idx, body in found]

    def log_id(self) -> str:
        """Return the id of the log that the records' indexes count in; a spool that is made anew has another one."""
        return self._index.log_id()

    def records_acknowledged(self) -> int:
        """Return the index of the first record that the center has not acknowledged."""
        return self._index.tallies()["records_acknowledged"]

    def acknowledge_records(self, index: int) -> None:
        """Note that the center holds every record before `index`; never goes back."""
        self._commit(lambda: self._index.raise_to("records_acknowledged", index))

    def reading(self) -> SpoolReading:
        """Return the backlog for the heartbeat."""
        tallies = self._index.tallies()
        oldest = self._index.rows("SELECT start_us FROM segment WHERE state=? ORDER BY start_us LIMIT 1", PENDING)
        age_s = (self._clock.utc_us() - int(oldest[0][0])) / 1_000_000 if oldest else None
        return SpoolReading(
            pending_segments=tallies["pending_segments"],
            pending_bytes=tallies["pending_bytes"],
            oldest_pending_age_s=age_s,
            evicted=tallies["evicted"],
            quarantined=tallies["quarantined"],
        )

    def totals(self) -> SpoolTotals:
        """Return the counters since the spool was made."""
        tallies = self._index.tallies()
        return SpoolTotals(**{name: tallies[name] for name in SpoolTotals._fields})

    # -- room -------------------------------------------------------------------------------------------------

    def make_room(self, wanted_bytes: int, protected: Sequence[tuple[int, int]] = ()) -> int:
        """Remove segments by the policy of `room` until `wanted_bytes` more may come; returns how many left.

        Raises:
            SpoolFullError: it is not enough and nothing more may be removed.
        """
        removed = 0
        self._reserve.take()
        while self._room().missing(wanted_bytes):
            row = next(leaving_order(self._oldest(protected), protected), None)
            if row is None:
                raise SpoolFullError(
                    f"the spool needs {self._room().missing(wanted_bytes)} more bytes and nothing may be removed;"
                    " restore the link or fit a larger disk"
                )
            self._remove(row.segment, "storage-full")
            removed += 1
        if removed:
            self._reserve.take()
        return removed

    def _oldest(self, protected: Sequence[tuple[int, int]]) -> list[SegmentRow]:
        """Return enough of the oldest rows to choose one from, without reading a spool of 500,000."""
        receipted = self._index.select("state=? ORDER BY start_us LIMIT ?", RECEIPTED, 1)
        if receipted:
            return receipted
        after_us = -1
        while True:
            rows = self._index.select(
                "state=? AND start_us>? ORDER BY start_us LIMIT ?", PENDING, after_us, EVICT_BATCH
            )
            free = [row for row in rows if not in_windows(row, protected)]
            if free or not rows:
                return free
            after_us = rows[-1].start_us

    def _room(self) -> Room:
        with spool_errors("measured"):
            disk = os.statvfs(self._config.dir)
        held = self._index.tallies()["held_bytes"]
        free = disk.f_bavail * disk.f_frsize - self._reserve.missing_bytes()
        return Room(self._config.max_bytes, self._config.min_free_bytes, held, free)

    def _remove(self, segment: str, ground: Ground) -> DeletionRecord | None:
        """Remove one segment; None when another process took it away meanwhile."""
        row = self._commit(lambda: self._index.intend_removal(segment, ground))
        self._step("delete-intent")
        return None if row is None else self._finish_removal(row)

    def _finish_removal(self, row: SegmentRow) -> DeletionRecord:
        """Unlink, then commit; safe to do twice and by two processes."""
        path = self.path_of(row)
        with spool_errors("removed"):
            path.unlink(missing_ok=True)
            self._step("delete-unlinked")
            if path.parent.is_dir():
                sync_directory(path.parent)
        self._step("delete-synced")
        ground: Any = row.reason or "expired"
        record = DeletionRecord(
            **self.stamp(),
            segment=row.segment,
            sha256=row.sha256,
            ground=ground,
            receipt_sha256=receipt_digest(row.receipt) if row.receipt else "",
        )
        if self._commit(lambda: self._index.remove(row.segment, record)) and ground == "storage-full":
            log.warning("segment evicted segment=%s", row.segment)
        self._step("delete-committed")
        return record

    # -- parts ------------------------------------------------------------------------------------------------

    def path_of(self, row: SegmentRow) -> Path:
        """Return where a row's file lies."""
        return self._config.dir / row.camera / f"{row.segment}{TORN if row.torn else SEALED}"

    def _spooled(self, row: SegmentRow) -> SpooledSegment:
        found = self._index.rows("SELECT body FROM record WHERE idx=?", row.record_idx)
        if not found:
            raise SpoolError(f"segment {row.segment} has lost its record; run pole-agent verify")
        body, path = builtins.bytes(found[0][0]), self.path_of(row)
        return SpooledSegment(row.segment, row.camera, path, row.bytes, row.sha256, row.start_us, row.end_us, body)

    def _existing(self, segment: str) -> SegmentRow:
        row = self._index.segment(segment)
        if row is None:
            raise SpoolError(f"there is no segment {segment} in the spool")
        return row

    def _camera(self, camera: str) -> CameraRow:
        row = self._index.camera(camera)
        if row is None:
            raise SpoolError(f"camera {camera} was never started; call start_camera first")
        return row

    def _lock_camera(self, camera: str) -> Path:
        directory = self._config.dir / camera
        if camera in self._locks:
            return directory
        with spool_errors("opened"):
            directory.mkdir(exist_ok=True)
            sync_directory(self._config.dir)
            fd = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(fd)
            raise SpoolError(f"camera {camera} is recorded by another process; stop that one first") from error
        self._locks[camera] = fd
        return directory

    def _take_receipt(self, segment: str, note: str) -> None:
        with self._index.transaction():
            row = self._existing(segment)
            if row.receipt:
                return
            if row.state != PENDING or not note:
                raise SpoolError(f"segment {segment} is {row.state}, it cannot take a receipt")
            self._index.mark(row, RECEIPTED, receipt=note)
            self._index.add("receipted", 1)

    def _commit(self, action: Callable[[], Result]) -> Result:
        """Do one transaction; on a full disk the reserve is given up and it is tried once more."""
        try:
            return action()
        except SpoolError as error:
            if not isinstance(error, SpoolFullError) and not self._is_full():
                raise
        self._reserve.give_up()
        return action()

    def _is_full(self) -> bool:
        """SQLite says "disk I/O error" when it cannot lengthen its shared memory on a full disk."""
        with spool_errors("measured"):
            disk = os.statvfs(self._config.dir)
        return disk.f_bavail * disk.f_frsize < FULL_BYTES
