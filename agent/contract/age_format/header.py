"""The header of an age v1 file: who can open it, and the proof that nobody changed that list.

    age-encryption.org/v1
    -> X25519 <share>          one stanza per recipient: type and arguments,
    <body, 64 columns>         then the wrapped file key; the last line is shorter than 64 (maybe empty)
    --- <MAC>

Rules:
* every line ends in a single LF; arguments are printable ASCII separated by one space; base64 is canonical, unpadded;
* the MAC is HMAC-SHA256 over everything up to and including `---`, keyed by HKDF(file key, "header").
Source: C2SP age.md, "Header".
"""

import hmac
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

from agent.contract.age_format import base64_strict
from agent.contract.age_format.errors import HeaderError, HeaderMacError, TornHeaderError
from agent.contract.age_format.hkdf import hkdf_sha256

MAGIC = b"age-encryption.org/v1\n"
FILE_KEY_BYTES = 16
NONCE_BYTES = 16
MAX_HEADER_BYTES = 1 << 20
"""Not in the format: a limit of ours, so that a hostile file cannot fill memory before its MAC is checked."""

_COLUMNS = 64
_MAC_BYTES = 32
_STANZA_LINE = re.compile(rb"-> ([\x21-\x7e]+(?: [\x21-\x7e]+)*)\n")
_FOOTER_LINE = re.compile(rb"--- ([A-Za-z0-9+/]{43})\n")


@dataclass(frozen=True)
class Stanza:
    """One way to the file key: a type with its arguments, and the wrapped key."""

    type: str
    arguments: tuple[str, ...]
    body: bytes

    def encode(self) -> bytes:
        """Return the stanza as it stands in a header."""
        first = " ".join(("->", self.type, *self.arguments)).encode("ascii")
        text = base64_strict.encode(self.body)
        lines = [text[i : i + _COLUMNS] for i in range(0, len(text) + 1, _COLUMNS)]
        return b"\n".join((first, *lines, b""))


@dataclass(frozen=True)
class Header:
    """A parsed header. `signed` is what the MAC covers; the payload nonce starts at byte `length` of the file."""

    stanzas: tuple[Stanza, ...]
    signed: bytes
    mac: bytes

    @property
    def length(self) -> int:
        """Bytes from the start of the file to the payload nonce."""
        return len(self.signed) + len(" ") + 43 + len("\n")

    def check_mac(self, file_key: bytes) -> None:
        """Raise HeaderMacError unless `file_key` made this header."""
        if not hmac.compare_digest(_mac(file_key, self.signed), self.mac):
            raise HeaderMacError("header was altered after sealing: its MAC is wrong; treat the file as forged")


class LineSource(Protocol):
    """Where header lines come from."""

    def read_line(self, limit: int) -> bytes:
        """Return bytes up to and including LF, or fewer at the end of the file or at `limit`."""


def encode_header(file_key: bytes, stanzas: Sequence[Stanza]) -> bytes:
    """Return a whole header, MAC included, for `file_key`."""
    signed = MAGIC + b"".join(stanza.encode() for stanza in stanzas) + b"---"
    return signed + b" " + base64_strict.encode(_mac(file_key, signed)) + b"\n"


def parse_header(source: LineSource) -> Header:
    """Read a header and leave `source` at the payload nonce.

    Raises:
        HeaderError: it does not follow the format.
        TornHeaderError: the file ends inside it.
    """
    lines = _Lines(source)
    magic = lines.next()
    if magic != MAGIC:
        raise HeaderError("not an age v1 file: its first line is another; check that this is a sealed file")
    stanzas: list[Stanza] = []
    line = lines.next()
    while not line.startswith(b"---"):
        stanzas.append(_parse_stanza(line, lines))
        line = lines.next()
    footer = _FOOTER_LINE.fullmatch(line)
    if footer is None or not stanzas:
        raise HeaderError("header ends in a malformed MAC line" if stanzas else "header names no recipient")
    return Header(tuple(stanzas), lines.seen[: -len(line)] + b"---", base64_strict.decode(footer[1]))


def _parse_stanza(line: bytes, lines: "_Lines") -> Stanza:
    match = _STANZA_LINE.fullmatch(line)
    if match is None:
        raise HeaderError("header holds a malformed recipient line")
    kind, *arguments = match[1].decode("ascii").split(" ")
    return Stanza(kind, tuple(arguments), b"".join(_body_lines(lines)))


def _body_lines(lines: "_Lines") -> Iterator[bytes]:
    while True:
        text = lines.next()[:-1]
        if len(text) > _COLUMNS:
            raise HeaderError("header holds a recipient body line that is too long")
        yield base64_strict.decode(text)
        if len(text) < _COLUMNS:
            return


class _Lines:
    """Whole lines of the header, remembered for the MAC."""

    def __init__(self, source: LineSource) -> None:
        self._source = source
        self.seen = b""

    def next(self) -> bytes:
        line = self._source.read_line(MAX_HEADER_BYTES - len(self.seen))
        if not line.endswith(b"\n"):
            if len(self.seen) + len(line) >= MAX_HEADER_BYTES:
                raise HeaderError(f"header is longer than {MAX_HEADER_BYTES} bytes")
            raise TornHeaderError("file ends inside its header; nothing of it can be opened")
        self.seen += line
        return line


def _mac(file_key: bytes, signed: bytes) -> bytes:
    return hmac.digest(hkdf_sha256(file_key, salt=b"", info=b"header"), signed, sha256)
