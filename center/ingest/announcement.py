"""What a pole may announce: its own segment, with a record that says the same, sealed to a key that we hold.

Pure. Everything is judged before the first byte arrives, so that nothing is uploaded in vain.
"""

import json
from collections.abc import Callable

from agent.contract.canonical_json import canonical_bytes
from agent.contract.records import SegmentRecord, TornRecord, VideoRecord, decode_record
from center.ingest.partial import SEGMENT, PartialUpload
from center.ingest.problem import Refusal
from center.ingest.tus_headers import Announcement

MAX_BYTES = 1 << 30


def judge(pole: str, said: Announcement, known_recipient: Callable[[str], bool]) -> PartialUpload:
    """Return what may be uploaded.

    Raises:
        Refusal: not this pole's, contradictory, too large, or sealed to a key that nobody here holds.
    """
    name = SEGMENT.fullmatch(said.segment)
    if name is None:
        raise Refusal("bad-request", "the segment's name is not pole.camera.YYYYMMDDTHHMMSSZ.counter")
    if name["pole"] != pole:
        raise Refusal("not-your-pole", f"the segment names pole {name['pole']}, the certificate says {pole}")
    record = read_video_record(said.record)
    stated = {"pole": record.pole, "camera": record.camera, "segment": record.segment, "sha256": record.sha256}
    expected = {"pole": pole, "camera": name["camera"], "segment": said.segment, "sha256": said.sha256}
    wrong = [key for key in expected if stated[key] != expected[key]]
    if said.length is not None and said.length != record.bytes:
        wrong.append("bytes")
    if wrong:
        raise Refusal("record-invalid", f"record and announcement differ in {', '.join(wrong)}")
    if not 0 < record.bytes <= MAX_BYTES:
        raise Refusal("too-large", f"a segment may have 1 to {MAX_BYTES} bytes")
    if not known_recipient(record.recipient):
        raise Refusal(
            "unknown-recipient", f"no key for recipient {record.recipient[:64]}; compare the pole's recipients"
        )
    return PartialUpload(
        pole=pole,
        segment=said.segment,
        sha256=said.sha256,
        bytes=record.bytes,
        length=said.length,
        record=said.record.decode(),
    )


def read_video_record(raw: bytes) -> VideoRecord:
    """Return the record of a whole or torn segment.

    Canonical also means that every number fits the database: one that does not would fail only at the last step, with
    the bytes moved already, and again at every start of ingest.

    Raises:
        Refusal: not readable, not canonical, or of another kind.
    """
    try:
        record = decode_record(raw)
        canonical = canonical_bytes(json.loads(raw))
    except (ValueError, RecursionError) as exc:
        raise Refusal("record-invalid", str(exc)[:300]) from exc
    if not isinstance(record, SegmentRecord | TornRecord):
        raise Refusal("record-invalid", "the record must be of kind segment or torn")
    if canonical != raw:
        raise Refusal("record-invalid", "the record is not in the canonical form of RFC 8785")
    if not 0 <= record.start_us <= record.end_us:
        raise Refusal("record-invalid", "the record ends before it begins")
    return record
