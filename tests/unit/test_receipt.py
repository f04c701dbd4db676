"""Receipts: one text per receipt, nothing else is read as one."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.contract.errors import ContractError
from agent.contract.receipt import Receipt, parse_receipt
from agent.contract.signed_note import NoteSigner, NoteVerifier

SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
SEGMENT = "gangseo-0142.front.20260105T031500Z.0000000042"
RECEIPT = Receipt(pole="gangseo-0142", segment=SEGMENT, sha256=SHA256, bytes=5_000_123, stored_at_us=1767582910_000000)
TEXT = (
    "pole-agent/receipt/v1\n"
    "gangseo-0142\n"
    f"{SEGMENT}\n"
    f"sha256:{SHA256}\n"
    "5000123\n"
    "1767582910000000\n"
)  # fmt: skip

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,80}", fullmatch=True)


def test_the_text_is_the_one_that_the_contract_shows() -> None:
    assert RECEIPT.text() == TEXT
    assert parse_receipt(TEXT) == RECEIPT


def test_a_receipt_travels_as_a_signed_note() -> None:
    signer = NoteSigner.generate("receipts.center.example")
    note = signer.sign(RECEIPT.text())
    assert parse_receipt(NoteVerifier(signer.verifier_key).open(note)) == RECEIPT


@given(NAMES, NAMES, st.binary(min_size=32, max_size=32), st.integers(0, 10**18 - 1), st.integers(0, 10**18 - 1))
def test_every_receipt_is_read_back_as_itself(pole: str, segment: str, digest: bytes, size: int, at_us: int) -> None:
    receipt = Receipt(pole, segment, digest.hex(), size, at_us)
    assert parse_receipt(receipt.text()) == receipt


@given(st.integers(0, len(TEXT) - 1), st.characters(codec="utf-8"))
def test_what_reads_as_a_receipt_is_its_very_text(at: int, character: str) -> None:
    changed = TEXT[:at] + character + TEXT[at + 1 :]
    try:
        receipt = parse_receipt(changed)
    except ContractError:
        return
    assert receipt.text() == changed


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        TEXT[:-1],
        TEXT + "\n",
        TEXT + "more\n",
        "\n" + TEXT,
        TEXT.replace("\n", "\r\n"),
        TEXT.replace("/v1", "/v2"),
        TEXT.replace("sha256:", "sha512:"),
        TEXT.replace("sha256:", ""),
        TEXT.replace(SHA256, SHA256.upper()),
        TEXT.replace(SHA256, SHA256[:-1]),
        TEXT.replace("5000123", "05000123"),
        TEXT.replace("5000123", "-5000123"),
        TEXT.replace("5000123", "+5000123"),
        TEXT.replace("5000123", "5_000_123"),
        TEXT.replace("5000123", "٣"),
        TEXT.replace("5000123", "5e6"),
        TEXT.replace("5000123", "9" * 19),
        TEXT.replace("gangseo-0142\n", "\n", 1),
        TEXT.replace("gangseo-0142\n", "../etc\n", 1),
        TEXT.replace("gangseo-0142\n", "a pole\n", 1),
    ],
)
def test_a_malformed_receipt_is_refused(text: str) -> None:
    with pytest.raises(ContractError):
        parse_receipt(text)


def test_a_receipt_that_could_not_be_read_back_cannot_be_made() -> None:
    for change in (
        {"pole": "two\nlines"},
        {"segment": ""},
        {"sha256": "00"},
        {"bytes": -1},
        {"stored_at_us": 10**19},
    ):
        with pytest.raises(ContractError, match=f"malformed {next(iter(change))}"):
            Receipt(**{**vars(RECEIPT), **change})


def test_the_example_of_the_page_is_a_receipt() -> None:
    page = (Path(__file__).parent.parent.parent / "docs" / "contract" / "receipt.md").read_text(encoding="utf-8")
    (key,) = re.findall(r"^    (receipts\.center\.example\+\S+)$", page, re.MULTILINE)
    (note,) = re.findall(r"^```\n(pole-agent/receipt/v1\n.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert parse_receipt(NoteVerifier(key).open(note)) == RECEIPT
