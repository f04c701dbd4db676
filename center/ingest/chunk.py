"""Receives the body of one PATCH: streamed to the file, hashed on the way, durable before the offset is told.

Rules:
* memory is bounded: `BLOCK_BYTES` a request, whatever the body's size;
* a body longer than what is missing is refused; one that stalls for `IDLE_S` is given up;
* with a checksum, a chunk counts whole or not at all; without one, what arrived before a cut is kept;
* a chunk that is refused, or that a full disk did not take whole, leaves nothing behind;
* the room that the center keeps for itself is looked at before each block: a body may have 1 GiB, many may come at
  once, and the bells are committed to the same disk.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

from starlette.concurrency import run_in_threadpool

from center.ingest.partial import PartWriter
from center.ingest.problem import Refusal
from center.ingest.receiver import storage_refusals
from center.ingest.tus_headers import Checksum

BLOCK_BYTES = 256 * 1024
IDLE_S = 20.0
DRAIN_BYTES = 16 << 20
RUNNING_DIGESTS = 1024


async def oversized(body: AsyncIterator[bytes], detail: str) -> Refusal:
    """Return the refusal of a body that is too long, after reading a bounded rest of it.

    Closing at once would reset the connection, and the answer would be lost with it.
    """
    drained = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(IDLE_S):
            async for piece in body:
                drained += len(piece)
                if drained > DRAIN_BYTES:
                    break
            else:
                return Refusal("too-large", detail)
    return Refusal("too-large", detail, {"Connection": "close"})


class RunningDigests:
    """SHA-256 of what arrived so far, per upload; the oldest are forgotten (the file is then read once more)."""

    def __init__(self) -> None:
        self._digests: OrderedDict[str, tuple[int, Any]] = OrderedDict()

    def at(self, name: str, offset: int) -> Any | None:
        """Return a digest over exactly the first `offset` bytes, or None when none is running."""
        if offset == 0:
            return hashlib.sha256()
        known = self._digests.get(name)
        return known[1].copy() if known is not None and known[0] == offset else None

    def keep(self, name: str, offset: int, digest: Any | None) -> None:
        """Remember a digest over the first `offset` bytes."""
        self.drop(name)
        if digest is not None:
            self._digests[name] = (offset, digest)
            if len(self._digests) > RUNNING_DIGESTS:
                self._digests.popitem(last=False)

    def drop(self, name: str) -> None:
        """Forget an upload."""
        self._digests.pop(name, None)


class ChunkReceiver:
    """Writes one body. `digest` afterwards covers everything up to `writer.offset`, or is None."""

    def __init__(
        self,
        writer: PartWriter,
        most_bytes: int,
        checksum: Checksum | None,
        digest: Any | None,
        check_room: Callable[[], object] = lambda: None,
    ) -> None:
        self._writer = writer
        self._check_room = check_room
        self._most_bytes = most_bytes
        self._checksum = checksum
        self._sum = checksum.new() if checksum else None
        self._block = bytearray()
        self._before = digest
        self.digest = digest.copy() if digest is not None else None

    async def receive(self, body: AsyncIterator[bytes], idle_s: float = IDLE_S) -> None:
        """Take the whole body.

        Raises:
            Refusal: too long, too slow, wrong checksum, or no room; `writer.offset` says what is durable.
            ClientDisconnect: the link was cut; likewise (starlette).
        """
        try:
            await self._take(body, idle_s)
            await run_in_threadpool(self._end)
        except Refusal:
            await run_in_threadpool(self._discard)
            raise
        except BaseException:
            await run_in_threadpool(self._end_early)
            raise

    async def _take(self, body: AsyncIterator[bytes], idle_s: float) -> None:
        taken = 0
        while True:
            try:
                async with asyncio.timeout(idle_s):
                    piece = await anext(body, None)
            except TimeoutError as exc:
                raise Refusal("too-slow", f"no byte came for {idle_s:g} s", {"Connection": "close"}) from exc
            if piece is None:
                return
            taken += len(piece)
            if taken > self._most_bytes:
                raise await oversized(body, f"only {self._most_bytes} bytes are missing")
            self._block += piece
            if len(self._block) >= BLOCK_BYTES:
                await run_in_threadpool(self._write)

    def _write(self) -> None:
        before = self._writer.offset
        block = bytes(self._block)
        self._block.clear()
        if block:
            self._check_room()
        try:
            with storage_refusals():
                self._writer.write(block)
        finally:
            written = block[: self._writer.offset - before]
            for one in (self._sum, self.digest):
                if one is not None:
                    one.update(written)

    def _end(self) -> None:
        self._write()
        if self._checksum is not None and self._sum is not None and self._sum.digest() != self._checksum.digest:
            raise Refusal("checksum-mismatch", "send the chunk again from the same offset")
        with storage_refusals():
            self._writer.sync()

    def _end_early(self) -> None:
        """The link was cut: with a checksum nothing of this chunk counts, else every byte that arrived."""
        if self._checksum is not None:
            self._discard()
            return
        try:
            self._write()
        finally:  # what was written before counts by its size, so it must be durable even where the last block is not
            with storage_refusals():
                self._writer.sync()

    def _discard(self) -> None:
        with storage_refusals():
            self._writer.discard()
        self.digest = self._before
