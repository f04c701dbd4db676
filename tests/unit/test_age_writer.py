"""The writer: what reaches the sink, and when."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.age_tools import parse_recipients, seal, unseal

from agent.contract.age_format import (
    CHUNK_BYTES,
    AgeWriter,
    generate_hybrid_identity,
    generate_identity,
    open_age,
    parse_identity,
    parse_recipient,
    read_header,
    wrap_file_key,
)
from agent.contract.age_format.recipients import X25519Recipient
from agent.contract.age_format.writer import GROUP_CHUNKS
from agent.contract.errors import SealError

IDENTITY, RECIPIENT = generate_identity()
SEALED_CHUNK = CHUNK_BYTES + 16
MARK = b"this is clear video "


class Sink:
    """Collects what it is given, call by call; refuses once when told to."""

    def __init__(self) -> None:
        self.calls: list[bytes] = []
        self.refuse = False

    def __call__(self, data: memoryview) -> None:
        if self.refuse:
            self.refuse = False
            raise OSError(28, "no space left on device")
        self.calls.append(bytes(data))

    @property
    def sealed(self) -> bytes:
        return b"".join(self.calls)


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.fixture
def writer(sink: Sink) -> AgeWriter:
    return AgeWriter(sink, parse_recipients([RECIPIENT]))


def test_the_header_is_passed_before_any_data(sink: Sink, writer: AgeWriter) -> None:
    (first,) = sink.calls
    assert len(first) == read_header(io.BytesIO(first)).length + 16


def test_a_chunk_is_passed_as_soon_as_the_byte_after_it_is_known(sink: Sink, writer: AgeWriter) -> None:
    writer.write(bytes(CHUNK_BYTES))
    assert len(sink.calls) == 1, "a full chunk may still be the last one, which is marked"
    writer.write(b"x")
    assert [len(call) for call in sink.calls[1:]] == [SEALED_CHUNK]


def test_a_large_write_passes_its_chunks_at_once_and_together(sink: Sink, writer: AgeWriter) -> None:
    writer.write(bytes(5 * CHUNK_BYTES + 7))
    assert [len(call) for call in sink.calls[1:]] == [SEALED_CHUNK * GROUP_CHUNKS, SEALED_CHUNK]


def test_a_sink_that_fails_within_a_large_write_ends_the_writer(sink: Sink, writer: AgeWriter) -> None:
    sink.refuse = True
    with pytest.raises(OSError, match="no space left"):
        writer.write(bytes(2 * GROUP_CHUNKS * CHUNK_BYTES + 1))
    assert len(sink.calls) == 1
    with pytest.raises(SealError, match="broken"):
        writer.close()


def test_flush_chunks_passes_nothing_that_was_not_passed_already(sink: Sink, writer: AgeWriter) -> None:
    writer.write(bytes(CHUNK_BYTES + 5))
    before = list(sink.calls)
    writer.flush_chunks()
    assert sink.calls == before


@pytest.mark.parametrize("size", [0, 1, 19, CHUNK_BYTES, 3 * CHUNK_BYTES + 1])
def test_no_clear_byte_reaches_the_sink(sink: Sink, writer: AgeWriter, size: int) -> None:
    clear = (MARK * (size // len(MARK) + 1))[:size]
    writer.write(clear)
    writer.close()
    assert not any(MARK[i : i + 8] in sink.sealed for i in range(len(MARK) - 8))
    header = read_header(io.BytesIO(sink.sealed)).length
    assert len(sink.sealed) - header == 16 + size + 16 * max(1, -(-size // CHUNK_BYTES))


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
@pytest.mark.parametrize("size", [10, CHUNK_BYTES + 10, 3 * CHUNK_BYTES])
def test_every_kind_of_buffer_is_sealed_the_same(
    sink: Sink, writer: AgeWriter, kind: type[bytes | bytearray | memoryview], size: int
) -> None:
    clear = bytes(i % 251 for i in range(size))
    assert writer.write(kind(clear)) == size
    writer.close()
    assert unseal(sink.sealed, IDENTITY) == clear


def test_a_view_of_wider_items_is_sealed_by_its_bytes(sink: Sink, writer: AgeWriter) -> None:
    assert writer.write(memoryview(b"01234567").cast("I")) == 8
    writer.close()
    assert unseal(sink.sealed, IDENTITY) == b"01234567"


def test_the_callers_buffer_may_be_reused_at_once(sink: Sink, writer: AgeWriter) -> None:
    buffer = bytearray(b"first ")
    writer.write(buffer)
    buffer[:] = b"second"
    writer.write(buffer)
    writer.close()
    assert unseal(sink.sealed, IDENTITY) == b"first second"


@given(st.lists(st.sampled_from([0, 1, 1000, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 150_000]), max_size=8))
def test_any_split_of_writes_gives_the_same_clear_bytes(pieces: list[int]) -> None:
    clear = bytes(range(256)) * (sum(pieces) // 256 + 1)
    assert unseal(seal(clear, RECIPIENT, pieces=pieces), IDENTITY) == clear


@given(st.binary(max_size=300), st.lists(st.integers(0, 40), max_size=20))
def test_any_content_comes_back(clear: bytes, pieces: list[int]) -> None:
    assert unseal(seal(clear, RECIPIENT, pieces=pieces), IDENTITY) == clear


def test_a_closed_writer_refuses_everything(writer: AgeWriter) -> None:
    writer.close()
    for call in (writer.close, writer.flush_chunks, lambda: writer.write(b"x"), lambda: writer.write(bytes(200_000))):
        with pytest.raises(SealError, match="closed"):
            call()


def test_a_writer_whose_sink_failed_never_seals_again(sink: Sink, writer: AgeWriter) -> None:
    # Going on would seal other bytes under the nonce of the lost chunk, and give both away.
    writer.write(bytes(CHUNK_BYTES))
    sink.refuse = True
    with pytest.raises(OSError, match="no space left"):
        writer.write(b"x")
    before = list(sink.calls)
    for call in (writer.close, writer.flush_chunks, lambda: writer.write(b"x")):
        with pytest.raises(SealError, match="broken"):
            call()
    assert sink.calls == before


def test_no_recipient_no_byte(sink: Sink) -> None:
    with pytest.raises(SealError, match="no recipient"):
        AgeWriter(sink, [])
    assert not sink.calls


def test_classic_and_hybrid_recipients_are_never_mixed(sink: Sink) -> None:
    _, hybrid = generate_hybrid_identity()
    with pytest.raises(SealError, match="must not be mixed"):
        AgeWriter(sink, parse_recipients([RECIPIENT, hybrid]))
    assert not sink.calls


def test_a_recipient_of_low_order_is_refused(sink: Sink) -> None:
    with pytest.raises(SealError, match="low order"):
        AgeWriter(sink, [X25519Recipient(bytes(32))])
    assert not sink.calls


def test_a_hybrid_recipient_opens_its_file() -> None:
    identity, recipient = generate_hybrid_identity()
    assert unseal(seal(b"clear", recipient), identity) == b"clear"


def test_two_files_of_the_same_bytes_share_nothing() -> None:
    first, second = seal(bytes(1000), RECIPIENT), seal(bytes(1000), RECIPIENT)
    start = read_header(io.BytesIO(first)).length
    assert not {first[i : i + 16] for i in range(start, len(first) - 16)} & {
        second[i : i + 16] for i in range(start, len(second) - 16)
    }


def test_a_legal_hold_gives_one_file_to_a_case_and_keeps_its_payload() -> None:
    case_identity, case_recipient = generate_identity()
    sealed = seal(b"clear", RECIPIENT)
    reader = open_age(io.BytesIO(sealed), [parse_identity(IDENTITY)], expose_file_key=True)
    held = wrap_file_key(reader.file_key, [parse_recipient(case_recipient)]) + sealed[reader.header.length :]
    assert unseal(held, case_identity) == b"clear"
    with pytest.raises(SealError):
        unseal(held, IDENTITY)
