"""What leaves the pole when its time is over, and what a crash left half deleted (agent.upload.eraser)."""

from functools import partial
from pathlib import Path

import pytest
from support.ingest_server import START_US, PoleSide

from agent.clock import SimulatedClock
from agent.fault_board import FaultBoard
from agent.upload.eraser import Eraser
from agent.upload.retention import DAY_S


class Bench:
    def __init__(self, directory: Path) -> None:
        self.clock = SimulatedClock(utc_us=START_US)
        self.pole = PoleSide(directory, self.clock)
        self.faults = FaultBoard(self.clock)
        self.synced = True
        self.center_us: int | None = None
        self.eraser = Eraser(self.pole.spool, 30, self.faults, self.clock, lambda: self.synced, lambda: self.center_us)

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.eraser.run_once()

    def codes(self) -> list[str]:
        return [fault.code for fault in self.faults.standing()]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_unsent_footage_leaves_after_the_retention_with_a_record_and_a_fault(bench: Bench):
    record = bench.pole.seal()
    bench.pass_time(1)
    bench.pass_time(30 * DAY_S - 60)
    assert bench.pole.path(record).exists() and bench.codes() == []
    bench.pass_time(120)
    assert not bench.pole.path(record).exists()
    assert bench.codes() == ["retention-unsent"]
    last = bench.pole.spool.records_after(0, 100)[-1][1]
    assert b'"ground":"expired"' in last and record.segment.encode() in last


def test_the_fault_of_unsent_footage_ends_after_a_day_without_more(bench: Bench):
    bench.pole.seal()
    bench.pass_time(1)
    bench.pass_time(30 * DAY_S + 60)
    bench.pass_time(DAY_S - 1)
    assert bench.codes() == ["retention-unsent"]
    bench.pass_time(60)
    assert bench.codes() == []


def test_a_clock_that_jumps_ahead_deletes_nothing_at_once(bench: Bench):
    record = bench.pole.seal()
    bench.pass_time(3600)
    bench.clock.step_utc(365 * DAY_S)
    bench.pass_time(60)
    assert bench.pole.path(record).exists()


def test_an_unsynchronised_pole_deletes_nothing_but_by_the_centers_time(bench: Bench):
    record = bench.pole.seal()
    bench.synced = False
    bench.clock.step_utc(31 * DAY_S)
    bench.pass_time(3600)
    assert bench.pole.path(record).exists()
    bench.center_us = START_US + round(31 * DAY_S) * 1_000_000
    bench.pass_time(60)
    assert not bench.pole.path(record).exists()


def days_later_us(days: float) -> int:
    return START_US + round(days * DAY_S) * 1_000_000


def test_footage_stamped_by_a_clock_that_was_behind_is_not_deleted_when_the_time_is_known(bench: Bench):
    """Power gone for 40 days, no RTC: the pole records in the past until the link tells it what time it is."""
    bench.synced = bench.pole.clock_synced = False
    record = bench.pole.seal()
    bench.center_us = days_later_us(40)
    bench.pass_time(60)
    assert bench.pole.path(record).exists() and bench.codes() == []


def test_such_footage_leaves_when_the_retention_has_passed_since_the_time_was_known(bench: Bench):
    bench.synced = bench.pole.clock_synced = False
    record = bench.pole.seal()
    bench.center_us = days_later_us(40)
    bench.pass_time(60)
    bench.center_us = days_later_us(69.9)
    bench.pass_time(60)
    assert bench.pole.path(record).exists()
    bench.center_us = days_later_us(70.1)
    bench.pass_time(60)
    assert not bench.pole.path(record).exists()


def test_footage_stamped_by_a_clock_that_was_ahead_leaves_in_time_too(bench: Bench):
    bench.synced = bench.pole.clock_synced = False
    record = bench.pole.seal()
    bench.center_us = days_later_us(-300)
    bench.pass_time(60)
    bench.center_us = days_later_us(-269)
    bench.pass_time(60)
    assert not bench.pole.path(record).exists()


def test_a_spool_that_is_due_as_a_whole_is_erased_in_pieces_with_a_pulse_between(bench: Bench):
    for _ in range(3):
        bench.pole.seal(1000)
    bench.center_us = days_later_us(31)
    pulses: list[int] = []
    bench.eraser._spool.expire = partial(bench.pole.spool.expire, limit=1)
    assert bench.eraser.run_once(lambda: pulses.append(1)) == 3
    assert len(pulses) == 3


def test_a_deletion_that_a_crash_left_half_done_is_finished(bench: Bench):
    record = bench.pole.seal()
    bench.pole.spool.receipt(record.segment, "a verified note")
    assert bench.eraser.run_once() == 1
    assert not bench.pole.path(record).exists()
    assert bench.pole.spool.totals().deleted == 1 and bench.codes() == []
