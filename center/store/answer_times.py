"""How fast calls are answered. Pure. The goal: 90 % within 10 s of the center's commit.

Rules:
* a call that nobody answered counts in every share and percentile, as one that takes for ever; it is never dropped;
* so a percentile is None when it falls on an unanswered call, and `max_s` is None while there is one;
* percentiles are of the nearest rank: a time that somebody really waited, never one in between;
* days are Korean ones, by the instant of the call.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from center.store.korean_day import day_of

GOAL_S = 10.0
GOAL_SHARE = 0.9


@dataclass(frozen=True)
class Call:
    """One call, in UTC microseconds of the center: its commit, its first answer, its close."""

    called_at_us: int
    answered_at_us: int | None
    closed_at_us: int | None

    @property
    def answer_s(self) -> float:
        """Seconds until a person answered, infinite when nobody did."""
        return math.inf if self.answered_at_us is None else (self.answered_at_us - self.called_at_us) / 1e6


@dataclass(frozen=True)
class DayAnswerTimes:
    """The calls of one Korean day; `share_within_goal` is 0..1, None without calls."""

    day: date
    count: int
    unanswered: int
    within_goal: int
    share_within_goal: float | None
    p50_s: float | None
    p90_s: float | None
    max_s: float | None


@dataclass(frozen=True)
class AnswerTimes:
    """The calls of a span. `unanswered` counts waiting calls and the `closed_unanswered`."""

    count: int
    answered: int
    unanswered: int
    closed_unanswered: int
    within_goal: int
    share_within_goal: float | None
    p50_s: float | None
    p90_s: float | None
    max_s: float | None
    days: tuple[DayAnswerTimes, ...]

    @property
    def goal_kept(self) -> bool | None:
        """Whether 90 % were answered within 10 s; None without calls."""
        return None if self.share_within_goal is None else self.share_within_goal >= GOAL_SHARE


def summary(calls: Sequence[Call]) -> AnswerTimes:
    """Return the numbers of `calls`."""
    by_day: dict[date, list[Call]] = {}
    for call in calls:
        by_day.setdefault(day_of(call.called_at_us), []).append(call)
    times = sorted(call.answer_s for call in calls)
    answered = sum(math.isfinite(time) for time in times)
    closed = sum(call.answered_at_us is None and call.closed_at_us is not None for call in calls)
    within, share = _within(times)
    return AnswerTimes(
        count=len(calls),
        answered=answered,
        unanswered=len(calls) - answered,
        closed_unanswered=closed,
        within_goal=within,
        share_within_goal=share,
        p50_s=percentile(times, 0.5),
        p90_s=percentile(times, 0.9),
        max_s=percentile(times, 1.0),
        days=tuple(_day(day, by_day[day]) for day in sorted(by_day)),
    )


def percentile(times: Sequence[float], share: float) -> float | None:
    """Return the time of nearest rank of the sorted `times`; None without any, or when it is infinite."""
    if not times:
        return None
    value = times[max(0, math.ceil(share * len(times)) - 1)]
    return value if math.isfinite(value) else None


def _within(times: Sequence[float]) -> tuple[int, float | None]:
    within = sum(time <= GOAL_S for time in times)
    return within, within / len(times) if times else None


def _day(day: date, calls: Sequence[Call]) -> DayAnswerTimes:
    times = sorted(call.answer_s for call in calls)
    within, share = _within(times)
    return DayAnswerTimes(
        day=day,
        count=len(calls),
        unanswered=sum(math.isinf(time) for time in times),
        within_goal=within,
        share_within_goal=share,
        p50_s=percentile(times, 0.5),
        p90_s=percentile(times, 0.9),
        max_s=percentile(times, 1.0),
    )
