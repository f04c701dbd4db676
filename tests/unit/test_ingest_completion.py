"""What a restart finishes, and what may not keep it from starting (center.ingest.completion)."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from support.center_store import open_store

from agent.contract.messages import ClockState
from agent.contract.records import SegmentRecord, encode_record
from agent.contract.signed_note import NoteSigner
from center.ingest.completion import Completion, object_path
from center.ingest.partial import PartialStore, PartialUpload
from center.store import Store

SEALED = b"age-encryption.org/v1\n" + b"x" * 100
RECORD = SegmentRecord(
    pole="pole-1",
    written_at_us=1,
    clock=ClockState(synced=True, source="ntp", error_us=10),
    camera="front",
    segment="pole-1.front.20260921T141320Z.0000000000",
    management_number="A-1",
    purpose="crime-prevention",
    start_us=1,
    end_us=2,
    frames=1,
    bytes=len(SEALED),
    sha256=hashlib.sha256(SEALED).hexdigest(),
    recipient="0123456789abcdef",
    codec="h264",
    width=640,
    height=480,
    source_has_sound=False,
)
UPLOAD = PartialUpload(
    pole="pole-1",
    segment=RECORD.segment,
    sha256=RECORD.sha256,
    bytes=RECORD.bytes,
    length=RECORD.bytes,
    record=encode_record(RECORD).decode(),
)
OTHER = msgspec.structs.replace(UPLOAD, segment="pole-1.back.20260921T141320Z.0000000000", sha256="b" * 64)


class Ingest:
    """The parts of ingest that finish uploads."""

    def __init__(self, directory: Path) -> None:
        self.objects = directory / "objects"
        self.objects.mkdir()
        self.store = open_store(directory)
        self.partials = PartialStore(directory / "partial")
        signer = NoteSigner.generate("center.test")
        self.completion = Completion(self.store, self.partials, self.objects, signer, lambda: 7)

    def arrive(self, upload: PartialUpload) -> None:
        self.partials.create(upload)
        with self.partials.writer(upload, 0) as writer:
            writer.write(SEALED)


@pytest.fixture
def ingest(tmp_path: Path) -> Iterator[Ingest]:
    ingest = Ingest(tmp_path)
    yield ingest
    ingest.store.close()


def stored(store: Store) -> int:
    return store.objects.totals()[0]


def test_an_upload_whose_bytes_are_all_here_is_finished_by_a_restart(ingest: Ingest):
    ingest.arrive(UPLOAD)
    assert ingest.completion.recover() == 1 and stored(ingest.store) == 1
    assert (ingest.objects / object_path(UPLOAD)).read_bytes() == SEALED


def test_an_upload_that_cannot_be_read_does_not_keep_ingest_from_starting(ingest: Ingest):
    ingest.arrive(UPLOAD)
    ingest.partials.create(OTHER)
    bad = ingest.partials.part_path(OTHER)
    bad.unlink()
    bad.mkdir()  # opening it fails, as a bad sector does
    ingest.partials.set_length(OTHER, bad.stat().st_size)
    assert ingest.completion.recover() == 1 and stored(ingest.store) == 1


def test_a_number_that_the_database_cannot_hold_does_not_keep_ingest_from_starting(ingest: Ingest):
    huge = UPLOAD.record.replace('"end_us":2', f'"end_us":{2**70}')
    ingest.arrive(msgspec.structs.replace(UPLOAD, record=huge))
    assert ingest.completion.recover() == 0 and stored(ingest.store) == 0
