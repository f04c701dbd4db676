"""The spool's file system: how much is free, and whether it still keeps what is written.

Rules:
* a read-only remount looks healthy to `statvfs`, and a bad card acknowledges writes and keeps nothing: so a block
  of random bytes is written, fsynced, dropped from the page cache, read back and compared;
* a hung disk blocks for minutes: `run_once` belongs to a thread of its own, and `reading` never blocks on it; an
  outcome older than `OUTCOME_S` counts as "not writable";
* a disk that cannot even tell its size is not writable: an exception would end the one service that reports it.
"""

import os
import secrets
from pathlib import Path

from agent.clock import Clock
from agent.contract.messages import DiskReading

BLOCK_BYTES = 4096
OUTCOME_S = 120.0
FIRST_S = 10.0
PROBE_NAME = ".health-write-test"


def write_and_read_back(directory: Path) -> bool:
    """Return whether a block written to `directory` comes back from the device unchanged."""
    block = secrets.token_bytes(BLOCK_BYTES)
    path = directory / PROBE_NAME
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError:
        return False
    try:
        os.pwrite(fd, block, 0)
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        return os.pread(fd, BLOCK_BYTES, 0) == block
    except OSError:
        return False
    finally:
        os.close(fd)


class DiskProbe:
    """Keeps the outcome of the last write test; `run_once` and `reading` may run in different threads."""

    def __init__(self, directory: Path, clock: Clock) -> None:
        self._directory = directory
        self._clock = clock
        self._outcome: tuple[bool, float] | None = None
        self._started_mono_s = clock.mono_s()
        self._sizes = (0, 0)

    def run_once(self) -> None:
        """Make one write test; may block as long as the disk does.

        A spool that no camera has made yet is not tested: a fault at every first start would teach people to ignore it.
        """
        if self._outcome is None and _is_absent(self._directory):
            return
        writable = write_and_read_back(self._directory)
        self._outcome = (writable, self._clock.mono_s())

    def reading(self) -> DiskReading | None:
        """Return sizes and the last outcome, or None before the first test.

        A directory that is still absent `FIRST_S` after the start, or was there before, is not writable.
        """
        writable, tested_mono_s = self._outcome or (True, self._started_mono_s)
        fresh = self._clock.mono_s() - tested_mono_s <= (OUTCOME_S if self._outcome else FIRST_S)
        if self._outcome is None and fresh:
            return None
        answers = self._measure()
        total, free = self._sizes
        return DiskReading(total_bytes=total, free_bytes=free, writable=writable and fresh and answers)

    def _measure(self) -> bool:
        """Note the sizes; False when the disk is too sick to tell them, and the last known ones stay."""
        try:
            size = os.statvfs(_nearest_existing(self._directory))
        except OSError:
            return False
        self._sizes = (size.f_blocks * size.f_frsize, size.f_bavail * size.f_frsize)
        return True


def _is_absent(directory: Path) -> bool:
    """Return whether nobody made the directory yet; one that the disk cannot look up is there, and sick."""
    try:
        return not directory.is_dir()
    except OSError:
        return False


def _nearest_existing(directory: Path) -> Path:
    return next(path for path in (directory, *directory.parents) if path.exists())
