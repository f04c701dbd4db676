"""Sealing one file as it is produced: clear bytes go in, only header and ciphertext come out.

Rules:
* nothing but the header, the nonce and the output of the cipher is ever passed to the sink;
* a chunk is passed as soon as the byte after it is known. The last chunk of a file is marked and never empty, so a
  chunk that is full to the byte waits for the next write or for close: at most 64 KiB are held back;
* the chunks of one write are passed together, up to `GROUP_CHUNKS` a call, as a view of a buffer that is used again:
  the sink must be done with them when it returns (a fresh `bytes` a chunk is allocated, cleared and freed for nothing);
* no nonce is used twice: after an error in the cipher or the sink the writer is broken, and says so;
* there is no `with`: closing on an exception would give half a recording the look of a whole one.
Source: C2SP age.md, "Payload" (STREAM, Hoang-Reyhanitabar-Rogaway-Vizar 2015).
"""

import io
import secrets
from collections.abc import Callable, Sequence

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from agent.contract.age_format.header import FILE_KEY_BYTES, NONCE_BYTES, encode_header
from agent.contract.age_format.hkdf import hkdf_sha256
from agent.contract.age_format.recipients import Recipient
from agent.contract.errors import SealError

CHUNK_BYTES = 64 * 1024
TAG_BYTES = 16
GROUP_CHUNKS = 4
Buffer = bytes | bytearray | memoryview


def wrap_file_key(file_key: bytes, recipients: Sequence[Recipient]) -> bytes:
    """Return a header that gives `file_key` to `recipients` (a new file, or a legal hold on an old one).

    Raises:
        SealError: no recipient, or classic and hybrid ones mixed: the weaker would decide.
    """
    if not recipients:
        raise SealError("no recipient to seal for; nothing is written")
    if len({recipient.family for recipient in recipients}) > 1:
        raise SealError("classic and hybrid recipients must not be mixed in one file; choose one family")
    return encode_header(file_key, [recipient.wrap(file_key) for recipient in recipients])


class AgeWriter:
    """One sealed file. Use from one thread; memory is one clear chunk and `GROUP_CHUNKS` sealed ones.

    Args:
        sink: takes the sealed bytes, in order, before it returns; called with the header from `__init__` already.
        recipients: who can open the file; all classic or all hybrid.

    Raises:
        SealError: no usable recipient. Nothing was passed to the sink.
    """

    def __init__(self, sink: Callable[[memoryview], object], recipients: Sequence[Recipient]) -> None:
        file_key = secrets.token_bytes(FILE_KEY_BYTES)
        nonce = secrets.token_bytes(NONCE_BYTES)
        header = wrap_file_key(file_key, recipients)
        self._cipher = ChaCha20Poly1305(hkdf_sha256(file_key, salt=nonce, info=b"payload"))
        self._sink = sink
        self._pending = io.BytesIO(bytes(CHUNK_BYTES))  # three times faster to fill than a bytearray, never longer
        self._filled = 0
        self._sealed = memoryview(bytearray(GROUP_CHUNKS * (CHUNK_BYTES + TAG_BYTES)))
        self._sealed_bytes = 0
        self._counter = 0
        self._unusable = ""
        self._sink(memoryview(header + nonce))

    def write(self, data: Buffer) -> int:
        """Seal `data` and return its length in bytes. `data` may be reused at once.

        Raises:
            SealError: the writer is closed or broken.
            Whatever the sink raises; the writer is broken then.
        """
        if self._unusable:
            raise SealError(self._unusable)
        size = data.nbytes if isinstance(data, memoryview) else len(data)
        if self._filled + size > CHUNK_BYTES:
            return self._write_across(memoryview(data).cast("B"))
        self._filled += self._pending.write(data)
        return size

    def flush_chunks(self) -> None:
        """Do nothing: every chunk that may be passed already was (see the rules above).

        What is still held back cannot go out earlier without weakening the format: a shorter chunk ends the file.
        """
        if self._unusable:
            raise SealError(self._unusable)

    def close(self) -> None:
        """Seal the last chunk and mark it as the last. Must be called exactly once; it does not close the sink.

        Raises:
            SealError: the writer is closed or broken.
        """
        if self._unusable:
            raise SealError(self._unusable)
        self._seal_pending(is_last=True)
        self._pass()
        self._unusable = "sealed file is closed; begin a new one"
        self._pending.close()

    def _write_across(self, view: memoryview) -> int:
        start = 0
        if self._filled:
            start = CHUNK_BYTES - self._filled
            self._filled += self._pending.write(view[:start])
            self._seal_pending(is_last=False)
        while len(view) - start > CHUNK_BYTES:
            self._seal(view[start : start + CHUNK_BYTES], is_last=False)  # straight from the caller's buffer
            start += CHUNK_BYTES
        self._pass()
        self._filled = self._pending.write(view[start:])
        return len(view)

    def _seal_pending(self, *, is_last: bool) -> None:
        with self._pending.getbuffer() as whole, whole[: self._filled] as chunk:
            self._seal(chunk, is_last=is_last)
        self._pending.seek(0)
        self._filled = 0

    def _seal(self, chunk: memoryview, *, is_last: bool) -> None:
        if self._sealed_bytes + len(chunk) + TAG_BYTES > len(self._sealed):
            self._pass()
        # Broken until the sink has it: a retry would seal other bytes under the same nonce and give both away.
        self._unusable = "sealed file is broken by an earlier error; abandon it and begin a new one"
        nonce = (self._counter << 8 | is_last).to_bytes(12, "big")
        self._counter += 1
        end = self._sealed_bytes + len(chunk) + TAG_BYTES
        self._cipher.encrypt_into(nonce, chunk, None, self._sealed[self._sealed_bytes : end])
        self._sealed_bytes = end

    def _pass(self) -> None:
        """Give the sink the chunks sealed since the last call."""
        size, self._sealed_bytes = self._sealed_bytes, 0
        if size:
            self._sink(self._sealed[:size])
            self._unusable = ""
