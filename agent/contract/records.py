"""Records: what the pole states about its own footage, one canonical JSON object each (R-INTEGRITY).

Rules:
* a record is RFC 8785 JSON; its id is the SHA-256 of those bytes;
* times are UTC microseconds, spans are half open [start_us, end_us);
* per camera, segment + torn + gap cover boot..now without a hole (`agent.recording.coverage` keeps it so);
* an unknown field is kept, an unknown `kind` is stored and shown, never dropped.
"""

from typing import Literal

import msgspec

from agent.contract.canonical_json import canonical_bytes
from agent.contract.errors import ContractError
from agent.contract.messages import ClockState

GapCause = Literal[
    "power",
    "source",
    "encoder",
    "storage-full",
    "storage-error",
    "no-key",
    "maintenance",
    "restart",
    "sound",
    "unknown",
]


class Record(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """Base: the pole that states it, when it was written, and how good the clock was."""

    v: int = 1
    pole: str
    written_at_us: int
    clock: ClockState


class Footage(Record, frozen=True, kw_only=True):
    """What whole and torn segments have in common. `sha256` and `bytes` are of the sealed file, as any tool sees it."""

    camera: str
    segment: str
    management_number: str
    purpose: str
    start_us: int
    end_us: int
    frames: int
    bytes: int
    sha256: str
    recipient: str
    codec: str
    width: int
    height: int
    source_has_sound: bool


class SegmentRecord(Footage, frozen=True, kw_only=True, tag="segment"):
    """A sealed segment; `end_us` is where the next one begins."""


class TornRecord(Footage, frozen=True, kw_only=True, tag="torn"):
    """A segment cut off by a crash: its prefix opens; `end_us` is the last instant known to be on disk."""


class GapRecord(Record, frozen=True, kw_only=True, tag="gap"):
    """Time in which a camera recorded nothing, and honestly why."""

    camera: str
    start_us: int
    end_us: int
    cause: GapCause
    detail: str = ""


class BootRecord(Record, frozen=True, kw_only=True, tag="boot"):
    """A service of the pole started; `clean` says whether its last run ended in order."""

    service: str
    boot_id: str
    clean: bool


class DeletionRecord(Record, frozen=True, kw_only=True, tag="deletion"):
    """A sealed file was removed from the pole, and on which ground."""

    segment: str
    sha256: str
    ground: Literal["receipt", "expired", "storage-full"]
    receipt_sha256: str = ""


AnyRecord = SegmentRecord | TornRecord | GapRecord | BootRecord | DeletionRecord
VideoRecord = SegmentRecord | TornRecord


def encode_record(record: AnyRecord) -> bytes:
    """Return the canonical bytes of a record (RFC 8785)."""
    return canonical_bytes(record)


def decode_record(data: bytes | str) -> AnyRecord:
    """Read one record.

    Raises:
        ContractError: not JSON, or not one of our kinds.
    """
    try:
        record: AnyRecord = msgspec.json.decode(data, type=AnyRecord)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise ContractError(f"record is not readable: {exc}") from exc
    return record
