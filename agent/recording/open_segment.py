"""One segment while it is written: the `.part` file, its journal, and the steps that make it a sealed segment.

Rules (docs/design/spool.md, "Create" and "Seal"; the step names are those of the crash tests):
* only sealed bytes are written here: nothing readable touches the disk;
* the digest is taken of the bytes as they pass, never by reading the file again;
* `seal` returns only when file, directory and index row are durable; until then the part counts as torn;
* after any OSError the segment must be abandoned; what is on disk is then left to `recovery`.
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from agent.contract.records import SegmentRecord
from agent.recording.journal import Journal, Progress, SegmentHeader
from agent.recording.segment_name import JOURNAL, PART, SEALED

Step = Callable[[str], object]


def no_step(name: str) -> None:
    """Do nothing; the crash tests pass a function that dies at `name`."""


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class Registrar(Protocol):
    """What an open segment asks of the spool when it is whole."""

    def describe(self, segment: str, header: SegmentHeader, last: Progress, sha256: str) -> SegmentRecord:
        """Return the record of a whole segment."""
        ...

    def register(self, record: SegmentRecord) -> None:
        """Commit row and record in one transaction."""
        ...


class OpenSegment:
    """A segment being written; made by `Spool.begin`, ended once by `seal` or `abandon`."""

    def __init__(self, directory: Path, segment: str, header: SegmentHeader, registrar: Registrar, step: Step) -> None:
        self.segment = segment
        self.header = header
        self.bytes = 0
        self._directory = directory
        self._registrar = registrar
        self._step = step
        self._sha256 = hashlib.sha256()
        self._journalled = Progress(bytes=0, end_us=header.start_us, frames=0)
        self._part = directory / f"{segment}{PART}"
        self._journal_path = directory / f"{segment}{JOURNAL}"
        self._fd = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        try:
            self._create_journal()
        except OSError:
            os.close(self._fd)
            raise

    def _create_journal(self) -> None:
        self._step("create-part")
        self._journal = Journal(self._journal_path, self.segment, self.header)
        try:
            self._step("create-journal")
            sync_directory(self._directory)
            self._step("create-synced")
        except OSError:
            self._journal.close()
            raise

    def write(self, data: bytes | memoryview) -> int:
        """Append sealed bytes; they may be reused at once.

        Raises:
            OSError: the disk is full, read-only or broken; abandon the segment.
        """
        view = memoryview(data)
        while view:
            written = os.write(self._fd, view)
            self._sha256.update(view[:written])
            self.bytes += written
            view = view[written:]
        return len(data)

    def progress(self, end_us: int, frames: int) -> None:
        """Make everything written so far durable and note that it reaches `end_us` with `frames` frames."""
        os.fdatasync(self._fd)
        self._step("progress-part")
        self._journalled = Progress(bytes=self.bytes, end_us=end_us, frames=frames)
        self._journal.append(self._journalled)
        self._step("progress-journal")

    def seal(self, end_us: int, frames: int) -> SegmentRecord:
        """Make the whole segment durable under its final name, then commit row and record.

        Raises:
            OSError, SpoolError: a step failed; abandon the segment, recovery finishes or tears it.
        """
        os.fsync(self._fd)
        self._step("seal-part")
        last = Progress(bytes=self.bytes, end_us=end_us, frames=frames)
        record = self._registrar.describe(self.segment, self.header, last, self._sha256.hexdigest())
        self._journal.finish(record)
        self._step("seal-journal")
        self._part.rename(self._directory / f"{self.segment}{SEALED}")
        self._step("seal-renamed")
        sync_directory(self._directory)
        self._step("seal-synced")
        self._registrar.register(record)
        self._step("seal-committed")
        self._journal_path.unlink()
        self._step("seal-done")
        self._close()
        return record

    def abandon(self) -> Progress:
        """Close the files and leave them to recovery; returns what the journal last promised. Safe to call again."""
        self._close()
        return self._journalled

    def _close(self) -> None:
        fd, self._fd = self._fd, -1  # a late write must fail, not reach whatever file gets this number next
        if fd < 0:
            return
        try:
            os.close(fd)
        finally:
            self._journal.close()
