"""Decoding times rise, whatever a demuxer says."""

import itertools
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from agent.camera.timestamps import RisingTimes

BASE = Fraction(1, 1000)
FRAME = 40


def run(*stamps: tuple[int | None, int | None]) -> list[tuple[int, int]]:
    times = RisingTimes(BASE, FRAME)
    return [times.next(pts, dts, 0) for pts, dts in stamps]


def test_good_times_pass_untouched() -> None:
    assert run((80, 0), (40, 40), (120, 80)) == [(80, 0), (40, 40), (120, 80)]


def test_negative_decoding_times_shift_the_whole_stream_once() -> None:
    assert run((0, -80), (80, -40), (40, 0)) == [(80, 0), (160, 40), (120, 80)]


def test_a_missing_dts_is_the_pts_when_that_rises() -> None:
    assert run((None, None), (40, None), (80, None)) == [(0, 0), (40, 40), (80, 80)]


def test_a_missing_dts_goes_on_by_one_frame_when_the_pts_falls() -> None:
    assert [dts for _, dts in run((0, None), (120, None), (40, None))] == [0, 120, 160]


def test_a_missing_first_dts_with_a_late_pts_starts_there() -> None:
    assert run((5000, None), (5040, 5040)) == [(5000, 5000), (5040, 5040)]


def test_a_small_step_back_is_repaired() -> None:
    assert run((100, 100), (100, 100), (60, 60)) == [(100, 100), (101, 101), (102, 102)]


def test_a_large_step_back_is_a_jump_and_passes() -> None:
    assert run((9000, 9000), (1000, 1000)) == [(9000, 9000), (1000, 1000)]


stamp = st.one_of(st.none(), st.integers(-500, 5_000))


@given(st.lists(st.tuples(stamp, stamp), max_size=60))
def test_times_rise_or_jump_and_never_show_a_frame_before_it_is_decoded(
    stamps: list[tuple[int | None, int | None]],
) -> None:
    out = run(*stamps)
    assert all(pts >= dts for pts, dts in out)
    for (_, earlier), (_, later) in itertools.pairwise(out):
        assert later > earlier or earlier - later > 2000


def test_a_given_first_dts_shifts_every_time() -> None:
    times = RisingTimes(BASE, FRAME, first_dts=1000)
    assert [times.next(pts, dts, 0) for pts, dts in [(80, 20), (60, 60)]] == [(1060, 1000), (1040, 1040)]
