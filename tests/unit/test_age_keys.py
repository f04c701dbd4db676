"""Texts of keys: what is accepted is exactly what age tools write."""

import hashlib

import pyrage
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.contract.age_format import (
    KeyTextError,
    bech32,
    generate_hybrid_identity,
    generate_identity,
    parse_identity,
    parse_identity_file,
    parse_recipient,
    recipient_id,
)
from agent.contract.age_format.recipients import HybridIdentity, X25519Identity

# The pair of the public age test vectors.
IDENTITY = "AGE-SECRET-KEY-1EGTZVFFV20835NWYV6270LXYVK2VKNX2MMDKWYKLMGR48UAWX40Q2P2LM0"
RECIPIENT = str(pyrage.x25519.Identity.from_str(IDENTITY).to_public())
# BIP 173, "Test vectors": valid strings that keep to our letters.
BIP_173_VALID = [
    "A12UEL5L",
    "a12uel5l",
    "an83characterlonghumanreadablepartthatcontainsthenumber1andtheexcludedcharactersbio1tt5tgs",
    "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw",
    "split1checkupstagehandshakeupstreamerranterredcaperred2y9e3w",
    "?1ezyfcl",
]
BIP_173_INVALID = [
    "\x201nwldj5",
    "\x7f1axkwrx",
    "\u00801eym55h",
    "pzry9x0s0muk",
    "1pzry9x0s0muk",
    "x1b4n0q5v",
    "li1dgmt3",
    "de1lg7wt\u00ff",
    "A1G7SGD8",
    "10a06t8",
    "1qzzfhee",
    "a12UEL5L",
    "",
]


@pytest.mark.parametrize("text", BIP_173_VALID)
def test_a_valid_bech32_string_is_accepted(text: str) -> None:
    human, data = bech32.decode(text)
    assert bech32.encode(human.lower(), data) == text.lower()


@pytest.mark.parametrize("text", BIP_173_INVALID)
def test_an_invalid_bech32_string_is_refused(text: str) -> None:
    with pytest.raises(KeyTextError):
        bech32.decode(text)


@given(st.binary(max_size=100))
def test_bech32_gives_any_bytes_back(data: bytes) -> None:
    assert bech32.decode(bech32.encode("age", data)) == ("age", data)


def test_dirty_padding_is_refused() -> None:
    # "0000" + one set padding bit, and a whole group too much: both with a right checksum.
    for values in ([0, 1], [0] * 3):
        checksum = bech32._polymod(bech32._expand("age") + values + [0] * 6) ^ 1
        letters = values + [(checksum >> 5 * (5 - i)) & 31 for i in range(6)]
        with pytest.raises(KeyTextError, match="dirty padding"):
            bech32.decode("age1" + "".join("qpzry9x8gf2tvdw0s3jn54khce6mua7l"[letter] for letter in letters))


@given(st.integers(0, len(RECIPIENT) - 1), st.sampled_from("qpzry9x8gf2tvdw0s3jn54khce6mua7l1bio "))
def test_any_mistyped_letter_of_a_recipient_is_noticed(at: int, letter: str) -> None:
    typed = RECIPIENT[:at] + letter + RECIPIENT[at + 1 :]
    if typed != RECIPIENT:
        with pytest.raises(KeyTextError):
            parse_recipient(typed)


def test_a_recipient_keeps_its_text() -> None:
    assert parse_recipient(RECIPIENT).text == RECIPIENT


def test_our_public_half_is_the_one_that_pyrage_computes() -> None:
    for _ in range(20):
        identity, recipient = generate_identity()
        assert str(pyrage.x25519.Identity.from_str(identity).to_public()) == recipient


def test_an_identity_of_each_kind_knows_its_public_half() -> None:
    for pair, kind in ((generate_identity(), X25519Identity), (generate_hybrid_identity(), HybridIdentity)):
        identity = parse_identity(pair[0])
        assert isinstance(identity, kind)
        assert identity.recipient().text == pair[1]
        assert parse_recipient(pair[1]).text == pair[1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not bech32"),
        ("ssh-ed25519 AAAA", "mixes upper and lower"),
        (RECIPIENT[:-1], "checksum"),
        (RECIPIENT + " ", "does not have"),
        (RECIPIENT.upper(), "unknown"),
        (bech32.encode("age", bytes(31)), "31 bytes"),
        (bech32.encode("agf", bytes(32)), "'agf'"),
        (bech32.encode("age1pq", bytes(32)), "'age1pq' with 32 bytes"),
        (bech32.encode("age1pq", b"\xff" * 1216), "ML-KEM-768"),
        (IDENTITY, "secret key"),
    ],
)
def test_a_wrong_recipient_is_refused_by_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(KeyTextError, match=message):
        parse_recipient(text)


@pytest.mark.parametrize("text", ["", IDENTITY.lower(), IDENTITY[:-1], RECIPIENT, bech32.encode("age-x", b"").upper()])
def test_a_wrong_identity_is_refused(text: str) -> None:
    with pytest.raises(KeyTextError):
        parse_identity(text)


def test_no_error_shows_a_secret() -> None:
    for text in (IDENTITY[:-1] + "Q", IDENTITY[:-2], IDENTITY.capitalize()):
        for parse in (parse_identity, parse_recipient, parse_identity_file):
            with pytest.raises(KeyTextError) as caught:
                parse(text)
            assert "EGTZVFFV" not in str(caught.value).upper()


def test_a_key_file_of_age_keygen_is_read() -> None:
    text = f"# created: 2026-01-05T12:00:00+09:00\n# public key: {RECIPIENT}\n{IDENTITY}\n\n{generate_identity()[0]}\n"
    first, _ = parse_identity_file(text)
    assert isinstance(first, X25519Identity)
    assert first.recipient().text == RECIPIENT


def test_a_key_file_without_key_or_with_a_bad_line_is_refused() -> None:
    with pytest.raises(KeyTextError, match="no identity"):
        parse_identity_file("# nothing\n")
    with pytest.raises(KeyTextError, match="line 2"):
        parse_identity_file(f"{IDENTITY}\nnonsense\n")


def test_the_short_name_of_a_recipient_is_of_its_text() -> None:
    assert recipient_id(RECIPIENT) == hashlib.sha256(RECIPIENT.encode()).hexdigest()[:16]
    with pytest.raises(KeyTextError):
        recipient_id("not a recipient")
