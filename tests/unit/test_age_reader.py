"""The reader: what is altered is refused, what is torn gives its genuine prefix and says so."""

import io
from collections.abc import Iterator
from typing import BinaryIO, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.age_tools import seal, unseal

from agent.contract.age_format import (
    CHUNK_BYTES,
    AgeReader,
    HeaderError,
    Identity,
    NoMatchError,
    PassphraseIdentity,
    PayloadError,
    TornFileError,
    TornHeaderError,
    generate_hybrid_identity,
    generate_identity,
    open_age,
    parse_identity,
    read_header,
)
from agent.contract.age_format.header import MAX_HEADER_BYTES, encode_header
from agent.contract.age_format.recipients import Stanza
from agent.contract.errors import SealError

IDENTITY, RECIPIENT = generate_identity()
IDENTITIES: list[Identity] = [parse_identity(IDENTITY)]
CLEAR = bytes(i * 7 % 251 for i in range(3 * CHUNK_BYTES + 1000))
SEALED = seal(CLEAR, RECIPIENT)
PAYLOAD = read_header(io.BytesIO(SEALED)).length + 16
SEALED_CHUNK = CHUNK_BYTES + 16


def opened(sealed: bytes) -> AgeReader:
    return open_age(io.BytesIO(sealed), IDENTITIES)


def prefix_then_torn(sealed: bytes) -> bytes:
    """Return what is handed out before TornFileError, which must come."""
    clear = b""
    with pytest.raises(TornFileError):
        for chunk in opened(sealed).read_chunks():
            clear += chunk
    return clear


class Pipe:
    """A source that answers with a few bytes at a time, as a pipe or a socket does."""

    def __init__(self, data: bytes) -> None:
        self._pieces: Iterator[bytes] = (data[i : i + 777] for i in range(0, len(data), 777))

    def read(self, size: int) -> bytes:
        assert size >= 777
        return next(self._pieces, b"")


@given(st.integers(0, len(SEALED) - 1))
def test_any_cut_gives_the_whole_chunks_before_it_then_says_torn(length: int) -> None:
    whole = max(0, length - PAYLOAD) // SEALED_CHUNK
    assert prefix_then_torn(SEALED[:length]) == CLEAR[: whole * CHUNK_BYTES]


@pytest.mark.parametrize("chunks", [0, 1, 2, 3])
def test_a_cut_exactly_between_two_chunks_is_torn_too(chunks: int) -> None:
    cut = SEALED[: PAYLOAD + chunks * SEALED_CHUNK]
    assert prefix_then_torn(cut) == CLEAR[: chunks * CHUNK_BYTES]


def test_a_cut_inside_the_header_is_a_header_error_and_torn() -> None:
    for length in range(PAYLOAD):
        with pytest.raises(TornHeaderError):
            opened(SEALED[:length])


@given(st.integers(0, len(SEALED) * 8 - 1))
def test_any_flipped_bit_is_refused(bit: int) -> None:
    altered = bytearray(SEALED)
    altered[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SealError):
        unseal(bytes(altered), IDENTITY)


def test_every_flipped_bit_of_a_header_is_refused() -> None:
    for bit in range(PAYLOAD * 8):
        altered = bytearray(SEALED)
        altered[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SealError):
            unseal(bytes(altered), IDENTITY)


@given(st.integers(0, len(SEALED) * 8 - 1))
def test_nothing_altered_is_ever_handed_out(bit: int) -> None:
    altered = bytearray(SEALED)
    altered[bit // 8] ^= 1 << bit % 8
    clear = b""
    with pytest.raises(SealError):
        for chunk in opened(bytes(altered)).read_chunks():
            clear += chunk
    assert CLEAR.startswith(clear)


def test_an_altered_middle_chunk_is_forged_not_torn() -> None:
    altered = bytearray(SEALED)
    altered[PAYLOAD + SEALED_CHUNK + 5] ^= 1
    with pytest.raises(PayloadError, match="chunk 1 was altered") as caught:
        unseal(bytes(altered), IDENTITY)
    assert not isinstance(caught.value, TornFileError)


@pytest.mark.parametrize("size", [0, 5, CHUNK_BYTES, CHUNK_BYTES + 5, 2 * CHUNK_BYTES])
@pytest.mark.parametrize("excess", [1, 16, 17, SEALED_CHUNK, 2 * SEALED_CHUNK + 1])
def test_a_file_with_bytes_after_its_end_is_refused(size: int, excess: int) -> None:
    with pytest.raises(PayloadError):
        unseal(seal(CLEAR[:size], RECIPIENT) + bytes(excess), IDENTITY)


def test_swapped_and_repeated_chunks_are_refused() -> None:
    first, second = (SEALED[PAYLOAD + i * SEALED_CHUNK :][:SEALED_CHUNK] for i in range(2))
    rest = SEALED[PAYLOAD + 2 * SEALED_CHUNK :]
    for body in (second + first + rest, first + first + rest, second + rest, first + second + second + rest):
        with pytest.raises(PayloadError):
            unseal(SEALED[:PAYLOAD] + body, IDENTITY)


@given(st.integers(1, 3 * CHUNK_BYTES))
def test_reads_of_any_size_give_the_same_bytes(size: int) -> None:
    reader = opened(SEALED)
    pieces = []
    while piece := reader.read(size if len(pieces) < 50 else CHUNK_BYTES):
        pieces.append(piece)
    assert b"".join(pieces) == CLEAR
    assert reader.read(1) == b""


def test_read_of_nothing_takes_nothing() -> None:
    reader = opened(SEALED)
    assert reader.read(0) == b""
    assert reader.read(3) + b"".join(reader.read_chunks()) == CLEAR


def test_an_empty_file_reads_as_empty() -> None:
    assert unseal(seal(b"", RECIPIENT), IDENTITY) == b""
    assert opened(seal(b"", RECIPIENT)).read(10) == b""


def test_reading_on_after_torn_never_looks_like_an_end() -> None:
    reader = opened(SEALED[:-1])
    with pytest.raises(TornFileError):
        while reader.read(CHUNK_BYTES):
            pass
    with pytest.raises(PayloadError, match="failed before"):
        reader.read(1)
    with pytest.raises(PayloadError, match="failed before"):
        list(reader.read_chunks())


def test_a_source_that_fails_is_no_end_either() -> None:
    class BadCard(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > CHUNK_BYTES:
                raise OSError(5, "input/output error")
            return super().read(size)

    reader = open_age(BadCard(SEALED), IDENTITIES)
    with pytest.raises(OSError, match="input/output"):
        reader.read()
    with pytest.raises(PayloadError, match="failed before"):
        reader.read()


def test_a_source_that_answers_in_small_pieces_opens() -> None:
    pipe = cast("BinaryIO", Pipe(SEALED))
    assert open_age(pipe, IDENTITIES).read() == CLEAR


def test_another_identity_does_not_open_it() -> None:
    other, _ = generate_identity()
    hybrid, _ = generate_hybrid_identity()
    with pytest.raises(NoMatchError, match="none of 3 identities"):
        open_age(
            io.BytesIO(SEALED), [parse_identity(other), parse_identity(hybrid), PassphraseIdentity("a passphrase")]
        )


def test_the_stanzas_can_be_read_without_a_key() -> None:
    (stanza,) = read_header(io.BytesIO(SEALED)).stanzas
    assert stanza.type == "X25519"
    assert len(stanza.body) == 32
    (hybrid,) = read_header(io.BytesIO(seal(b"", generate_hybrid_identity()[1]))).stanzas
    assert hybrid.type == "mlkem768x25519"


def test_the_file_key_stays_hidden_unless_asked_for() -> None:
    with pytest.raises(SealError, match="not exposed"):
        _ = opened(SEALED).file_key
    assert len(open_age(io.BytesIO(SEALED), IDENTITIES, expose_file_key=True).file_key) == 16


def test_no_secret_stands_in_a_repr() -> None:
    for secret, _ in (generate_identity(), generate_hybrid_identity()):
        assert secret not in repr(parse_identity(secret))
        assert "SECRET" not in repr(parse_identity(secret))


def test_a_header_without_end_is_refused_before_it_fills_memory() -> None:
    class Endless:
        taken = 0

        def read(self, size: int) -> bytes:
            Endless.taken += size
            return b"a" * size

    with pytest.raises(HeaderError):
        open_age(cast("BinaryIO", Endless()), IDENTITIES)
    assert Endless.taken < 4 * MAX_HEADER_BYTES


def test_a_header_of_very_many_stanzas_is_refused() -> None:
    stanza = Stanza("grease", ("x" * 60,), bytes(40))
    with pytest.raises(HeaderError, match="longer than"):
        opened(encode_header(bytes(16), [stanza] * 20_000))


def test_unknown_stanzas_are_passed_over() -> None:
    grease = Stanza("grease-future", ("argument", "!~"), bytes(100))
    reader = open_age(io.BytesIO(SEALED), IDENTITIES, expose_file_key=True)
    header = encode_header(reader.file_key, [grease, *reader.header.stanzas, grease])
    assert unseal(header + SEALED[reader.header.length :], IDENTITY) == CLEAR


def test_a_header_made_with_another_file_key_is_refused() -> None:
    header = read_header(io.BytesIO(SEALED))
    forged = encode_header(bytes(16), header.stanzas) + SEALED[header.length :]
    with pytest.raises(SealError, match="altered after sealing"):
        unseal(forged, IDENTITY)


def test_a_passphrase_that_asks_for_too_much_work_is_refused_before_any_work() -> None:
    stanza = Stanza("scrypt", ("A" * 22, "21"), bytes(32))
    sealed = encode_header(bytes(16), [stanza]) + bytes(48)
    with pytest.raises(HeaderError, match="work factor '21'"):
        open_age(io.BytesIO(sealed), [PassphraseIdentity("a passphrase")])


def test_many_recipients_are_tried_in_turn() -> None:
    others = [generate_identity()[1] for _ in range(4)]
    assert unseal(seal(b"clear", *others, RECIPIENT), IDENTITY) == b"clear"
