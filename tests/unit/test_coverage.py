"""A camera's time has no hole, and each gap the cause that held while it lasted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.contract.records import GapCause
from agent.recording.coverage import PIECE_US, Coverage, Gap, cause_of_absence

FRAME_US = 33_333


def test_a_segment_within_one_frame_of_the_last_leaves_no_gap() -> None:
    after, gaps = Coverage(1_000_000, "source").resumed(1_000_000 + FRAME_US, FRAME_US)
    assert gaps == []
    assert after.covered_until_us == 1_000_000


def test_a_segment_later_than_one_frame_leaves_a_gap_with_the_standing_cause() -> None:
    after, gaps = Coverage(0, "power", "cut").resumed(5_000_000, FRAME_US)
    assert gaps == [Gap(0, 5_000_000, "power", "cut")]
    assert after.covered_until_us == 5_000_000


def test_a_clock_set_back_records_no_time_twice() -> None:
    after, gaps = Coverage(9_000_000, "source").resumed(2_000_000, FRAME_US)
    assert (after.covered_until_us, gaps) == (9_000_000, [])


def test_a_change_of_cause_ends_the_gap_so_far_with_the_old_one() -> None:
    coverage, gaps = Coverage(0, "source").because("no-key", "recipient-missing", 7_000_000)
    assert gaps == [Gap(0, 7_000_000, "source", "")]
    assert (coverage.cause, coverage.covered_until_us) == ("no-key", 7_000_000)


def test_the_same_cause_again_writes_nothing() -> None:
    assert Coverage(0, "source", "a").because("source", "b", 7_000_000) == (Coverage(0, "source", "a"), [])


def test_a_lasting_gap_is_written_in_pieces() -> None:
    coverage = Coverage(0, "source")
    written: list[Gap] = []
    for second in range(1, 301):
        coverage, gaps = coverage.passed(second * 1_000_000)
        written += gaps
    assert [gap.end_us - gap.start_us for gap in written] == [PIECE_US] * 5


def test_a_clock_that_jumps_years_ahead_makes_one_gap_not_millions() -> None:
    _, gaps = Coverage(0, "source").passed(50 * 365 * 86_400_000_000)
    assert len(gaps) == 1


@pytest.mark.parametrize(
    ("clean", "last", "now", "cause"),
    [(True, "a", "b", "maintenance"), (False, "a", "b", "power"), (False, "a", "a", "restart")],
)
def test_the_cause_of_absence_tells_power_cut_from_dead_process(clean: bool, last: str, now: str, cause: str) -> None:
    assert cause_of_absence(clean=clean, last_boot_id=last, boot_id=now) == cause


STEP = st.tuples(
    st.sampled_from(["because-source", "because-no-key", "passed", "flushed", "resumed", "recorded"]),
    st.integers(-5_000_000, 200_000_000),
)


@given(st.lists(STEP, max_size=40))
def test_whatever_happens_gaps_and_segments_meet_exactly(steps: list[tuple[str, int]]) -> None:
    coverage, now_us, reached_us = Coverage(0, "power"), 0, 0
    for kind, passed_us in steps:
        now_us += passed_us
        gaps: list[Gap] = []
        if kind.startswith("because-"):
            cause: GapCause = "source" if kind.endswith("source") else "no-key"
            coverage, gaps = coverage.because(cause, "", now_us)
        elif kind == "resumed":
            coverage, gaps = coverage.resumed(now_us, FRAME_US)
        elif kind == "recorded":
            coverage = coverage.recorded(now_us)
            reached_us = max(reached_us, now_us)
        else:
            coverage, gaps = coverage.passed(now_us) if kind == "passed" else coverage.flushed(now_us)
        for gap in gaps:
            assert gap.start_us == reached_us < gap.end_us
            reached_us = gap.end_us
        assert coverage.covered_until_us == reached_us
