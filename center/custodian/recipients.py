"""The public half of the custodian's keys: what poles seal to and what ingest accepts. No secret is read here.

`recipients.json`: `{"magic": "pole-center/recipients", "v": 1, "recipients": [{id, recipient, zone, created_us}]}`.
Rules: rewritten by rename, so a reader sees the old or the new list; a reader looks again when the file changed.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from center.errors import SealError

MAGIC = "pole-center/recipients"
FILE_NAME = "recipients.json"


class RecipientRow(msgspec.Struct, frozen=True, kw_only=True):
    """One recipient: its id (16 hexadecimal digits), its text (`age1...`), its zone, when it was made."""

    id: str
    recipient: str
    zone: str
    created_us: int


class _File(msgspec.Struct, frozen=True, kw_only=True):
    magic: str
    v: int
    recipients: list[RecipientRow]


class RecipientList:
    """The list in `key_dir`; reads it again when it changed."""

    def __init__(self, key_dir: Path) -> None:
        self._file = key_dir / FILE_NAME
        self._stamp: tuple[int, int] | None = None
        self._rows: tuple[RecipientRow, ...] = ()

    def knows(self, recipient_id: str) -> bool:
        """Return whether the custodian holds the key of this recipient id.

        Raises:
            SealError: the list is unreadable.
        """
        return any(row.id == recipient_id for row in self.rows())

    def rows(self) -> Sequence[RecipientRow]:
        """Return every recipient, oldest first; none when there is no list yet.

        Raises:
            SealError: the list is unreadable.
        """
        try:
            about = self._file.stat()
            stamp = (about.st_mtime_ns, about.st_ino)
            if stamp != self._stamp:
                self._rows = _read(self._file)
                self._stamp = stamp
        except FileNotFoundError:
            return ()
        except OSError as exc:
            raise SealError(f"{self._file} cannot be read: {exc}") from exc
        return self._rows


def write_recipients(key_dir: Path, rows: Sequence[RecipientRow]) -> None:
    """Replace the list in `key_dir`, on disk when this returns.

    Raises:
        OSError: it cannot be written.
    """
    text = msgspec.json.format(msgspec.json.encode(_File(magic=MAGIC, v=1, recipients=list(rows))))
    replace_file(key_dir / FILE_NAME, text + b"\n")


def write_pole_list(file: Path, rows: Sequence[RecipientRow]) -> None:
    """Write the list that goes to the poles of one zone: newest first, one recipient a line.

    Raises:
        OSError: it cannot be written.
    """
    newest_first = sorted(rows, key=lambda row: row.created_us, reverse=True)
    replace_file(file, "".join(f"# {row.id} zone {row.zone}\n{row.recipient}\n" for row in newest_first).encode())


def replace_file(file: Path, data: bytes) -> None:
    """Write, fsync, rename, fsync the folder.

    Raises:
        OSError: it cannot be written.
    """
    temporary = file.with_name(f".{file.name}.new")
    with temporary.open("wb") as handle:
        handle.write(data)
        handle.flush()
        os.fsync(handle.fileno())
    temporary.rename(file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _read(file: Path) -> tuple[RecipientRow, ...]:
    try:
        found = msgspec.json.decode(file.read_bytes(), type=_File)
    except msgspec.DecodeError as exc:
        raise SealError(f"{file} is not a recipient list: {exc}") from exc
    if (found.magic, found.v) != (MAGIC, 1):
        raise SealError(f"{file} is {found.magic} version {found.v}, we read {MAGIC} version 1")
    return tuple(found.recipients)
