"""What we seal opens in the age tool and in pyrage, and the other way round, byte for byte."""

import random
from pathlib import Path

import pytest
from support.age_tools import age_seal, age_unseal, needs_age, pyrage_seal, pyrage_unseal, seal, unseal

from agent.contract.age_format import CHUNK_BYTES, generate_identity

EDGES = [0, 1, 2, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1]
EDGES += [2 * CHUNK_BYTES - 1, 2 * CHUNK_BYTES, 2 * CHUNK_BYTES + 1, 5 * CHUNK_BYTES, 1_000_000]


def odd_sizes() -> list[int]:
    """Return 50 sizes: every edge of the format, then random ones, always the same."""
    chance = random.Random(20250105)
    return EDGES + [chance.randrange(400_000) for _ in range(50 - len(EDGES))]


def random_pieces(chance: random.Random, size: int) -> list[int]:
    pieces = []
    while sum(pieces) < size:
        pieces.append(chance.choice([0, 1, chance.randrange(20_000), chance.randrange(200_000)]))
    return pieces


@needs_age
def test_fifty_files_of_odd_sizes_open_in_the_age_tool_and_in_pyrage(tmp_path: Path) -> None:
    identity, recipient = generate_identity()
    unseal_with_age = age_unseal(tmp_path)
    for size in odd_sizes():
        chance = random.Random(size)
        clear = chance.randbytes(size)
        sealed = seal(clear, recipient, pieces=random_pieces(chance, size))
        assert unseal_with_age(sealed, identity) == clear, size
        assert pyrage_unseal(sealed, identity) == clear, size


@needs_age
def test_fifty_files_of_the_age_tool_and_pyrage_open_in_our_reader() -> None:
    identity, recipient = generate_identity()
    for size in odd_sizes():
        clear = random.Random(size).randbytes(size)
        assert unseal(age_seal(clear, recipient), identity) == clear, size
        assert unseal(pyrage_seal(clear, recipient), identity) == clear, size


@pytest.mark.parametrize("size", EDGES)
def test_our_file_is_as_long_as_another_tools(size: int) -> None:
    # Unlike pyrage we add no random (GREASE) stanza, so only the payload is compared.
    _, recipient = generate_identity()
    clear = bytes(size)
    ours, theirs = seal(clear, recipient), pyrage_seal(clear, recipient)
    assert len(ours) - ours.index(b"\n--- ") == len(theirs) - theirs.index(b"\n--- ")


def test_any_of_several_recipients_opens_a_file() -> None:
    pairs = [generate_identity() for _ in range(3)]
    sealed = seal(b"clear", *(recipient for _, recipient in pairs))
    assert [pyrage_unseal(sealed, identity) for identity, _ in pairs] == [b"clear"] * 3
    assert [unseal(sealed, identity) for identity, _ in pairs] == [b"clear"] * 3
