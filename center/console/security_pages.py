"""The list of what somebody should look into: refused and done commands, conflicts, damaged messages (R-ACCESS)."""

from collections.abc import Callable
from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from center.console.places import Places
from center.console.rendering import Renderer
from center.console.security_view import KINDS, security_lines
from center.console.status_strip import StatusStrip
from center.console.visit import Gate, Visit
from center.store import Store

LIMIT = 200
DAY_US = 86_400 * 1_000_000


class SecurityPages:
    """The security page."""

    def __init__(
        self,
        gate: Gate,
        renderer: Renderer,
        store: Store,
        strip: StatusStrip,
        places: Places,
        now_us: Callable[[], int],
    ) -> None:
        self._gate = gate
        self._renderer = renderer
        self._store = store
        self._strip = strip
        self._places = places
        self._now_us = now_us

    def routes(self) -> list[Route]:
        """Return the page's routes."""
        return [
            Route("/security", self._gate.page(self.page)),
            Route("/fragments/security", self._gate.page(self.fragment)),
        ]

    def page(self, visit: Visit) -> Response:
        """Show the list with its frame."""
        return self._renderer.page(visit, "security.html", strip=self._strip.read(), **self._facts(visit))

    def fragment(self, visit: Visit) -> Response:
        """Show the list alone."""
        return self._renderer.page(visit, "_security.html", **self._facts(visit))

    def _facts(self, visit: Visit) -> dict[str, Any]:
        only = visit.request.query_params.get("only", "")
        only = only if only in KINDS else ""
        store = self._store
        counts = store.commands.refusal_counts(self._now_us() - DAY_US)
        return {
            "only": only,
            "kinds": KINDS,
            "limit": LIMIT,
            "place": self._places.of,
            "refused_today": sum(counts.values()),
            "forged_today": counts.get("signature", 0),
            "lines": security_lines(
                store.events.of_kind("security", LIMIT) if only in ("", "security") else (),
                store.quarantine.newest(LIMIT) if only in ("", "quarantine") else (),
                store.commands.audits(None, LIMIT) if only in ("", "refused", "command") else (),
                visit.words,
                only,
                LIMIT,
            ),
        }
