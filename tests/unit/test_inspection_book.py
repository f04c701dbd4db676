"""Inspections on disk: kept until their receipt, bounded, and each call twice is as once."""

import pytest

from agent.bell.inspection_book import KEEP, WAITING, InspectionBook
from agent.bell.outbox import Outbox
from agent.clock import SimulatedClock
from agent.contract.messages import AlarmReceipt, ClockState, Inspection


@pytest.fixture
def book(tmp_path):
    outbox = Outbox(tmp_path / "outbox.sqlite", SimulatedClock())
    yield InspectionBook(outbox)
    outbox.close()


def inspection(number, kind="self-test"):
    return Inspection(
        inspection_id=f"i{number}",
        pole="pole-1",
        kind=kind,
        started_at_us=number,
        finished_at_us=number,
        clock=ClockState(synced=True, source="ntp", error_us=1),
        points=[],
    )


def receipt(number):
    return AlarmReceipt(alarm_id=f"i{number}", committed_at_us=5)


def ids(book):
    return [found.inspection_id for found in book.waiting()]


def test_it_waits_oldest_first_until_its_receipt(book):
    for number in (1, 2, 2, 3):
        book.add(inspection(number))
    book.receipt(receipt(2))
    book.receipt(receipt(2))
    book.receipt(receipt(99))
    assert ids(book) == ["i1", "i3"]


def test_the_last_self_test_is_known_whether_receipted_or_not(book):
    assert book.last_self_test() is None
    book.add(inspection(1))
    book.add(inspection(2, "press-test"))
    book.receipt(receipt(1))
    assert book.last_self_test().inspection_id == "i1"


def test_what_is_kept_is_bounded_and_the_newest_stays(book):
    for number in range(WAITING + 5):
        book.add(inspection(number))
    assert ids(book)[0] == "i5" and len(ids(book)) == WAITING
    for number in range(5, WAITING + 5):
        book.receipt(receipt(number))
    book.add(inspection(10_000))
    with book._outbox.commit() as db:
        kept = db.execute("SELECT count(*) FROM inspection").fetchone()[0]
    assert kept == KEEP + 1
    assert book.last_self_test().inspection_id == "i10000"


def test_a_row_that_cannot_be_read_is_left_out(book):
    book.add(inspection(1))
    with book._outbox.commit() as db:
        db.execute("UPDATE inspection SET payload = x'ff'")
    assert (ids(book), book.last_self_test()) == ([], None)
