"""Takes a pole's records in its own order; one that cannot be read keeps its place and never stops the rest.

Rules:
* what is readable, canonical (RFC 8785) and of this pole is stored as it came, an unknown kind too;
* anything else is quarantined as it came, and a stand-in of kind `unreadable` with its SHA-256 takes its index:
  the pole goes on, the hole is visible, and sending it again changes nothing;
* a rewritten history (other bytes at a known index) is refused whole and is a security event;
* a new log of a pole that has one already is taken and is a security event: either its disk was changed, or somebody
  hides what was on the old one. A person must look, the records of both stay;
* an unknown field of the body is ignored.
"""

import hashlib
import json
import re
from collections.abc import Callable, Sequence

import msgspec

from agent.contract.canonical_json import canonical_bytes
from center.errors import ConflictError
from center.ingest.problem import Refusal
from center.store import Store

BATCH = 1024
SOURCE = "POST /records"
_LOG = re.compile(r"[0-9a-f]{32}|")


class RecordBatch(msgspec.Struct, frozen=True):
    """The body of `POST /records`: canonical records as strings, the first at index `first` of the log `log`."""

    first: int
    records: list[str]
    log: str = ""


def parse_batch(body: bytes) -> RecordBatch:
    """Read the body.

    Raises:
        Refusal: not of this shape, a negative index, or too many records.
    """
    try:
        batch = msgspec.json.decode(body, type=RecordBatch)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise Refusal("bad-request", f"the body is not a batch of records: {exc}"[:300]) from exc
    if batch.first < 0 or batch.first > 2**53:
        raise Refusal("bad-request", "first must be an index from 0 on")
    if _LOG.fullmatch(batch.log) is None:
        raise Refusal("bad-request", "log must be 32 lower-case hexadecimal digits, or absent")
    if len(batch.records) > BATCH:
        raise Refusal("too-large", f"a batch may hold {BATCH} records")
    return batch


def why_unreadable(raw: bytes, pole: str) -> str:
    """Return why a record cannot be taken as it is, "" when it can."""
    try:
        fields = json.loads(raw)
        canonical = canonical_bytes(fields)
    except (ValueError, RecursionError) as exc:
        return f"not readable: {exc}"[:300]
    if not isinstance(fields, dict):
        return "not a JSON object"
    if canonical != raw:
        return "not in the canonical form of RFC 8785"
    if fields.get("pole") != pole:
        return f"names pole {fields.get('pole')!r}, it was sent by {pole}"[:300]
    return ""


def stand_in(raw: bytes, pole: str) -> bytes:
    """Return the record that takes the place of one that cannot be read."""
    return canonical_bytes({"kind": "unreadable", "pole": pole, "sha256": hashlib.sha256(raw).hexdigest(), "v": 1})


def take_records(store: Store, pole: str, batch: RecordBatch, now_us: Callable[[], int]) -> int:
    """Store a batch in one commit and return the next index that the center wants.

    Raises:
        Refusal: the batch contradicts what is stored.
        StoreError: nothing could be written.
    """
    taken, damaged = sort_out(pole, [record.encode(errors="surrogatepass") for record in batch.records])
    try:
        with store.database.transaction():
            if store.records.begin_log(pole, batch.log, now_us()):
                told = {"pole": pole, "what": "record-log-new", "log": batch.log}
                store.events.append("security", told, now_us())
            expected = store.records.next_record(pole, batch.log)
            following = store.records.add_records(pole, batch.first, taken, batch.log)
            for offset, raw, reason in damaged:
                if expected <= batch.first + offset < following:
                    store.quarantine.add(pole, SOURCE, f"record {batch.first + offset}: {reason}", raw)
    except ConflictError as exc:
        store.events.append("security", {"pole": pole, "what": "record-conflict", "detail": str(exc)}, now_us())
        raise Refusal("record-conflict", str(exc)) from exc
    return following


def sort_out(pole: str, raws: Sequence[bytes]) -> tuple[list[bytes], list[tuple[int, bytes, str]]]:
    """Return what is stored in order, and what goes to quarantine as (offset in the batch, bytes, reason)."""
    taken: list[bytes] = []
    damaged: list[tuple[int, bytes, str]] = []
    for offset, raw in enumerate(raws):
        reason = why_unreadable(raw, pole)
        if reason:
            damaged.append((offset, raw, reason))
        taken.append(stand_in(raw, pole) if reason else raw)
    return taken, damaged
