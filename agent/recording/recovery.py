"""What is done with a camera's files after a crash (docs/design/spool.md "Crash recovery").

Rules:
* every case ends in: sealed file with row, torn file with row, or nothing; a file that fits no case is moved to
  `quarantine/` and logged, never deleted (it may be evidence);
* every step may be cut off itself: running again finishes it;
* a torn file keeps all its bytes; its record promises only what the journal promised;
* only the files of one camera are touched, and only under that camera's lock.
"""

import hashlib
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.contract.records import GapRecord, SegmentRecord, TornRecord
from agent.recording.journal import JournalText, Progress, read_journal
from agent.recording.open_segment import Step, sync_directory
from agent.recording.segment_name import JOURNAL, PART, SEALED, TORN, parse_segment_name, segment_of_file
from agent.recording.spool_index import PENDING, RECEIPTED, SpoolIndex

log = logging.getLogger(__name__)

QUARANTINE = "quarantine"
READ_BYTES = 1 << 20


class Recovery:
    """One recovery of one camera's directory; `stamp` gives the fields that every record begins with."""

    def __init__(
        self, index: SpoolIndex, directory: Path, camera: str, stamp: Callable[[], dict[str, Any]], step: Step
    ) -> None:
        self._index = index
        self._directory = directory
        self._camera = camera
        self._stamp = stamp
        self._step = step
        self._committed: list[SegmentRecord | TornRecord] = []

    def run(self) -> list[SegmentRecord | TornRecord]:
        """Bring the directory and the index in step; returns the records that were missing.

        Raises:
            OSError, SpoolError: the disk cannot be read or written.
        """
        self._committed = []
        sql = "SELECT segment, torn FROM segment WHERE camera=?"
        in_order = {f"{name}{TORN if torn else SEALED}" for name, torn in self._index.rows(sql, self._camera)}
        names = set(os.listdir(self._directory))  # noqa: PTH208, half a million names: no object for each
        files: dict[str, set[str]] = {}
        for name in names - in_order:
            found = segment_of_file(name)
            if found is not None:
                files.setdefault(found[0], set()).add(found[1])
        for segment in sorted(files, key=lambda name: parse_segment_name(name).counter):
            self._settle(segment, files[segment])
        if in_order - names:
            self._find_lost()
        return self._committed

    def _settle(self, segment: str, suffixes: set[str]) -> None:
        row = self._index.segment(segment)
        if JOURNAL in suffixes:
            if row is None:
                self._settle_journalled(segment, suffixes)
            self._unlink(segment, JOURNAL)
        elif PART in suffixes:
            self._drop_part(segment)
        elif row is None:
            self._set_aside(segment, suffixes, "neither journal nor index know it")

    def _settle_journalled(self, segment: str, suffixes: set[str]) -> None:
        journal = read_journal(self._path(segment, JOURNAL))
        if journal is None or journal.header.camera != self._camera:
            self._settle_unreadable(segment, suffixes)
        elif SEALED in suffixes and journal.final is not None:
            self._commit(journal.final, SEALED)
        elif TORN in suffixes:
            self._commit_torn(journal)
        elif PART in suffixes and self._is_whole(journal):
            self._finish_seal(journal)
        elif PART in suffixes and journal.progress is not None:
            self._tear(journal)
        elif PART in suffixes:
            self._drop_part(segment)
        elif SEALED in suffixes:
            self._set_aside(segment, suffixes, "its journal has no final line")

    def _is_whole(self, journal: JournalText) -> bool:
        """Whether the final line was written: the part before it was fsynced, so only its size is checked."""
        size = self._path(journal.segment, PART).stat().st_size
        return journal.final is not None and journal.final.bytes == size

    def _finish_seal(self, journal: JournalText) -> None:
        assert journal.final is not None
        self._rename(journal.segment, SEALED)
        self._commit(journal.final, SEALED)

    def _tear(self, journal: JournalText) -> None:
        self._rename(journal.segment, TORN)
        self._commit_torn(journal)

    def _commit_torn(self, journal: JournalText) -> None:
        last = journal.progress or Progress(bytes=0, end_us=journal.header.start_us, frames=0)
        path = self._path(journal.segment, TORN)
        header = journal.header
        record = TornRecord(
            **self._stamp(),
            camera=self._camera,
            segment=journal.segment,
            management_number=header.management_number,
            purpose=header.purpose,
            start_us=header.start_us,
            end_us=last.end_us,
            frames=last.frames,
            bytes=path.stat().st_size,
            sha256=file_sha256(path),
            recipient=header.recipient,
            codec=header.codec,
            width=header.width,
            height=header.height,
            source_has_sound=header.source_has_sound,
        )
        self._commit(record, TORN)

    def _commit(self, record: SegmentRecord | TornRecord, suffix: str) -> None:
        """Commit row and record; a hole before it (only after the index itself was lost) is recorded as unknown."""
        known = self._index.camera(self._camera)
        covered_us = known.covered_until_us if known is not None else record.start_us
        if covered_us > record.start_us:
            self._set_aside(record.segment, {suffix}, "the camera's coverage is already past it")
            return
        with self._index.transaction():
            if covered_us < record.start_us:
                self._index.append(self._unknown_gap(covered_us, record.start_us))
            self._index.register(record)
        self._step("recover-committed")
        self._committed.append(record)
        log.warning("segment recovered segment=%s kind=%s frames=%d", record.segment, suffix, record.frames)

    def _unknown_gap(self, start_us: int, end_us: int) -> GapRecord:
        return GapRecord(
            **self._stamp(), camera=self._camera, start_us=start_us, end_us=end_us, cause="unknown", detail="recovered"
        )

    def _rename(self, segment: str, suffix: str) -> None:
        part = self._path(segment, PART)
        fd = os.open(part, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
        part.rename(self._path(segment, suffix))
        self._step("recover-renamed")
        sync_directory(self._directory)
        self._step("recover-synced")

    def _drop_part(self, segment: str) -> None:
        """Remove a part of which nothing was promised; the time becomes a gap."""
        self._index.note_counter(self._camera, parse_segment_name(segment).counter)
        self._unlink(segment, PART)
        log.warning("empty part removed segment=%s", segment)

    def _settle_unreadable(self, segment: str, suffixes: set[str]) -> None:
        """A journal is made before any byte is sealed: without its header, a part is empty or was damaged."""
        if PART in suffixes and self._path(segment, PART).stat().st_size == 0:
            self._drop_part(segment)
        elif suffixes != {JOURNAL}:
            self._set_aside(segment, suffixes - {JOURNAL}, "its journal is unreadable")

    def _set_aside(self, segment: str, suffixes: set[str], reason: str) -> None:
        quarantine = self._directory.parent / QUARANTINE
        quarantine.mkdir(exist_ok=True)
        for suffix in suffixes - {JOURNAL}:
            self._path(segment, suffix).rename(quarantine / f"{segment}{suffix}")
        sync_directory(quarantine)
        sync_directory(self._directory)
        self._index.add("quarantined", 1)
        self._index.note_counter(self._camera, parse_segment_name(segment).counter)
        log.error("file set aside segment=%s reason=%s", segment, reason)

    def _find_lost(self) -> None:
        """Quarantine rows whose file is gone: the record stands, the footage does not, and it is said."""
        rows = self._index.select("camera=? AND state IN (?,?)", self._camera, PENDING, RECEIPTED)
        present = {path.name for path in self._directory.iterdir()}
        for row in rows:
            if f"{row.segment}{TORN if row.torn else SEALED}" in present:
                continue
            if self._index.segment(row.segment) == row and self._index.quarantine(row, "its file is missing"):
                log.error("segment lost its file segment=%s", row.segment)

    def _unlink(self, segment: str, suffix: str) -> None:
        self._path(segment, suffix).unlink(missing_ok=True)
        sync_directory(self._directory)
        self._step("recover-unlinked")

    def _path(self, segment: str, suffix: str) -> Path:
        return self._directory / f"{segment}{suffix}"


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(READ_BYTES):
            digest.update(piece)
    return digest.hexdigest()
