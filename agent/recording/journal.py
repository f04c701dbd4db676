"""The journal beside a segment being written: what of it is known to be on disk (docs/contract/spool.md).

Rules:
* JSON lines: one header line (magic, version, segment, everything a record needs), then progress lines
  `{"bytes","end_us","frames"}`, then at most one final line `{"record": <canonical record>}`;
* a progress line is written only after the part's bytes it speaks of were fdatasynced, and is itself
  fdatasynced; so the last whole line is always true;
* a line without its newline, or unreadable, was cut off by the crash: it and everything after it is not there.
"""

import os
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from agent.contract.errors import ContractError
from agent.contract.records import SegmentRecord, decode_record, encode_record

Line = TypeVar("Line", bound=msgspec.Struct)

MAGIC = "pole-agent/journal"
VERSION = 1


class SegmentHeader(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a segment when it begins; `start_us` is its first frame's UTC, `recipient` its recipient id."""

    camera: str
    management_number: str
    purpose: str
    start_us: int
    recipient: str
    codec: str
    width: int
    height: int
    source_has_sound: bool


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """The first `bytes` bytes of the part are on disk; they hold `frames` frames that end at `end_us`."""

    bytes: int
    end_us: int
    frames: int


class _HeaderLine(msgspec.Struct, frozen=True, kw_only=True):
    magic: str
    v: int
    segment: str
    header: SegmentHeader


class _FinalLine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    record: str


class JournalText(NamedTuple):
    """A journal as read after a crash; the last progress only, since each one includes those before it."""

    segment: str
    header: SegmentHeader
    progress: Progress | None
    final: SegmentRecord | None


class Journal:
    """The journal of the open segment; one writer, each line durable when its method returns."""

    def __init__(self, path: Path, segment: str, header: SegmentHeader) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o640)
        try:
            self.append(_HeaderLine(magic=MAGIC, v=VERSION, segment=segment, header=header))
        except OSError:
            os.close(self._fd)
            raise

    def append(self, line: msgspec.Struct) -> None:
        """Write one line and fdatasync it.

        Raises:
            OSError: the disk is full, read-only or broken.
        """
        data = msgspec.json.encode(line) + b"\n"
        if os.write(self._fd, data) != len(data):
            raise OSError("the journal's line was written only in part; check the disk")
        os.fdatasync(self._fd)

    def finish(self, record: SegmentRecord) -> None:
        """Write the final line: the part is whole, and this is its record."""
        self.append(_FinalLine(record=encode_record(record).decode()))

    def close(self) -> None:
        """Close the file; must be called once."""
        os.close(self._fd)


def read_journal(path: Path) -> JournalText | None:
    """Read a journal as far as it is whole; None when not even its header is.

    Raises:
        OSError: the file cannot be read.
    """
    lines = path.read_bytes().split(b"\n")[:-1]
    head = _decode(lines[0], _HeaderLine) if lines else None
    if head is None or head.magic != MAGIC or head.v != VERSION:
        return None
    progress: Progress | None = None
    for line in lines[1:]:
        entry = _decode(line, Progress)
        if entry is None:
            return JournalText(head.segment, head.header, progress, _final(line))
        progress = entry
    return JournalText(head.segment, head.header, progress, None)


def _final(line: bytes) -> SegmentRecord | None:
    entry = _decode(line, _FinalLine)
    if entry is None:
        return None
    try:
        record = decode_record(entry.record)
    except ContractError:
        return None
    return record if isinstance(record, SegmentRecord) else None


def _decode(line: bytes, kind: type[Line]) -> Line | None:
    try:
        return msgspec.json.decode(line, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
