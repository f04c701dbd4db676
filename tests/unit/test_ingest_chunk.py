"""The body of one PATCH: bounded, durable before it is told, whole or not at all (center.ingest.chunk)."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from starlette.requests import ClientDisconnect

from center.ingest import chunk as chunk_module
from center.ingest.chunk import BLOCK_BYTES, ChunkReceiver, RunningDigests
from center.ingest.partial import PartWriter
from center.ingest.problem import Refusal
from center.ingest.tus_headers import Checksum


async def body(*pieces: bytes | BaseException) -> AsyncIterator[bytes]:
    for piece in pieces:
        if isinstance(piece, BaseException):
            raise piece
        yield piece


async def silent() -> AsyncIterator[bytes]:
    yield b"first"
    await asyncio.Event().wait()


class FullDisk(PartWriter):
    """A file system with room for `room` bytes more."""

    room = 3

    def write(self, data: bytes) -> None:
        super().write(data[: self.room])
        if len(data) > self.room:
            raise OSError(28, "No space left on device")


def receive(path: Path, stream: AsyncIterator[bytes], most: int = 1 << 20, **words: object) -> tuple[int, object]:
    """Receive a body at the end of `path`; return the offset and the running digest, or raise."""
    path.touch()
    kind = words.pop("writer", PartWriter)
    idle_s = words.pop("idle_s", 5.0)
    start = path.stat().st_size
    digest = hashlib.sha256(path.read_bytes())

    async def run() -> tuple[int, object]:
        with kind(path, start) as writer:
            receiver = ChunkReceiver(writer, most, words.get("checksum"), digest, words.get("check_room", lambda: None))
            await receiver.receive(stream, idle_s)
            return writer.offset, receiver.digest

    return asyncio.run(run())


def checksum_of(data: bytes) -> Checksum:
    return Checksum(hashlib.sha256, hashlib.sha256(data).digest())


def test_a_body_is_written_and_hashed_on_the_way(tmp_path: Path):
    data = os.urandom(3 * BLOCK_BYTES + 17)
    pieces = [data[at : at + 60_000] for at in range(0, len(data), 60_000)]
    offset, digest = receive(tmp_path / "a", body(*pieces))
    assert offset == len(data) and (tmp_path / "a").read_bytes() == data
    assert digest.hexdigest() == hashlib.sha256(data).hexdigest()


def test_a_body_that_takes_the_centers_own_room_is_given_up_and_leaves_nothing(tmp_path: Path):
    blocks = iter([None, None, Refusal("store-full", "little is free")])

    def room() -> None:
        found = next(blocks)
        if found is not None:
            raise found

    piece = b"x" * BLOCK_BYTES
    with pytest.raises(Refusal) as caught:
        receive(tmp_path / "a", body(*[piece] * 9), most=1 << 30, check_room=room)
    assert caught.value.code == "store-full" and (tmp_path / "a").stat().st_size == 0


def test_a_cut_without_a_checksum_keeps_every_byte_that_came(tmp_path: Path):
    with pytest.raises(ClientDisconnect):
        receive(tmp_path / "a", body(b"12345", b"67", ClientDisconnect()))
    assert (tmp_path / "a").read_bytes() == b"1234567"


def test_a_cut_with_a_checksum_keeps_nothing_of_the_chunk(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"before")
    with pytest.raises(ClientDisconnect):
        receive(tmp_path / "a", body(b"12345", ClientDisconnect()), checksum=checksum_of(b"1234567"))
    assert (tmp_path / "a").read_bytes() == b"before"


def test_a_wrong_checksum_keeps_nothing_of_the_chunk(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"before")
    with pytest.raises(Refusal) as caught:
        receive(tmp_path / "a", body(b"x" * (BLOCK_BYTES + 5)), checksum=checksum_of(b"other"))
    assert caught.value.code == "checksum-mismatch"
    assert (tmp_path / "a").read_bytes() == b"before"


def test_a_body_that_is_too_long_keeps_nothing_of_the_chunk(tmp_path: Path):
    with pytest.raises(Refusal) as caught:
        receive(tmp_path / "a", body(b"12345", b"67"), most=6)
    assert caught.value.code == "too-large" and (tmp_path / "a").read_bytes() == b""


def test_a_body_that_never_ends_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(chunk_module, "DRAIN_BYTES", 100)
    with pytest.raises(Refusal) as caught:
        receive(tmp_path / "a", body(*[b"x" * 60] * 1000), most=6)
    assert caught.value.headers == {"Connection": "close"}


def test_a_body_that_stalls_is_given_up(tmp_path: Path):
    with pytest.raises(Refusal) as caught:
        receive(tmp_path / "a", silent(), idle_s=0.01)
    assert caught.value.code == "too-slow" and caught.value.headers == {"Connection": "close"}


def test_a_full_disk_is_507_and_leaves_nothing_of_the_chunk(tmp_path: Path):
    with pytest.raises(Refusal) as caught:
        receive(tmp_path / "a", body(b"12345"), writer=FullDisk)
    assert caught.value.code == "store-full" and (tmp_path / "a").read_bytes() == b""


def test_a_digest_runs_on_only_from_exactly_where_it_stopped():
    digests = RunningDigests()
    digests.keep("a", 5, hashlib.sha256(b"12345"))
    running = digests.at("a", 5)
    running.update(b"6")
    assert running.hexdigest() == hashlib.sha256(b"123456").hexdigest()
    assert digests.at("a", 5).hexdigest() == hashlib.sha256(b"12345").hexdigest()
    assert digests.at("a", 4) is None and digests.at("b", 5) is None
    digests.drop("a")
    assert digests.at("a", 5) is None


def test_the_oldest_running_digest_is_forgotten_first(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(chunk_module, "RUNNING_DIGESTS", 2)
    digests = RunningDigests()
    for name in "abc":
        digests.keep(name, 1, hashlib.sha256(b"1"))
    assert digests.at("a", 1) is None and digests.at("b", 1) is not None and digests.at("c", 1) is not None
