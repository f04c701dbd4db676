"""The wall view: only what nobody has answered, readable from five metres, without a control (R-BELL).

Rules: every unanswered call stands here at once; from the escalation's wall step on it fills its tile and rings; a wall
that hears nothing says so as large as an alarm; a test never appears here.
"""

from starlette.responses import Response
from starlette.routing import Route

from center.console.incident_desk import IncidentDesk
from center.console.rendering import Renderer
from center.console.status_strip import StatusStrip
from center.console.visit import Gate, Visit

MOST_TILES = 6


class WallPages:
    """The wall and its fragment."""

    def __init__(self, gate: Gate, renderer: Renderer, strip: StatusStrip, desk: IncidentDesk) -> None:
        self._gate = gate
        self._renderer = renderer
        self._strip = strip
        self._desk = desk

    def routes(self) -> list[Route]:
        """Return the wall's routes."""
        return [Route("/wall", self._gate.page(self.page)), Route("/fragments/wall", self._gate.page(self.fragment))]

    def page(self, visit: Visit) -> Response:
        """Show the wall."""
        return self._show(visit, "wall.html")

    def fragment(self, visit: Visit) -> Response:
        """Show the calls alone."""
        return self._show(visit, "_wall.html")

    def _show(self, visit: Visit, template: str) -> Response:
        calls = self._desk.waiting(visit.words.language)
        return self._renderer.page(
            visit, template, strip=self._strip.read(), calls=calls[:MOST_TILES], hidden=max(0, len(calls) - MOST_TILES)
        )
