"""HTTP byte ranges (RFC 9110 section 14) for a body whose length is known.

Rules: one range only, a list of ranges is answered with the whole body; a malformed header is ignored;
a range past the end is unsatisfiable (416).
"""

import re
from dataclasses import dataclass

RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class UnsatisfiableRangeError(ValueError):
    """The range lies wholly outside the body; answer 416."""


@dataclass(frozen=True)
class ByteRange:
    """A half-open span [start, end) of a body."""

    start: int
    end: int

    @property
    def length(self) -> int:
        """How many bytes it holds."""
        return self.end - self.start

    def content_range(self, total: int) -> str:
        """Return the value of the Content-Range header."""
        return f"bytes {self.start}-{self.end - 1}/{total}"


def parse_range(header: str | None, total: int) -> ByteRange | None:
    """Return the span asked for, or None when the whole body is to be sent.

    Raises:
        UnsatisfiableRangeError: nothing of the span exists.
    """
    match = RANGE.fullmatch(header.strip()) if header else None
    if match is None or match.group(0) == "bytes=-":
        return None
    first, last = match.groups()
    if not first:
        return _suffix(int(last), total)
    start = int(first)
    end = min(int(last) + 1, total) if last else total
    if last and int(last) < start:
        return None
    if start >= total:
        raise UnsatisfiableRangeError(f"range starts at {start}, the body has {total} bytes")
    return ByteRange(start, end)


def _suffix(length: int, total: int) -> ByteRange:
    if length == 0 or total == 0:
        raise UnsatisfiableRangeError("an empty suffix was asked for")
    return ByteRange(max(0, total - length), total)
