"""Verifies exactly the invariants of docs/design/spool.md; `pole-agent verify` prints the report.

Rules:
* nothing is changed, and it may run while the services do: the index is read as one snapshot, and what looks wrong
  is looked at again, because a sealed file is for a moment without its row and a leaving one without its file;
* a finding names its invariant by number, its subject and what is wrong with it;
* the only key-free check of content is the digest: that a file opens is the center's to find out.
"""

import fcntl
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from agent.contract.errors import ContractError
from agent.contract.records import AnyRecord, DeletionRecord, SegmentRecord, TornRecord, decode_record, encode_record
from agent.errors import SpoolError
from agent.recording.recovery import QUARANTINE, file_sha256
from agent.recording.segment_name import JOURNAL, PART, SEALED, TORN, segment_of_file
from agent.recording.spool import INDEX, LOCK
from agent.recording.spool_index import LEAVING, PENDING, QUARANTINED, RECEIPTED, SegmentRow

LOOKS = 4
LOOK_AGAIN_S = 0.5


@dataclass(frozen=True, order=True)
class Finding:
    """One broken invariant."""

    invariant: int
    subject: str
    text: str


@dataclass(frozen=True)
class SpoolReport:
    """What a check saw: findings, empty when the spool is in order, and how much was looked at."""

    directory: str
    findings: tuple[Finding, ...]
    segments: int
    torn: int
    records: int
    cameras: int
    bytes: int

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return asdict(self)

    def as_text(self) -> str:
        """Return the report in lines: one a finding, then a summary."""
        lines = [f"invariant {found.invariant}: {found.subject}: {found.text}" for found in self.findings]
        lines.append(
            f"{self.directory}: {self.segments} segments ({self.torn} torn, {self.bytes} bytes),"
            f" {self.records} records, {self.cameras} cameras: {len(self.findings)} finding(s)"
        )
        return "\n".join(lines)


def check_spool(directory: Path, wait: Callable[[float], object] = time.sleep) -> SpoolReport:
    """Check a spool; `wait` passes the seconds between two looks at something suspicious.

    Raises:
        SpoolError: there is no spool at `directory`, or its index cannot be read.
    """
    digests: dict[tuple[str, int], str] = {}
    found: set[Finding] | None = None
    for look in range(LOOKS):
        if look:
            wait(LOOK_AGAIN_S)
        snapshot = _read_index(directory)
        seen = set(_findings(directory, snapshot, digests))
        found = seen if found is None else found & seen
        if not found:
            break
    return SpoolReport(
        directory=str(directory),
        findings=tuple(sorted(found or ())),
        segments=len(snapshot.rows),
        torn=sum(row.torn for row in snapshot.rows),
        records=len(snapshot.records),
        cameras=len(snapshot.cameras),
        bytes=sum(row.bytes for row in snapshot.rows),
    )


class _Entry(NamedTuple):
    idx: int
    camera: str
    start_us: int
    end_us: int
    body: bytes


class _Snapshot(NamedTuple):
    rows: list[SegmentRow]
    records: list[_Entry]
    cameras: dict[str, int]
    tallies: dict[str, int]


def _read_index(directory: Path) -> _Snapshot:
    path = directory / INDEX
    if not path.is_file():
        raise SpoolError(f"there is no spool at {directory}: {INDEX} is missing")
    try:
        with closing(sqlite3.connect(path, timeout=10.0, isolation_level=None)) as db:
            db.execute("PRAGMA query_only=1")
            db.execute("BEGIN")
            rows = [SegmentRow(row[0], row[1], bool(row[2]), *row[3:]) for row in db.execute("SELECT * FROM segment")]
            sql = "SELECT idx, camera, start_us, end_us, body FROM record ORDER BY idx"
            records = [_Entry(idx, name, start, end, bytes(body)) for idx, name, start, end, body in db.execute(sql)]
            cameras = dict(db.execute("SELECT camera, covered_until_us FROM camera"))
            tallies = dict(db.execute("SELECT name, value FROM tally"))
    except sqlite3.Error as error:
        raise SpoolError(f"the index of {directory} cannot be read: {error}") from error
    return _Snapshot(rows, records, cameras, tallies)


def _findings(directory: Path, snapshot: _Snapshot, digests: dict[tuple[str, int], str]) -> Iterator[Finding]:
    records = dict(_decoded(snapshot.records))
    yield from _check_files(directory, snapshot)
    yield from _check_content(directory, snapshot, digests)
    yield from _check_leftovers(directory)
    yield from _check_rows(snapshot, records)
    yield from _check_records(snapshot, records)
    yield from _check_coverage(snapshot)
    yield from _check_tallies(snapshot)
    yield from _check_quarantine(directory, snapshot)


def file_of(row: SegmentRow) -> str:
    """Return a row's file below the spool's directory."""
    return f"{row.camera}/{row.segment}{TORN if row.torn else SEALED}"


def _check_files(directory: Path, snapshot: _Snapshot) -> Iterator[Finding]:
    """Invariant 1: sealed and torn files and rows belong together one to one."""
    expected = {file_of(row): row for row in snapshot.rows}
    present = {
        f"{path.parent.name}/{path.name}" for suffix in (SEALED, TORN) for path in directory.glob(f"*/*{suffix}")
    }
    for name in sorted(present - expected.keys()):
        if not name.startswith(f"{QUARANTINE}/"):
            yield Finding(1, name, "the index has no row of this file")
    for name, row in expected.items():
        if name not in present and row.state not in (LEAVING, QUARANTINED):
            yield Finding(1, row.segment, "its file is missing")


def _check_content(directory: Path, snapshot: _Snapshot, digests: dict[tuple[str, int], str]) -> Iterator[Finding]:
    """Invariant 2: each file has the size and digest of its row."""
    for row in snapshot.rows:
        path = directory / file_of(row)
        try:
            size = path.stat().st_size
            key = (row.segment, size)
            digest = digests[key] = digests.get(key) or file_sha256(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            yield Finding(2, row.segment, f"cannot be read: {error.strerror}")
            continue
        if size != row.bytes or digest != row.sha256:
            yield Finding(2, row.segment, f"is damaged: {size} bytes, digest {digest[:16]}; its row says otherwise")


def _check_leftovers(directory: Path) -> Iterator[Finding]:
    """Invariant 3: parts and journals exist only while a process holds the camera's lock."""
    for path in sorted([*directory.glob(f"*/*{PART}"), *directory.glob(f"*/*{JOURNAL}")]):
        if path.parent.name != QUARANTINE and segment_of_file(path.name) and not _locked(path.parent / LOCK):
            yield Finding(3, path.name, "was left by a crash and waits for its camera's service to recover it")


def _locked(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def _check_rows(snapshot: _Snapshot, records: dict[int, AnyRecord]) -> Iterator[Finding]:
    """Invariant 4: each row has its record with the same digest, each record its row or its deletion."""
    for row in snapshot.rows:
        record = records.get(row.record_idx)
        kind = TornRecord if row.torn else SegmentRecord
        if not isinstance(record, kind) or not _describes(record, row):
            yield Finding(4, row.segment, f"record {row.record_idx} does not describe it")
        if row.state not in (PENDING, RECEIPTED, LEAVING, QUARANTINED):
            yield Finding(4, row.segment, f"has the unknown state '{row.state}'")
    accounted = {row.segment for row in snapshot.rows}
    accounted |= {record.segment for record in records.values() if isinstance(record, DeletionRecord)}
    for record in records.values():
        if isinstance(record, SegmentRecord | TornRecord) and record.segment not in accounted:
            yield Finding(4, record.segment, "has a record, but neither a row nor a deletion")


def _describes(record: SegmentRecord | TornRecord, row: SegmentRow) -> bool:
    stated = (record.segment, record.camera, record.bytes, record.sha256, record.start_us, record.end_us)
    return stated == (row.segment, row.camera, row.bytes, row.sha256, row.start_us, row.end_us)


def _check_records(snapshot: _Snapshot, records: dict[int, AnyRecord]) -> Iterator[Finding]:
    """Invariant 5: records are numbered without holes, and each is canonical."""
    acknowledged = snapshot.tallies.get("records_acknowledged", 0)
    first = snapshot.records[0].idx if snapshot.records else 0
    if first > acknowledged:
        yield Finding(5, f"record {first}", f"the log begins here, but only {acknowledged} records were acknowledged")
    for number, entry in enumerate(snapshot.records, first):
        if entry.idx != number:
            yield Finding(5, f"record {entry.idx}", f"a hole: {number} was expected")
            return
    for entry in snapshot.records:
        record = records.get(entry.idx)
        if record is None or encode_record(record) != entry.body:
            yield Finding(5, f"record {entry.idx}", "is not readable or not canonical")


def _check_coverage(snapshot: _Snapshot) -> Iterator[Finding]:
    """Invariant 6: a camera's segments, torn files and gaps follow on each other exactly, up to `covered_until_us`."""
    reached: dict[str, int] = {}
    for entry in snapshot.records:
        if not entry.camera:
            continue
        start_us = reached.get(entry.camera, entry.start_us)
        if entry.start_us != start_us:
            word = "a hole" if entry.start_us > start_us else "an overlap"
            yield Finding(6, entry.camera, f"{word} of {abs(entry.start_us - start_us)} us before record {entry.idx}")
        reached[entry.camera] = entry.end_us
    for camera, covered_us in snapshot.cameras.items():
        if reached.get(camera, covered_us) != covered_us:
            yield Finding(6, camera, f"is said to be covered until {covered_us}, its records reach {reached[camera]}")


def _check_tallies(snapshot: _Snapshot) -> Iterator[Finding]:
    """Invariant 7: what is counted is what is there."""
    pending = [row for row in snapshot.rows if row.state == PENDING]
    counted = {
        "pending_segments": len(pending),
        "pending_bytes": sum(row.bytes for row in pending),
        "held_bytes": sum(row.bytes for row in snapshot.rows),
    }
    for name, value in counted.items():
        if snapshot.tallies.get(name) != value:
            yield Finding(7, name, f"is {snapshot.tallies.get(name)}, counted are {value}")


def _check_quarantine(directory: Path, snapshot: _Snapshot) -> Iterator[Finding]:
    """Invariant 8: nothing is in quarantine without being said."""
    for row in snapshot.rows:
        if row.state == QUARANTINED:
            yield Finding(8, row.segment, f"is in quarantine: {row.reason}")
    for path in sorted((directory / QUARANTINE).glob("*")):
        yield Finding(8, path.name, "was set aside by recovery; send it to the developers")


def _decoded(entries: list[_Entry]) -> Iterator[tuple[int, AnyRecord]]:
    for entry in entries:
        try:
            yield entry.idx, decode_record(entry.body)
        except ContractError:
            continue
