"""Opening a sealed file, strictly and in order.

Rules:
* the header's MAC is checked before any byte is handed out, each chunk's tag before that chunk;
* a file that ends early hands out every whole chunk, then raises TornFileError: never a silent end;
* bytes after the final chunk are refused;
* a text envelope (armor) is recognised by its first line and taken off.
Source: C2SP age.md, "Payload".
"""

from collections.abc import Iterator, Sequence
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from agent.contract.age_format.armor import open_envelope
from agent.contract.age_format.errors import NoMatchError, PayloadError, TornFileError, TornHeaderError
from agent.contract.age_format.header import NONCE_BYTES, Header, parse_header
from agent.contract.age_format.hkdf import hkdf_sha256
from agent.contract.age_format.input import Input
from agent.contract.age_format.recipients import Identity, check_scrypt_alone
from agent.contract.age_format.writer import CHUNK_BYTES
from agent.contract.errors import SealError

_SEALED_CHUNK_BYTES = CHUNK_BYTES + 16


def read_header(source: BinaryIO) -> Header:
    """Read the stanzas of a sealed file without any key. Nothing in it is proven before its MAC is checked.

    Raises:
        HeaderError: it does not follow the format; TornHeaderError when the file ends inside it.
    """
    header = parse_header(open_envelope(Input(source)))
    check_scrypt_alone(header.stanzas)
    return header


def open_age(source: BinaryIO, identities: Sequence[Identity], *, expose_file_key: bool = False) -> "AgeReader":
    """Open a sealed file for reading; `source` stays open and belongs to the caller.

    `expose_file_key` lets `AgeReader.file_key` answer: for a legal hold only, and the caller writes the ledger row.

    Raises:
        HeaderError, HeaderMacError, NoMatchError, ArmorError: it is not ours to open, or not what it seems.
        TornHeaderError: the file ends before its payload begins.
    """
    opened = open_envelope(Input(source))
    header = parse_header(opened)
    check_scrypt_alone(header.stanzas)
    file_key = _file_key(header, identities)
    header.check_mac(file_key)
    nonce = opened.read(NONCE_BYTES)
    if len(nonce) < NONCE_BYTES:
        raise TornHeaderError("file ends before its payload; nothing of it can be opened")
    key = hkdf_sha256(file_key, salt=nonce, info=b"payload")
    return AgeReader(opened, ChaCha20Poly1305(key), header, file_key if expose_file_key else None)


def _file_key(header: Header, identities: Sequence[Identity]) -> bytes:
    for identity in identities:
        file_key = identity.unwrap(header.stanzas)
        if file_key is not None:
            return file_key
    raise NoMatchError(f"none of {len(identities)} identities opens this file; was it sealed for another day or zone?")


class AgeReader:
    """The clear bytes of one sealed file, from its start. Made by `open_age`; use from one thread."""

    def __init__(self, opened: Input, cipher: ChaCha20Poly1305, header: Header, file_key: bytes | None) -> None:
        self.header = header
        self._opened = opened
        self._cipher = cipher
        self._exposed_file_key = file_key
        self._chunks = self._open_chunks()
        self._at_true_end = False
        self._rest = b""

    @property
    def file_key(self) -> bytes:
        """The 16-byte key of this file only (DESIGN decision 6).

        Raises:
            SealError: the file was not opened for that.
        """
        if self._exposed_file_key is None:
            raise SealError("file key is not exposed; a legal hold opens the file with expose_file_key=True")
        return self._exposed_file_key

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` clear bytes; b"" only at the true end; all of them when `size` is negative.

        Raises:
            TornFileError: the file is cut; everything before was handed out by earlier calls (`read(-1)` hands out
                nothing then: use `read_chunks` to keep a prefix).
            PayloadError: a chunk was altered, or bytes follow the end.
        """
        if size < 0:
            return b"".join(self.read_chunks())
        while not self._rest and size:
            chunk = next(self._chunks, b"")
            if not chunk:
                self._check_true_end()
                break
            self._rest = chunk
        part, self._rest = self._rest[:size], self._rest[size:]
        return part

    def read_chunks(self) -> Iterator[bytes]:
        """Yield what `read` has not yet handed out, chunk by chunk (64 KiB each but the last). Raises as `read`."""
        if self._rest:
            part, self._rest = self._rest, b""
            yield part
        yield from self._chunks
        self._check_true_end()

    def _check_true_end(self) -> None:
        # A generator that raised once is silent ever after: without this, a second read of a torn file would end well.
        if not self._at_true_end:
            raise PayloadError("reading this file failed before; open it again to read what is whole")

    def _open_chunks(self) -> Iterator[bytes]:
        sealed = self._opened.read(_SEALED_CHUNK_BYTES)
        number = 0
        while following := self._opened.read(_SEALED_CHUNK_BYTES):
            yield from self._open_middle(number, sealed)
            sealed = following
            number += 1
        yield from self._open_last(number, sealed)
        self._at_true_end = True

    def _open_middle(self, number: int, sealed: bytes) -> Iterator[bytes]:
        chunk = self._open(number, sealed, is_last=False)
        if chunk is not None:
            yield chunk
            return
        last = self._open(number, sealed, is_last=True)
        if last is None:
            raise PayloadError(f"chunk {number} was altered; treat the file as forged")
        # The chunk is genuine and the true end: as every age reader does, give it out, then refuse what follows.
        yield last
        raise PayloadError(f"bytes follow the final chunk {number}; treat the file as forged")

    def _open_last(self, number: int, sealed: bytes) -> Iterator[bytes]:
        chunk = self._open(number, sealed, is_last=True)
        if chunk is None:
            # Cut exactly between two chunks: this one is whole and genuine, only its successor is missing.
            whole = self._open(number, sealed, is_last=False) if len(sealed) == _SEALED_CHUNK_BYTES else None
            if whole is not None:
                yield whole
            raise TornFileError(f"file is cut in or after chunk {number} (or altered there); all before it is genuine")
        if not chunk and number:
            raise PayloadError("final chunk is empty although others precede it; no age tool writes that")
        if chunk:
            yield chunk

    def _open(self, number: int, sealed: bytes, *, is_last: bool) -> bytes | None:
        try:
            return self._cipher.decrypt((number << 8 | is_last).to_bytes(12, "big"), sealed, None)
        except InvalidTag:
            return None
