"""Serves the plans on which poles are marked: pictures beside `places_file`, and only those that it names."""

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from center.console.places import PLAN_TYPES, Places
from center.console.visit import Gate, Visit

MOST_BYTES = 20 << 20


class PlanPages:
    """The plans."""

    def __init__(self, gate: Gate, places: Places) -> None:
        self._gate = gate
        self._places = places

    def routes(self) -> list[Route]:
        """Return the one route."""
        return [Route("/plans/{name}", self._gate.page(self.plan))]

    def plan(self, visit: Visit) -> Response:
        """Send a plan; shown as a picture only, so that nothing in it runs."""
        file = self._places.plan_file(visit.request.path_params["name"])
        if file is None or not file.is_file() or file.stat().st_size > MOST_BYTES:
            raise HTTPException(404, "there is no such plan beside the places file")
        headers = {"Cache-Control": "private, max-age=300"}
        return Response(file.read_bytes(), headers=headers, media_type=PLAN_TYPES[file.suffix.lower()])
