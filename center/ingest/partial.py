"""Uploads that are still arriving: `ingest/partial/<pole>/<id>.part` (bytes) beside `<id>.json` (what was announced).

Rules:
* the id is `<segment>~<first 16 hex digits of its SHA-256>`: announcing a segment again finds what arrived, and
  neither side keeps a table of places;
* write `<id>.json` (temporary, fsync, rename), create `<id>.part`, fsync the directory, then answer;
* an offset is the file's real size, and is told only after fdatasync: a crashed server goes on from there;
* a chunk whose checksum is wrong is cut off again before anybody is told;
* one writer at a time: the caller holds the upload's lock; nothing here is thread-safe for one id.
"""

import os
import re
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

MAGIC = "pole-agent/partial/v1"
SEGMENT = re.compile(
    r"(?P<pole>[a-z0-9][a-z0-9-]{0,62})\.(?P<camera>[A-Za-z0-9][A-Za-z0-9_-]{0,62})"
    r"\.(?P<day>\d{8})T\d{6}Z\.\d{10}"
)
_ID = re.compile(r"(?P<segment>[A-Za-z0-9._-]{1,190})~(?P<digest>[0-9a-f]{16})")


class PartialUpload(msgspec.Struct, frozen=True, kw_only=True):
    """What was announced. `length` is None while it is deferred; `bytes` is what the record says."""

    magic: str = MAGIC
    pole: str
    segment: str
    sha256: str
    bytes: int
    length: int | None
    record: str

    @property
    def id(self) -> str:
        """Return the upload's name in `/files/{id}`."""
        return upload_id(self.segment, self.sha256)


def upload_id(segment: str, sha256: str) -> str:
    """Return the name under which a segment with this digest is uploaded."""
    return f"{segment}~{sha256[:16]}"


def parse_upload_id(name: str) -> tuple[str, str] | None:
    """Return (segment, first 16 digits of its SHA-256), or None when it is no id of ours (it may not become a path)."""
    match = _ID.fullmatch(name)
    if match is None or SEGMENT.fullmatch(match["segment"]) is None:
        return None
    return match["segment"], match["digest"]


class PartWriter:
    """Appends to one `.part` file from `offset` on; used as a context manager by one request."""

    def __init__(self, path: Path, offset: int) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        self._start = offset
        self.offset = offset
        os.lseek(self._descriptor, offset, os.SEEK_SET)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)

    def write(self, data: bytes) -> None:
        """Append all of `data`.

        Raises:
            OSError: the file system is full or failed; `offset` counts what was written.
        """
        view = memoryview(data)
        while view:
            written = os.write(self._descriptor, view)
            self.offset += written
            view = view[written:]

    def sync(self) -> None:
        """Make every byte up to `offset` durable, size included."""
        os.fdatasync(self._descriptor)

    def discard(self) -> None:
        """Cut the file back to where this writer began, durably."""
        os.ftruncate(self._descriptor, self._start)
        os.fdatasync(self._descriptor)
        self.offset = self._start


class PartialStore:
    """The directory of arriving uploads."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        make_directory(directory)

    def create(self, upload: PartialUpload) -> PartialUpload:
        """Make the upload durable, or return the one that is there already."""
        known = self.get(upload.pole, upload.id)
        if known is not None:
            return known
        make_directory(self._directory / upload.pole)
        os.close(os.open(self.part_path(upload), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        self._write_announcement(upload)
        return upload

    def set_length(self, upload: PartialUpload, length: int) -> PartialUpload:
        """Fix a deferred length, durably."""
        fixed = msgspec.structs.replace(upload, length=length)
        self._write_announcement(fixed)
        return fixed

    def get(self, pole: str, name: str) -> PartialUpload | None:
        """Return the announced upload `name` (checked by `parse_upload_id`), or None."""
        try:
            upload = msgspec.json.decode((self._directory / pole / f"{name}.json").read_bytes(), type=PartialUpload)
        except (OSError, msgspec.DecodeError):
            return None
        return upload if upload.magic == MAGIC else None

    def part_path(self, upload: PartialUpload) -> Path:
        """Return where the bytes arrive."""
        return self._directory / upload.pole / f"{upload.id}.part"

    def size(self, upload: PartialUpload) -> int | None:
        """Return how many bytes arrived, or None when the file has been moved on already."""
        try:
            return self.part_path(upload).stat().st_size
        except FileNotFoundError:
            return None

    def writer(self, upload: PartialUpload, offset: int) -> PartWriter:
        """Open the upload for bytes from `offset` on, which must be its size."""
        return PartWriter(self.part_path(upload), offset)

    def remove(self, upload: PartialUpload) -> None:
        """Forget the upload: first what was announced (then it is unknown), then its bytes."""
        (self._directory / upload.pole / f"{upload.id}.json").unlink(missing_ok=True)
        self.part_path(upload).unlink(missing_ok=True)
        sync_directory(self._directory / upload.pole)

    def by_pole(self, pole: str) -> list[PartialUpload]:
        """Return the pole's uploads, the longest untouched first."""
        found = []
        for path in (self._directory / pole).glob("*.json"):
            upload = self.get(pole, path.stem)
            if upload is not None:
                found.append(upload)
        return sorted(found, key=self._touched_ns)

    def everything(self) -> list[PartialUpload]:
        """Return every upload of every pole."""
        return [upload for pole in sorted(self._directory.iterdir()) for upload in self.by_pole(pole.name)]

    def _touched_ns(self, upload: PartialUpload) -> int:
        try:
            return self.part_path(upload).stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    def _write_announcement(self, upload: PartialUpload) -> None:
        target = self._directory / upload.pole / f"{upload.id}.json"
        temporary = target.with_suffix(".json.new")
        with temporary.open("wb") as file:
            file.write(msgspec.json.encode(upload))
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(target)
        sync_directory(target.parent)


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(directory: Path) -> None:
    """Make a directory and those above it, each durable in the one above."""
    missing = []
    while not directory.is_dir():
        missing.append(directory)
        directory = directory.parent
    for path in reversed(missing):
        path.mkdir(exist_ok=True, mode=0o700)
        sync_directory(path.parent)
