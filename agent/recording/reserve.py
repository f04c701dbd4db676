"""A file that only keeps room, so that a full disk can still be started on and cleaned up (FACTS "Disk").

Rules:
* it is allocated for real (posix_fallocate), never sparse;
* it is given up before the index is written on a full disk, and taken back when there is room again;
* a file system that cannot allocate is no error: there is then simply no reserve.
"""

import contextlib
import os
from pathlib import Path

RESERVE_BYTES = 4 << 20


class Reserve:
    """The reserve file of one spool; every method may be called again at any time by any process."""

    def __init__(self, path: Path, size: int = RESERVE_BYTES) -> None:
        self._path = path
        self._size = size

    def take(self) -> bool:
        """Allocate the reserve if it is not there; return whether it stands now."""
        if not self.missing_bytes():
            return True
        try:
            fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o640)
            try:
                os.posix_fallocate(fd, 0, self._size)
            finally:
                os.close(fd)
        except OSError:
            self.give_up()
            return False
        return True

    def missing_bytes(self) -> int:
        """Return how much room must still be found for the reserve; it comes before any segment."""
        try:
            return max(0, self._size - self._path.stat().st_size)
        except OSError:
            return self._size

    def give_up(self) -> None:
        """Free the reserved room."""
        with contextlib.suppress(OSError):
            self._path.unlink()
