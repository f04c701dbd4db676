"""What a pole may announce (center.ingest.announcement)."""

import json
from dataclasses import replace

import msgspec
import pytest

from agent.contract.messages import ClockState
from agent.contract.records import DeletionRecord, SegmentRecord, encode_record
from center.ingest.announcement import MAX_BYTES, judge
from center.ingest.problem import Refusal
from center.ingest.tus_headers import Announcement

SEGMENT = "pole-1.front.20260921T141320Z.0000000000"
CLOCK = ClockState(synced=True, source="ntp", error_us=10)
RECORD = SegmentRecord(
    pole="pole-1",
    written_at_us=1,
    clock=CLOCK,
    camera="front",
    segment=SEGMENT,
    management_number="A-1",
    purpose="crime-prevention",
    start_us=1,
    end_us=2,
    frames=1,
    bytes=1234,
    sha256="a" * 64,
    recipient="0123456789abcdef",
    codec="h264",
    width=640,
    height=480,
    source_has_sound=False,
)


def said(record: SegmentRecord = RECORD, **changes: object) -> Announcement:
    return replace(Announcement(SEGMENT, "a" * 64, encode_record(record), 1234), **changes)


def code(announcement: Announcement, pole: str = "pole-1", known: bool = True) -> str:
    with pytest.raises(Refusal) as caught:
        judge(pole, announcement, lambda _: known)
    return caught.value.code


def raw(**changes: object) -> bytes:
    """A record as a mad pole might write it: canonical JSON is not asked for."""
    return json.dumps({**json.loads(encode_record(RECORD)), **changes}, sort_keys=True, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    "record",
    [
        raw(end_us=2**70),
        raw(start_us=-(2**64)),
        raw(end_us=0),
        raw(start_us=-5),
        raw(written_at_us=2**63),
        raw(extra=1.5),
        raw() + b" ",
        b'{"x":' * 2000 + b"1" + b"}" * 2000,
    ],
)
def test_a_record_that_the_store_could_not_take_is_refused_before_a_byte_is_sent(record: bytes):
    assert code(replace(said(), record=record)) == "record-invalid"


def test_a_field_of_a_later_version_is_kept():
    upload = judge("pole-1", replace(said(), record=raw(extra="new")), lambda _: True)
    assert '"extra":"new"' in upload.record


def test_a_poles_own_segment_is_accepted():
    upload = judge("pole-1", said(), lambda recipient: recipient == RECORD.recipient)
    assert (upload.segment, upload.bytes, upload.length) == (SEGMENT, 1234, 1234)
    assert upload.id == f"{SEGMENT}~{'a' * 16}"


def test_a_deferred_length_takes_the_records_bytes():
    upload = judge("pole-1", said(length=None), lambda _: True)
    assert (upload.bytes, upload.length) == (1234, None)


def test_another_poles_segment_is_refused():
    assert code(said(), pole="pole-2") == "not-your-pole"


@pytest.mark.parametrize("field", ["pole", "camera", "segment", "sha256"])
def test_a_record_that_says_something_else_is_refused(field: str):
    other = {"pole": "pole-2", "camera": "back", "segment": SEGMENT[:-1] + "1", "sha256": "b" * 64}[field]
    assert code(said(msgspec.structs.replace(RECORD, **{field: other}))) == "record-invalid"


def test_a_length_that_is_not_the_records_is_refused():
    assert code(said(length=1233)) == "record-invalid"


def test_a_record_of_another_kind_is_refused():
    deletion = DeletionRecord(pole="pole-1", written_at_us=1, clock=CLOCK, segment=SEGMENT, sha256="", ground="receipt")
    assert code(said(record=encode_record(deletion))) == "record-invalid"


@pytest.mark.parametrize("record", [b"", b"{}", b"\xff", b"[1]"])
def test_a_record_that_is_none_is_refused(record: bytes):
    assert code(replace(said(), record=record)) == "record-invalid"


def test_an_unknown_recipient_is_refused_before_a_byte_is_sent():
    assert code(said(), known=False) == "unknown-recipient"


@pytest.mark.parametrize("size", [0, MAX_BYTES + 1])
def test_a_size_out_of_bounds_is_refused(size: int):
    record = msgspec.structs.replace(RECORD, bytes=size)
    assert code(said(record, length=size)) == "too-large"


@pytest.mark.parametrize(
    "name",
    ["", "../../etc/passwd", "pole-1.front", "pole-1..20260921T141320Z.0000000000", SEGMENT + "/x", SEGMENT + "\n"],
)
def test_a_name_that_could_become_another_path_is_refused(name: str):
    assert code(said(segment=name)) == "bad-request"
