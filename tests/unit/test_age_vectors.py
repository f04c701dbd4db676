"""Every public age test vector ends as it declares, and hands out exactly the bytes it declares."""

import hashlib
import io
import zlib
from pathlib import Path

import pytest

from agent.contract.age_format import (
    ArmorError,
    HeaderError,
    HeaderMacError,
    Identity,
    NoMatchError,
    PassphraseIdentity,
    PayloadError,
    parse_identity,
    read_header,
)
from agent.contract.age_format.armor import take_off
from agent.contract.age_format.header import MAGIC, encode_header
from agent.contract.age_format.input import Input
from agent.contract.age_format.reader import open_age
from agent.contract.errors import SealError

DIRECTORY = Path(__file__).parent.parent / "vectors" / "age" / "testdata"
NAMES = sorted(path.name for path in DIRECTORY.iterdir())
# A TornHeaderError is both a header and a payload error: the first match counts.
OUTCOMES: list[tuple[type[SealError], str]] = [
    (ArmorError, "armor failure"),
    (HeaderMacError, "HMAC failure"),
    (HeaderError, "header failure"),
    (NoMatchError, "no match"),
    (PayloadError, "payload failure"),
]


class Vector:
    """One file of the kit: declared fields, then the sealed file."""

    def __init__(self, name: str) -> None:
        head, _, body = (DIRECTORY / name).read_bytes().partition(b"\n\n")
        self.fields: dict[str, list[str]] = {}
        for line in head.decode().splitlines():
            key, _, value = line.partition(": ")
            self.fields.setdefault(key, []).append(value)
        self.sealed = zlib.decompress(body) if self.fields.get("compressed") == ["zlib"] else body

    @property
    def identities(self) -> list[Identity]:
        return [parse_identity(text) for text in self.fields.get("identity", [])] + [
            PassphraseIdentity(text) for text in self.fields.get("passphrase", [])
        ]


def outcome_of(vector: Vector) -> tuple[str, bytes]:
    """Return how our reader ends on the vector, and what it handed out before."""
    opened = io.BytesIO(vector.sealed)
    clear = b""
    try:
        source = take_off(Input(opened)) if "armored" in vector.fields else opened
        for chunk in open_age(source, vector.identities).read_chunks():
            clear += chunk
    except SealError as error:
        return next(outcome for kind, outcome in OUTCOMES if isinstance(error, kind)), clear
    return "success", clear


def test_the_whole_kit_is_here() -> None:
    assert len(NAMES) == 143


@pytest.mark.parametrize("name", NAMES)
def test_vector_ends_as_declared(name: str) -> None:
    vector = Vector(name)
    outcome, clear = outcome_of(vector)
    assert [outcome] == vector.fields["expect"], vector.fields.get("comment")
    if "payload" in vector.fields:
        assert [hashlib.sha256(clear).hexdigest()] == vector.fields["payload"]
    else:
        assert not clear, "nothing may be handed out where the vector declares no payload"


def has_a_proper_header(name: str) -> bool:
    """Armored vectors hold their header inside the envelope; the refused ones hold a wrong one on purpose."""
    fields = Vector(name).fields
    return "armored" not in fields and fields["expect"][0] not in ("header failure", "HMAC failure")


@pytest.mark.parametrize("name", [name for name in NAMES if has_a_proper_header(name)])
def test_every_proper_header_is_written_back_the_same(name: str) -> None:
    vector = Vector(name)
    header = read_header(io.BytesIO(vector.sealed))
    file_key = bytes.fromhex(vector.fields["file key"][0])
    assert vector.sealed.startswith(MAGIC)
    assert vector.sealed[: header.length] == encode_header(file_key, header.stanzas)
