"""Opening sealed video: for a named officer and reason, written down before the first clear byte (R-LEDGER).

Steps of an opening, in this order:
1. the request names an officer and a reason, else nothing happens;
2. the sealed file is read once: its SHA-256 must be the stored one;
3. a key must open its header (no clear byte comes of that);
4. the ledger row is committed;
5. clear bytes stream out, one 64 KiB chunk at a time; nothing clear is ever written by this module.

`Opening.chunks` may be called again (a player seeks) under the same row, as long as the file is the very same.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from agent.contract.age_format import CHUNK_BYTES, Identity, TornFileError, open_age
from agent.contract.records import TornRecord, decode_record
from center.custodian.keyring import Keyring
from center.errors import ContractError, OpeningRefusedError
from center.store import LedgerEntry, Store, StoredObject
from center.store.ledger import Kind

_NONCE_BYTES = 16
_TAG_BYTES = 16
SUFFIXES = (".torn.mp4.age", ".mp4.age")


@dataclass(frozen=True)
class Request:
    """Who wants to see and why; the rest of the form may stay empty."""

    officer: str
    reason: str
    kind: Kind = "viewing"
    recipient: str = ""
    ground: str = ""
    form: str = ""
    period: str = ""
    approval: str = ""


@dataclass(frozen=True)
class Opening:
    """A permitted opening: its ledger row, the sealed file's digest and how many clear bytes it should give."""

    number: int
    file: str
    sha256: str
    clear_bytes: int
    torn: bool
    _path: Path
    _stamp: tuple[int, ...]
    _identities: tuple[Identity, ...]

    def chunks(self) -> Iterator[bytes]:
        """Yield the clear bytes from the start, in pieces of at most 64 KiB.

        Raises:
            SealError: the file was altered; every byte before is genuine.
            TornFileError: it ends early although no record says that it is torn.
            OpeningRefusedError: the file is not the one that was opened.
        """
        with _open(self._path) as source:
            if _stamp(source) != self._stamp:
                raise OpeningRefusedError(f"{self.file} changed since it was opened; open it again with its reason")
            with suppress(*(TornFileError,) if self.torn else ()):
                yield from open_age(source, self._identities).read_chunks()


class Custodian:
    """Opens what the center stores, and sealed files brought to it."""

    def __init__(self, store: Store, keyring: Keyring, objects_dir: Path) -> None:
        self._store = store
        self._keyring = keyring
        self._objects_dir = objects_dir

    def open_segment(self, segment: str, request: Request) -> Opening:
        """Open a stored segment.

        Raises:
            OpeningRefusedError: no officer or reason, no such segment, or its bytes are not the stored ones.
            SealError: no key of ours opens it.
            StoreError: the ledger cannot be written; nothing was opened.
        """
        _check(request)
        stored = self._store.objects.get(segment)
        if stored is None:
            raise OpeningRefusedError(f"segment {segment} is not stored here; look at its pole's timeline")
        return self._open(self._objects_dir / stored.path, segment, stored, request)

    def open_file(self, path: Path, request: Request) -> Opening:
        """Open a sealed file from anywhere; when its name is a stored segment's, its digest must be that one.

        Raises:
            OpeningRefusedError, SealError, StoreError: as for `open_segment`.
        """
        _check(request)
        stored = self._store.objects.get(segment_of(path))
        return self._open(path, path.name, stored, request)

    def _open(self, path: Path, name: str, stored: StoredObject | None, request: Request) -> Opening:
        identities = tuple(self._keyring.identities())
        with _open(path) as source:
            stamp = _stamp(source)
            digest = hashlib.file_digest(source, "sha256").hexdigest()
            if stored is not None and digest != stored.sha256:
                raise OpeningRefusedError(f"{name} is not what its pole sent: its SHA-256 differs; treat it as altered")
            source.seek(0)
            clear_bytes = _clear_bytes(stamp[-1] - open_age(source, identities).header.length)
        number = self._store.ledger.add(
            LedgerEntry(
                kind=request.kind,
                file=name,
                officer=request.officer.strip(),
                purpose=request.reason.strip(),
                sha256=digest,
                recipient=request.recipient,
                ground=request.ground,
                form=request.form,
                period=request.period,
                approval=request.approval,
            )
        )
        return Opening(number, name, digest, clear_bytes, _is_torn(path, stored), path, stamp, identities)


def segment_of(path: Path) -> str:
    """Return the segment that a file's name says."""
    for suffix in SUFFIXES:
        if path.name.endswith(suffix):
            return path.name.removesuffix(suffix)
    return path.name


def _check(request: Request) -> None:
    if not request.reason.strip():
        raise OpeningRefusedError("opening needs a reason; it is written into the ledger (--reason)")
    if not request.officer.strip():
        raise OpeningRefusedError("opening needs the officer's name; it is written into the ledger (--officer)")


def _open(path: Path) -> BufferedReader:
    try:
        return path.open("rb")
    except OSError as exc:
        raise OpeningRefusedError(f"{path} cannot be read: {exc.strerror}") from exc


def _stamp(source: BinaryIO) -> tuple[int, ...]:
    about = os.fstat(source.fileno())
    return about.st_dev, about.st_ino, about.st_mtime_ns, about.st_size


def _clear_bytes(payload_bytes: int) -> int:
    """Return how many clear bytes a payload (nonce and chunks) of that size holds."""
    chunks = payload_bytes - _NONCE_BYTES
    count = -(-chunks // (CHUNK_BYTES + _TAG_BYTES))
    return max(0, chunks - count * _TAG_BYTES)


def _is_torn(path: Path, stored: StoredObject | None) -> bool:
    if stored is None:
        return path.name.endswith(SUFFIXES[0])
    try:
        return isinstance(decode_record(stored.record), TornRecord)
    except ContractError:
        return False
