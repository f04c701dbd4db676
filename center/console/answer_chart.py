"""Answer times as two small drawings over the same days: how many calls were answered in time, and how long it took.

Pure. Rules: one column a day, days without calls stay empty and keep their place; the goal is a line; times are drawn
on a scale of their own square root up to `MOST_S`, so that 3 s and 90 s are both seen; a percentile that falls on an
unanswered call is drawn at the top edge as open-ended, never left out.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from center.store.answer_times import GOAL_S, GOAL_SHARE, DayAnswerTimes

WIDTH = 1000.0
HEIGHT = 270.0
MOST_S = 120.0
TIME_TICKS_S = (0, 10, 30, 60, 120)


@dataclass(frozen=True)
class Column:
    """One day: the bar of its share, the marks of p50 and p90, all in units of the drawing; None without calls."""

    day: date
    x: float
    width: float
    label: str
    count: int
    unanswered: int
    share: float | None
    bar_y: float
    kept: bool
    p50_y: float | None
    p90_y: float | None
    p90_open: bool


@dataclass(frozen=True)
class Chart:
    """The drawing: columns, the height of the goal's line, and the ticks of the time scale as (y, seconds)."""

    columns: tuple[Column, ...]
    goal_share_y: float
    goal_time_y: float
    ticks: tuple[tuple[float, int], ...]


def share_y(share: float) -> float:
    """Return the height of a share 0..1 from the top of the drawing."""
    return round(HEIGHT * (1 - share), 1)


def time_y(seconds: float) -> float:
    """Return the height of a time from the top of the drawing."""
    return round(HEIGHT * (1 - math.sqrt(min(seconds, MOST_S) / MOST_S)), 1)


def chart(days: Sequence[DayAnswerTimes], first: date, last: date) -> Chart:
    """Return the drawing of every day from `first` to `last`."""
    known = {day.day: day for day in days}
    total = max(1, (last - first).days + 1)
    step = WIDTH / total
    every = max(1, math.ceil(total / 6))
    columns = tuple(
        _column(first + timedelta(days=number), known, number * step, step, labelled=(total - 1 - number) % every == 0)
        for number in range(total)
    )
    ticks = tuple((time_y(seconds), seconds) for seconds in TIME_TICKS_S)
    return Chart(columns, share_y(GOAL_SHARE), time_y(GOAL_S), ticks)


def _column(day: date, known: dict[date, DayAnswerTimes], x: float, step: float, *, labelled: bool) -> Column:
    times = known.get(day)
    share = times.share_within_goal if times else None
    p90_open = times is not None and times.count > 0 and times.p90_s is None
    return Column(
        day=day,
        x=round(x + step * 0.14, 2),
        width=round(step * 0.72, 2),
        label=f"{day.month}/{day.day}" if labelled else "",
        count=times.count if times else 0,
        unanswered=times.unanswered if times else 0,
        share=share,
        bar_y=share_y(share or 0.0),
        kept=share is not None and share >= GOAL_SHARE,
        p50_y=time_y(times.p50_s) if times and times.p50_s is not None else None,
        p90_y=time_y(times.p90_s) if times and times.p90_s is not None else (0.0 if p90_open else None),
        p90_open=p90_open,
    )
