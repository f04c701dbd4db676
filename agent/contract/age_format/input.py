"""Bytes of a file, as many as asked for: lines for the header, blocks for the payload."""

from typing import BinaryIO, Protocol

_READ_BYTES = 128 * 1024


class ByteStream(Protocol):
    """What an input needs below it."""

    def read(self, size: int, /) -> bytes:
        """Return 1..size bytes, b"" at the end."""


class Input:
    """A buffer over anything with `read`, also a pipe that answers with less than it was asked for."""

    def __init__(self, source: BinaryIO | ByteStream) -> None:
        self._source = source
        self._buffer = b""
        self._at = 0

    def peek(self, size: int) -> bytes:
        """Return the next `size` bytes without taking them; fewer only at the end of the file."""
        while len(self._buffer) - self._at < size and self._fill():
            pass
        return self._buffer[self._at : self._at + size]

    def read(self, size: int) -> bytes:
        """Take exactly `size` bytes; fewer only at the end of the file."""
        data = self.peek(size)
        self._at += len(data)
        return data

    def read_line(self, limit: int) -> bytes:
        """Take bytes up to and including LF; without one at the end of the file or after `limit` bytes."""
        searched = self._at
        while (found := self._buffer.find(b"\n", searched)) < 0 and len(self._buffer) - self._at < limit:
            offset = len(self._buffer) - self._at
            if not self._fill():
                break
            searched = self._at + offset
        end = len(self._buffer) if found < 0 else found + 1
        return self.read(min(end - self._at, limit))

    def _fill(self) -> bool:
        more = self._source.read(_READ_BYTES)
        self._buffer = self._buffer[self._at :] + more
        self._at = 0
        return bool(more)
