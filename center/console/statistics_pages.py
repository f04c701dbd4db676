"""How fast bells are answered: per day and over a span, against the goal of 90 % within 10 s (R-BELL).

Rules: an unanswered call counts as one that takes for ever; tests never count, simulated calls only when asked for; the
table says everything that the drawing shows.
"""

from collections.abc import Callable
from datetime import timedelta

from starlette.responses import Response
from starlette.routing import Route

from center.console.answer_chart import HEIGHT, WIDTH, chart
from center.console.rendering import Renderer
from center.console.status_strip import StatusStrip
from center.console.visit import Gate, Visit
from center.store import Store
from center.store.answer_times import GOAL_S, GOAL_SHARE
from center.store.korean_day import day_of, day_span

SPANS = (7, 30, 90)
DEFAULT_DAYS = 30


def chosen_days(text: str) -> int:
    """Return one of `SPANS`; anything odd is the default."""
    return next((days for days in SPANS if text == str(days)), DEFAULT_DAYS)


class StatisticsPages:
    """The statistics page."""

    def __init__(
        self, gate: Gate, renderer: Renderer, store: Store, strip: StatusStrip, now_us: Callable[[], int]
    ) -> None:
        self._gate = gate
        self._renderer = renderer
        self._store = store
        self._strip = strip
        self._now_us = now_us

    def routes(self) -> list[Route]:
        """Return the page's route."""
        return [Route("/statistics", self._gate.page(self.page))]

    def page(self, visit: Visit) -> Response:
        """Show the numbers of the chosen days, the newest day first in the table."""
        days = chosen_days(visit.request.query_params.get("days", ""))
        simulated = visit.request.query_params.get("simulated") == "1"
        last = day_of(self._now_us())
        first = last - timedelta(days=days - 1)
        times = self._store.alarms.answer_times(day_span(first)[0], day_span(last)[1], simulated=simulated)
        return self._renderer.page(
            visit,
            "statistics.html",
            strip=self._strip.read(),
            days=days,
            spans=SPANS,
            with_simulated=simulated,
            times=times,
            chart=chart(times.days, first, last),
            goal_s=GOAL_S,
            goal_percent=round(GOAL_SHARE * 100),
            chart_width=WIDTH,
            chart_height=HEIGHT,
        )
