"""The text envelope of age: PEM-like, strict. Our poles never write it; a person may send one.

Rules: lines of 64 columns but the last, LF or CRLF, canonical padded base64, white space only before and after.
Source: C2SP age.md, "ASCII armor".
"""

import base64
import binascii

from agent.contract.age_format.errors import ArmorError
from agent.contract.age_format.input import Input

BEGIN = b"-----BEGIN AGE ENCRYPTED FILE-----"
END = b"-----END AGE ENCRYPTED FILE-----"
_COLUMNS = 64
_LINE_BYTES = 48
_MAX_WHITE_SPACE = 1024
_MAX_LINE = 4096


def open_envelope(source: Input) -> Input:
    """Return `source` itself, or its decoded content when it starts like an envelope."""
    start = source.peek(_MAX_WHITE_SPACE + len(BEGIN)).lstrip()
    return take_off(source) if start.startswith(b"-----BEGIN") else source


def take_off(source: Input) -> Input:
    """Return the content of an envelope; every fault of it is raised as ArmorError while reading."""
    return Input(_ArmorStream(source))


class _ArmorStream:
    """Decodes one line per read; the end is only reported after the closing line was seen."""

    def __init__(self, source: Input) -> None:
        self._source = source
        self._state = "before"

    def read(self, size: int, /) -> bytes:
        """Return the bytes of the next line (at most 48, whatever `size`), b"" at the end."""
        if self._state == "before":
            self._skip_to_begin()
        if self._state == "after":
            return b""
        line = self._line()
        if line == END:
            self._finish()
            return b""
        data = _decode_line(line)
        if len(data) < _LINE_BYTES:
            if self._line() != END:
                raise ArmorError("armor has a short line that is not its last")
            self._finish()
        return data

    def _skip_to_begin(self) -> None:
        skipped = 0
        line = self._line()
        while not line.strip():
            skipped += len(line) + 1
            if skipped > _MAX_WHITE_SPACE:
                raise ArmorError("armor is preceded by too much white space")
            line = self._line()
        if line != BEGIN:
            raise ArmorError("armor does not start with its opening line")
        self._state = "inside"

    def _line(self) -> bytes:
        line = self._source.read_line(_MAX_LINE)
        if not line:
            raise ArmorError("armor ends without its closing line")
        return line.removesuffix(b"\n").removesuffix(b"\r")

    def _finish(self) -> None:
        rest = self._source.read(_MAX_WHITE_SPACE)
        if rest.strip() or len(rest) == _MAX_WHITE_SPACE:
            raise ArmorError("armor is followed by other data")
        self._state = "after"


def _decode_line(line: bytes) -> bytes:
    if not 0 < len(line) <= _COLUMNS:
        raise ArmorError("armor has an empty or overlong line")
    try:
        data = base64.b64decode(line, validate=True)
    except binascii.Error as exc:
        raise ArmorError(f"armor holds a line that is not base64: {exc}") from exc
    if base64.b64encode(data) != line:
        raise ArmorError("armor holds base64 that is not canonical")
    return data
