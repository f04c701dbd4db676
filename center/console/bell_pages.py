"""The bells: which ones proved themselves today and this month, what failed, the month's work orders, and the tests.

Rules: tests have their own list here and stand in no other; the orders of a month are made once, whoever presses;
`PAGE` bells are shown, those that need a person first, and a search names the others.
"""

from collections.abc import Mapping
from typing import Any

from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from center.console.coverage_view import bell_lines, failed_points
from center.console.page_parts import PageParts
from center.console.visit import Visit
from center.store.korean_day import day_of, month_name

PAGE = 40
ORDERS = 30
TESTS = 20
TESTS_US = 31 * 86_400 * 1_000_000


class BellPages:
    """The coverage page."""

    def __init__(self, parts: PageParts) -> None:
        self._parts = parts

    def routes(self) -> list[Route]:
        """Return the page's routes."""
        return [
            Route("/bells", self._parts.gate.page(self.page)),
            Route("/fragments/bells", self._parts.gate.page(self.fragment)),
            Route("/work-orders", self._parts.gate.action(self.create), methods=["POST"]),
        ]

    def page(self, visit: Visit) -> Response:
        """Show the coverage with its frame."""
        return self._parts.renderer.page(visit, "bells.html", strip=self._parts.strip.read(), **self._facts(visit))

    def fragment(self, visit: Visit) -> Response:
        """Show the coverage alone."""
        return self._parts.renderer.page(visit, "_bells.html", **self._facts(visit))

    def create(self, visit: Visit, _fields: Mapping[str, str]) -> Response:
        """Make this month's work orders for every bell that has none."""
        self._parts.store.work_orders.create_all(day_of(self._parts.now_us()), visit.session.officer)
        return Response(status_code=204) if visit.wants_fragment else RedirectResponse("/bells#orders", 303)

    def _facts(self, visit: Visit) -> dict[str, Any]:
        now_us = self._parts.now_us()
        today = day_of(now_us)
        day, month = (
            self._parts.store.inspections.coverage_day(today),
            self._parts.store.inspections.coverage_month(today),
        )
        query = visit.request.query_params.get("q", "").strip()[:80]
        lines = bell_lines(day, month, self._parts.places.of, visit.words)
        found = [line for line in lines if query.casefold() in f"{line.pole} {line.place}".casefold()]
        orders = self._parts.store.work_orders.all(today)
        standing = self._parts.store.work_orders.open()
        return {
            "query": query,
            "lines": found[:PAGE],
            "hidden": max(0, len(found) - PAGE),
            "total": month.total,
            "self_today": sum(pole.self_test.proved for pole in day.poles),
            "press_month": sum(pole.press_test.proved for pole in month.poles),
            "failing": sum(line.state == "failed" for line in lines),
            "points": failed_points(month.poles, visit.words),
            "month": month_name(today),
            "missing_orders": max(0, month.total - len(orders)),
            "done_orders": sum(order.done_at_us is not None for order in orders),
            "all_orders": len(orders),
            "orders": standing[:ORDERS],
            "hidden_orders": max(0, len(standing) - ORDERS),
            "tests": self._parts.store.alarms.test_presses(now_us - TESTS_US, TESTS),
            "place": self._parts.places.of,
        }
