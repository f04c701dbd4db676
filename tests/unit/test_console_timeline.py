"""The timeline covers its window without a hole, and says what it does not know."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from center.console.timeline import JOIN_US, WIDTH, Span, bars, cover, ticks

S = 1_000_000


def drawn(spans: list[Span]) -> str:
    return " ".join(
        f"{span.kind}{':' + span.cause if span.cause else ''}[{span.start_us // S}-{span.end_us // S})"
        for span in spans
    )


def test_nothing_told_is_unknown() -> None:
    assert drawn(cover([], 0, 60 * S)) == "unknown[0-60)"


def test_neighbouring_segments_become_one_bar() -> None:
    told = [Span("segment", start * S, (start + 10) * S) for start in (0, 10, 20)]
    assert cover(told, 0, 30 * S) == [Span("segment", 0, 30 * S, segments=3)]


def test_a_short_seam_between_two_files_is_no_hole() -> None:
    told = [Span("segment", 0, 10 * S), Span("segment", 10 * S + JOIN_US // 2, 20 * S)]
    assert drawn(cover(told, 0, 20 * S)) == "segment[0-20)"


def test_a_hole_that_nobody_explains_is_shown_as_unknown() -> None:
    told = [Span("segment", 0, 10 * S), Span("segment", 20 * S, 30 * S)]
    assert drawn(cover(told, 0, 30 * S)) == "segment[0-10) unknown[10-20) segment[20-30)"


def test_gaps_keep_their_causes_apart() -> None:
    told = [Span("gap", 0, 10 * S, "power"), Span("gap", 10 * S, 20 * S, "source"), Span("torn", 20 * S, 25 * S)]
    assert drawn(cover(told, 0, 25 * S)) == "gap:power[0-10) gap:source[10-20) torn[20-25)"


def test_spans_are_cut_at_the_window() -> None:
    assert drawn(cover([Span("segment", -5 * S, 100 * S)], 0, 50 * S)) == "segment[0-50)"


def test_overlapping_spans_are_drawn_once() -> None:
    told = [Span("segment", 0, 10 * S), Span("torn", 5 * S, 12 * S)]
    assert drawn(cover(told, 0, 12 * S)) == "segment[0-10) torn[10-12)"


def test_a_torn_second_is_wide_enough_to_see() -> None:
    (bar,) = bars([Span("torn", 0, S)], 0, 86_400 * S)
    assert bar.width >= 1.5


def test_ticks_stand_at_whole_steps() -> None:
    assert ticks(5 * S, 65 * S, 20) == [(250.0, 20 * S), (583.33, 40 * S), (916.67, 60 * S)]


spans = st.builds(
    lambda kind, start, length, cause: Span(kind, start, start + length, cause if kind == "gap" else ""),
    st.sampled_from(["segment", "torn", "gap"]),
    st.integers(-100 * S, 400 * S),
    st.integers(-S, 60 * S),
    st.sampled_from(["power", "source"]),
)


@given(st.lists(spans, max_size=30))
def test_the_window_is_always_covered_exactly(told: list[Span]) -> None:
    covered = cover(told, 0, 300 * S)
    assert covered[0].start_us == 0
    assert covered[-1].end_us == 300 * S
    assert all(first.end_us == second.start_us for first, second in pairwise(covered))
    assert all(span.end_us > span.start_us for span in covered)
    assert all(0 <= bar.x <= WIDTH for bar in bars(covered, 0, 300 * S))
