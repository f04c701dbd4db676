"""A camera's time as spans to draw: what was recorded, torn, missing and why, or not yet told (R-INTEGRITY).

Pure. Spans are half open, in UTC microseconds, clipped to the window and in order; neighbours of one kind
whose edges lie within `JOIN_US` become one, so that an hour of segments draws as one bar.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

SpanKind = Literal["segment", "torn", "gap", "unknown"]
JOIN_US = 1_500_000
WIDTH = 1000.0


@dataclass(frozen=True)
class Span:
    """One bar of the timeline; `cause` only for gaps, `segments` counts what was joined."""

    kind: SpanKind
    start_us: int
    end_us: int
    cause: str = ""
    segments: int = 1

    @property
    def seconds(self) -> float:
        """Its length."""
        return (self.end_us - self.start_us) / 1_000_000


@dataclass(frozen=True)
class Bar:
    """A span as drawn: `x` and `width` on a scale of `WIDTH`."""

    span: Span
    x: float
    width: float


def cover(spans: Iterable[Span], start_us: int, end_us: int) -> list[Span]:
    """Return the window [start_us, end_us) covered without a hole: known spans joined, the rest `unknown`."""
    covered: list[Span] = []
    at_us = start_us
    for span in sorted(spans, key=lambda span: (span.start_us, span.end_us)):
        first, last = max(span.start_us, at_us), min(span.end_us, end_us)
        if last <= first:
            continue
        if first - at_us > JOIN_US or (not covered and first > at_us):
            covered.append(Span("unknown", at_us, first))
        _append(covered, replace(span, start_us=first, end_us=last))
        at_us = last
    if at_us < end_us:
        covered.append(Span("unknown", at_us, end_us))
    return covered


def _append(covered: list[Span], span: Span) -> None:
    before = covered[-1] if covered else None
    if before and (before.kind, before.cause) == (span.kind, span.cause) and before.kind != "unknown":
        covered[-1] = replace(before, end_us=span.end_us, segments=before.segments + span.segments)
        return
    if before and span.start_us > before.end_us:  # the seam between two files, shorter than JOIN_US
        covered[-1] = replace(before, end_us=span.start_us)
    covered.append(span)


def bars(spans: Iterable[Span], start_us: int, end_us: int) -> list[Bar]:
    """Return the spans placed on the scale; none is thinner than 1.5 units, so that a torn second is seen."""
    scale = WIDTH / max(1, end_us - start_us)
    return [
        Bar(
            span,
            round((span.start_us - start_us) * scale, 2),
            round(max(1.5, (span.end_us - span.start_us) * scale), 2),
        )
        for span in spans
    ]


def ticks(start_us: int, end_us: int, step_s: int) -> list[tuple[float, int]]:
    """Return (x, utc_us) of each whole `step_s` in the window."""
    step_us = step_s * 1_000_000
    first = -(-start_us // step_us) * step_us
    scale = WIDTH / max(1, end_us - start_us)
    return [(round((at_us - start_us) * scale, 2), at_us) for at_us in range(first, end_us, step_us)]
