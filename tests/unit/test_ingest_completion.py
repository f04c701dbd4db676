"""What a restart finishes, and what may not keep it from starting (center.ingest.completion)."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from support.center_store import open_store

from agent.contract.messages import ClockState
from agent.contract.records import SegmentRecord, encode_record
from agent.contract.signed_note import NoteSigner
from center.ingest.completion import Completion, no_step, object_path
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
        self.step: Callable[[str], object] = no_step
        self.objects = directory / "objects"
        self.objects.mkdir()
        self.store = open_store(directory)
        self.partials = PartialStore(directory / "partial")
        signer = NoteSigner.generate("center.test")
        self.completion = Completion(
            self.store, self.partials, self.objects, signer, lambda: 7, lambda name: self.step(name)
        )

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


def test_a_pole_whose_segment_takes_long_keeps_no_other_pole_waiting(ingest: Ingest):
    segment = "pole-2.front.20260921T141320Z.0000000000"
    record = encode_record(msgspec.structs.replace(RECORD, pole="pole-2", segment=segment)).decode()
    other = msgspec.structs.replace(UPLOAD, pole="pole-2", segment=segment, record=record)
    for upload in (UPLOAD, other):
        ingest.arrive(upload)
    reading, go_on = threading.Event(), threading.Event()

    def step(name: str) -> None:
        if threading.current_thread().name == "slow" and name == "synced":
            reading.set()
            go_on.wait(20)

    ingest.step = step
    slow = threading.Thread(target=ingest.completion.finish, args=(UPLOAD,), name="slow")
    quick = threading.Thread(target=ingest.completion.finish, args=(other,), name="quick", daemon=True)
    slow.start()
    assert reading.wait(10)
    quick.start()
    quick.join(10)
    waited = quick.is_alive()
    go_on.set()
    slow.join(10)
    quick.join(10)
    assert not waited and stored(ingest.store) == 2
