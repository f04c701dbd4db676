"""The list of what somebody should look into: refused and done commands, conflicts, damaged messages (R-ACCESS)."""

from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from center.console.page_parts import PageParts
from center.console.security_view import KINDS, security_lines
from center.console.visit import Visit

LIMIT = 200
DAY_US = 86_400 * 1_000_000


class SecurityPages:
    """The security page."""

    def __init__(self, parts: PageParts) -> None:
        self._parts = parts

    def routes(self) -> list[Route]:
        """Return the page's routes."""
        return [
            Route("/security", self._parts.gate.page(self.page)),
            Route("/fragments/security", self._parts.gate.page(self.fragment)),
        ]

    def page(self, visit: Visit) -> Response:
        """Show the list with its frame."""
        return self._parts.renderer.page(visit, "security.html", strip=self._parts.strip.read(), **self._facts(visit))

    def fragment(self, visit: Visit) -> Response:
        """Show the list alone."""
        return self._parts.renderer.page(visit, "_security.html", **self._facts(visit))

    def _facts(self, visit: Visit) -> dict[str, Any]:
        only = visit.request.query_params.get("only", "")
        only = only if only in KINDS else ""
        store = self._parts.store
        counts = store.commands.refusal_counts(self._parts.now_us() - DAY_US)
        return {
            "only": only,
            "kinds": KINDS,
            "limit": LIMIT,
            "place": self._parts.places.of,
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
