"""docs/contract/sealed-file.md says what the code does."""

import base64
import hashlib
import io
import re
from pathlib import Path

import pytest
from support.age_tools import pyrage_unseal, seal

from agent.contract.age_format import (
    open_age,
    parse_identity,
    read_header,
    recipient_id,
)
from agent.contract.age_format.hkdf import hkdf_sha256
from agent.contract.errors import SealError

PAGE = (Path(__file__).parent.parent.parent / "docs" / "contract" / "sealed-file.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| ([^|]+) \| (\w+) \| ([0-9a-f]{64}) \| `([A-Za-z0-9+/=]+)` \|$", re.MULTILINE)
ROWS = {case: (ends_with, digest, base64.b64decode(file)) for case, ends_with, digest, file in ROW.findall(PAGE)}


def shown(pattern: str) -> str:
    """Return the one text of the page that fits."""
    found = set(re.findall(pattern, PAGE))
    assert len(found) == 1, found
    return str(found.pop())


IDENTITY = shown(r"`(AGE-SECRET-KEY-1[0-9A-Z]{58})`")
RECIPIENT = shown(r"`(age1[0-9a-z]{58})`")


def test_the_table_is_read_whole() -> None:
    assert len(ROWS) == 6


@pytest.mark.parametrize("case", ROWS)
def test_each_vector_ends_as_the_page_says(case: str) -> None:
    ends_with, digest, file = ROWS[case]
    outcome, clear = "success", b""
    try:
        for chunk in open_age(io.BytesIO(file), [parse_identity(IDENTITY)]).read_chunks():
            clear += chunk
    except SealError as error:
        outcome = type(error).__name__
    assert (outcome, hashlib.sha256(clear).hexdigest()) == (ends_with, digest)


@pytest.mark.parametrize("case", [case for case, (ends_with, _, _) in ROWS.items() if ends_with == "success"])
def test_another_tool_opens_the_good_vectors(case: str) -> None:
    _, digest, file = ROWS[case]
    assert hashlib.sha256(pyrage_unseal(file, IDENTITY)).hexdigest() == digest


def test_the_inside_of_the_short_vector_is_as_shown() -> None:
    file = ROWS["short"][2]
    reader = open_age(io.BytesIO(file), [parse_identity(IDENTITY)], expose_file_key=True)
    nonce = file[reader.header.length :][:16]
    assert reader.file_key.hex() == shown(r"file key `([0-9a-f]{32})`")
    assert nonce.hex() == shown(r"nonce\s+`([0-9a-f]{32})`")
    assert hkdf_sha256(reader.file_key, salt=nonce, info=b"payload").hex() == shown(r"payload key `([0-9a-f]{64})`")


def test_the_recipient_and_its_id_are_the_identitys() -> None:
    assert recipient_id(RECIPIENT) == shown(r"whose id .*\s.*is `([0-9a-f]{16})`")
    assert read_header(io.BytesIO(seal(b"", RECIPIENT))).length == 168
    assert open_age(io.BytesIO(seal(b"x", RECIPIENT)), [parse_identity(IDENTITY)]).read() == b"x"


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 131_072, 200_000])
def test_a_file_is_as_long_as_the_page_computes(size: int) -> None:
    assert "184 + n + 16 * max(1, ceil(n / 65536))" in PAGE
    assert len(seal(bytes(size), RECIPIENT)) == 184 + size + 16 * max(1, -(-size // 65536))
