"""The headers of tus 1.0.0, read strictly (center.ingest.tus_headers)."""

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from center.ingest.problem import Refusal
from center.ingest.tus_headers import (
    METADATA_BYTES,
    parse_announcement,
    parse_checksum,
    parse_length,
    parse_metadata,
    parse_number,
)


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


GOOD = f"segment {b64(b'p.c.20260921T141320Z.0000000000')},sha256 {b64(b'a' * 64)},record {b64(b'{}')}"


def code(call, *words) -> str:
    with pytest.raises(Refusal) as caught:
        call(*words)
    return caught.value.code


def test_an_announcement_is_read_whole():
    said = parse_announcement(GOOD, "10", None)
    assert (said.segment, said.sha256) == ("p.c.20260921T141320Z.0000000000", "a" * 64)
    assert (said.record, said.length) == (b"{}", 10)


def test_a_deferred_length_is_none():
    assert parse_announcement(GOOD, None, "1").length is None


@pytest.mark.parametrize(("length", "defer"), [(None, None), ("1", "1"), (None, "0"), (None, "2"), (None, "")])
def test_exactly_one_way_to_say_the_length_is_accepted(length, defer):
    assert code(parse_length, length, defer) == "bad-request"


@pytest.mark.parametrize("text", [None, "", "-1", "+1", " 1", "1.0", "0x1", "١", "1" * 19, "1e3"])
def test_only_a_plain_decimal_number_is_a_number(text):
    assert code(parse_number, "Upload-Offset", text) == "bad-request"


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "segment",
        "segment ****",
        "segment  YQ==",
        "segment YQ==,segment YQ==",
        " ,",
        "segment YQ",
        "segm\x7fent YQ==",
    ],
)
def test_metadata_that_is_not_exactly_right_is_refused(text):
    said = code(parse_announcement, text, "1", None)
    assert said == "bad-request"


def test_metadata_that_is_too_long_is_refused():
    assert code(parse_metadata, "filename " + "A" * METADATA_BYTES) == "too-large"


def test_other_keys_may_stand_beside_ours():
    assert parse_announcement(f"filename {b64(b'x.mp4')},{GOOD},empty", "1", None).length == 1


@pytest.mark.parametrize("sha256", [b"A" * 64, b"a" * 63, b"g" * 64, b"\xff" * 64])
def test_a_digest_is_64_lower_case_hexadecimal_digits(sha256):
    text = f"segment {b64(b's')},sha256 {b64(sha256)},record {b64(b'{}')}"
    assert code(parse_announcement, text, "1", None) == "bad-request"


@pytest.mark.parametrize("name", ["sha1", "sha256"])
def test_a_checksum_is_read(name):
    digest = hashlib.new(name, b"chunk").digest()
    checksum = parse_checksum(f"{name} {b64(digest)}")
    assert checksum is not None and checksum.digest == digest
    running = checksum.new()
    running.update(b"chunk")
    assert running.digest() == digest


@pytest.mark.parametrize("text", ["", "md5 YQ==", "sha256", "sha256 ****", "sha1 YQ==", f"sha256 {b64(b'a' * 20)}"])
def test_a_checksum_that_we_did_not_announce_is_refused(text):
    assert code(parse_checksum, text) == "bad-request"


def test_no_checksum_is_none():
    assert parse_checksum(None) is None


@given(st.text(max_size=200))
def test_no_metadata_whatever_makes_anything_but_an_answer_or_a_refusal(text):
    try:
        parse_announcement(text, "1", None)
    except Refusal as refusal:
        assert refusal.code in ("bad-request", "too-large")
