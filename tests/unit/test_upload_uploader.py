"""The uploader against a simulated center (agent.upload.uploader): order, resuming, refusals, what is deleted."""

import os
import threading
from pathlib import Path

import pytest
from support.ingest_server import POLE, SEGMENT_US, START_US, PoleSide

from agent.clock import SimulatedClock
from agent.contract.receipt import Receipt
from agent.contract.records import SegmentRecord
from agent.contract.signed_note import NoteSigner
from agent.errors import LinkError, LinkRefusedError
from agent.fault_board import FaultBoard
from agent.supervise import WorkerContext
from agent.upload.link import CenterFailedError, CenterFullError, SegmentRefusedError, UnknownRecipientError
from agent.upload.receipts import ReceiptCheck
from agent.upload.simulated_link import SimulatedLink
from agent.upload.uploader import Uploader

CHUNK = 16 * 1024


class Bench:
    """One pole, one simulated center."""

    def __init__(self, directory: Path) -> None:
        self.clock = SimulatedClock(utc_us=START_US)
        self.pole = PoleSide(directory, self.clock)
        self.signer = NoteSigner.generate("center.test")
        self.link = SimulatedLink(POLE, self.signer)
        self.faults = FaultBoard(self.clock)
        self.windows: list[tuple[int, int]] = []
        self.uploader = self.restarted()

    def restarted(self) -> Uploader:
        receipts = ReceiptCheck(self.signer.verifier_key, POLE)
        spool, link = self.pole.spool, self.link
        return Uploader(spool, link, link, receipts, lambda: self.windows, self.faults, self.clock, CHUNK)

    def seal(self, size: int = 40_000) -> SegmentRecord:
        return self.pole.seal(size)

    def attempt(self) -> float:
        waited = self.uploader.attempt(lambda: None)
        self.clock.advance(waited)
        return waited

    def until_idle(self, most: int = 200) -> None:
        for _ in range(most):
            if not self.pole.spool.pending(1) and not self.uploader.run_once():
                return
            self.attempt()
        raise AssertionError(f"never idle: {self.link.log[-5:]} {self.fault_codes()}")

    def fault_codes(self) -> list[tuple[str, str]]:
        return [(fault.code, fault.subject) for fault in self.faults.standing()]

    def announced(self) -> list[str]:
        return [about for what, about in self.link.log if what == "create"]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_segment_is_sent_receipted_and_only_then_deleted(bench: Bench):
    record = bench.seal()
    bench.until_idle()
    assert record.segment in bench.link.receipts
    assert not bench.pole.path(record).exists()
    totals = bench.pole.spool.totals()
    assert (totals.receipted, totals.deleted) == (1, 1)
    assert (bench.uploader.segments_receipted, bench.uploader.segments_deleted) == (1, 1)


def test_the_newest_segment_goes_first(bench: Bench):
    records = [bench.seal() for _ in range(3)]
    bench.until_idle()
    assert bench.announced() == [record.segment for record in reversed(records)]


def test_footage_around_a_bell_goes_before_newer_footage(bench: Bench):
    records = [bench.seal() for _ in range(4)]
    bench.windows = [(START_US + SEGMENT_US, START_US + 2 * SEGMENT_US)]
    bench.until_idle()
    assert bench.announced()[0] == records[1].segment


def test_a_bell_overtakes_a_segment_in_the_middle_and_nothing_is_sent_twice(bench: Bench):
    old, newest = bench.seal(), bench.seal(100_000)
    send = bench.link.append

    def press_after_first_chunk(upload, chunk, pulse):
        bench.windows = [(START_US, START_US + 1)]
        return send(upload, chunk, pulse)

    bench.link.append = press_after_first_chunk
    bench.until_idle()
    delivered = [about for what, about in bench.link.log if what == "receipt"]
    assert delivered.index(old.segment) < delivered.index(newest.segment)
    assert bench.link.bytes_sent == old.bytes + newest.bytes


@pytest.mark.parametrize("cut_at", [0, 1, CHUNK - 1, CHUNK, 3 * CHUNK + 7])
def test_a_cut_sends_at_most_one_chunk_twice(bench: Bench, cut_at: int):
    record = bench.seal(5 * CHUNK)
    bench.link.cut_after = cut_at
    bench.until_idle()
    assert record.segment in bench.link.receipts
    assert bench.link.bytes_sent - record.bytes <= CHUNK


def test_after_a_cut_the_receipt_is_asked_for_before_anything_is_sent_again(bench: Bench):
    record = bench.seal()
    fetch = bench.link.receipt
    bench.link.receipt = lambda segment: (_ for _ in ()).throw(LinkError("the receipt was lost"))
    bench.attempt()
    assert bench.pole.path(record).exists()
    sent = bench.link.bytes_sent
    bench.link.receipt = fetch
    bench.link.log.clear()
    bench.until_idle()
    assert next(what for what, _ in bench.link.log if what != "records") == "receipt"
    assert bench.link.bytes_sent == sent


def test_a_restarted_pole_finds_the_bytes_that_arrived(bench: Bench):
    record = bench.seal(5 * CHUNK)
    bench.link.cut_after = 3 * CHUNK
    bench.attempt()
    bench.uploader = bench.restarted()
    bench.until_idle()
    assert bench.link.bytes_sent - record.bytes <= CHUNK


def test_waiting_grows_without_progress_and_starts_over_with_it(bench: Bench):
    bench.seal(5 * CHUNK)
    bench.link.error = LinkError("no route")
    assert [bench.attempt() for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert bench.fault_codes() == [("link-down", "")]
    bench.link.error = None
    bench.link.cut_after = CHUNK
    assert bench.attempt() == 1
    bench.until_idle()
    assert bench.fault_codes() == []


def test_a_refused_pole_keeps_every_file_and_says_so(bench: Bench):
    record = bench.seal()
    bench.link.error = LinkRefusedError("the center answered 403")
    bench.attempt()
    assert bench.fault_codes() == [("link-refused", "")]
    assert bench.pole.path(record).exists() and bench.pole.spool.totals().receipted == 0


def test_a_full_center_is_waited_for_without_blaming_the_pole(bench: Bench):
    bench.seal()
    bench.link.error = CenterFullError("507")
    bench.attempt()
    assert bench.fault_codes() == [("center-store-full", "")]
    bench.link.error = None
    bench.until_idle()
    assert bench.fault_codes() == []


def test_an_unknown_recipient_is_set_aside_and_the_others_go_on(bench: Bench):
    records = [bench.seal() for _ in range(3)]
    refused = records[2].segment
    bench.link.refusals[refused] = UnknownRecipientError("no key")
    for _ in range(4):
        bench.attempt()
    assert set(bench.link.receipts) == {records[0].segment, records[1].segment}
    bench.attempt()
    assert bench.pole.path(records[2]).exists()
    bench.link.refusals.clear()
    bench.until_idle()
    assert refused in bench.link.receipts and bench.fault_codes() == []


def test_a_fault_stands_until_the_last_segment_that_has_it_is_accepted_or_gone(bench: Bench):
    first, second = bench.seal(), bench.seal()
    for record in (first, second):
        bench.link.refusals[record.segment] = UnknownRecipientError("no key")
    good = bench.seal()
    for _ in range(3):
        bench.attempt()
    assert good.segment in bench.link.receipts
    assert bench.fault_codes() == [("recipient-unknown", "front")]
    del bench.link.refusals[first.segment]
    for _ in range(20):
        bench.attempt()
    assert first.segment in bench.link.receipts
    assert bench.fault_codes() == [("recipient-unknown", "front")]
    bench.pole.spool.expire(2**60)
    bench.attempt()
    assert bench.fault_codes() == []


def test_many_refused_segments_do_not_hide_the_ones_behind_them(bench: Bench):
    oldest = bench.seal()
    for _ in range(40):
        bench.link.refusals[bench.seal().segment] = SegmentRefusedError("no")
    for _ in range(41):
        bench.uploader.attempt(lambda: None)
    assert oldest.segment in bench.link.receipts


def test_a_file_that_changed_on_the_disk_is_quarantined_and_never_deleted(bench: Bench):
    record = bench.seal()
    path = bench.pole.path(record)
    content = bytearray(path.read_bytes())
    content[500] ^= 1
    path.write_bytes(content)
    bench.until_idle()
    assert bench.fault_codes() == [("segment-damaged", "front")]
    assert path.exists() and bench.pole.spool.reading().quarantined == 1


def test_a_file_that_is_too_short_is_quarantined(bench: Bench):
    record = bench.seal()
    os.truncate(bench.pole.path(record), 20_000)
    bench.until_idle()
    assert bench.fault_codes() == [("segment-damaged", "front")]


def test_a_missing_file_is_quarantined_and_the_others_go_on(bench: Bench):
    first, second = bench.seal(), bench.seal()
    bench.pole.path(second).unlink()
    bench.until_idle()
    assert bench.fault_codes() == [("segment-damaged", "front")]
    assert first.segment in bench.link.receipts


def test_a_digest_mismatch_of_a_whole_file_is_the_links_fault_and_is_sent_again(bench: Bench):
    record = bench.seal()
    send = bench.link.append

    def spoil(upload, chunk, pulse):
        bench.link.append = send
        return send(upload, b"\0" + chunk[1:], pulse)

    bench.link.append = spoil
    bench.until_idle()
    assert record.segment in bench.link.receipts
    assert bench.pole.spool.reading().quarantined == 0


@pytest.mark.parametrize("field", ["sha256", "segment", "pole", "bytes"])
def test_a_receipt_for_something_else_keeps_the_file(bench: Bench, field: str):
    record = bench.seal()
    fields = {"pole": POLE, "segment": record.segment, "sha256": record.sha256, "bytes": record.bytes}
    fields[field] = {"sha256": "0" * 64, "bytes": 1}.get(field, "pole-9")
    wrong = Receipt(stored_at_us=1, **fields)
    bench.link.receipts[record.segment] = bench.signer.sign(wrong.text())
    bench.attempt()
    assert bench.fault_codes() == [("receipt-invalid", "front")]
    assert bench.pole.path(record).exists() and bench.pole.spool.totals().receipted == 0


def test_a_center_that_gives_no_receipt_keeps_the_file_and_is_asked_again(bench: Bench):
    record = bench.seal()
    fetch = bench.link.receipt
    bench.link.receipt = lambda segment: None
    assert bench.attempt() == 1
    assert bench.fault_codes() == [("link-down", "")]
    bench.link.receipt = fetch
    bench.until_idle()
    assert record.segment in bench.link.receipts


def test_records_go_in_order_and_are_acknowledged(bench: Bench):
    for _ in range(3):
        bench.seal()
    bench.until_idle()
    held = bench.pole.spool.records_after(0, 100)
    assert bench.link.records == [record for _, record in held]
    assert bench.pole.spool.records_acknowledged() == len(held) >= 6


def test_a_center_that_lost_records_gets_them_again(bench: Bench):
    for _ in range(3):
        bench.seal()
    bench.until_idle()
    del bench.link.records[2:]
    bench.seal()
    bench.until_idle()
    assert bench.link.records == [record for _, record in bench.pole.spool.records_after(0, 100)]


def test_refused_records_do_not_stop_the_segments(bench: Bench):
    record = bench.seal()

    def refuse(first, records, log):
        raise SegmentRefusedError("another record is stored at this index")

    bench.link.send_records = refuse
    for _ in range(3):
        bench.attempt()
    assert record.segment in bench.link.receipts
    assert ("link-refused", "records") in bench.fault_codes()


def test_a_center_that_fails_at_the_records_does_not_stop_the_segments(bench: Bench):
    record = bench.seal()

    def fail(first, records, log):
        raise CenterFailedError("the center answered 500 to POST /records")

    bench.link.send_records = fail
    for _ in range(3):
        bench.attempt()
    assert record.segment in bench.link.receipts
    assert ("link-refused", "records") in bench.fault_codes()


def test_a_service_that_stops_gives_up_the_chunk_on_its_way_and_loses_nothing(bench: Bench):
    record = bench.seal(20 * CHUNK)
    stop = threading.Event()
    send = bench.link.append

    def stop_at_the_third_chunk(upload, chunk, pulse):
        if upload.offset == 2 * CHUNK:
            stop.set()
        return send(upload, chunk, pulse)

    bench.link.append = stop_at_the_third_chunk
    bench.uploader.run(WorkerContext(bench.clock, stop))
    assert bench.link.bytes_sent == 3 * CHUNK
    assert bench.fault_codes() == [] and bench.pole.path(record).exists()
    bench.link.append = send
    bench.until_idle()
    assert bench.link.bytes_sent - record.bytes <= CHUNK
