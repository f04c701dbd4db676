"""The alarm desk: who calls for help, for how long, who has it, and what was done (R-BELL).

Rules: the officer is the session's; in the API the person whom the caller names is noted with the session's officer;
a desk of the role `second` shows the same and rings only from the escalation's second step on.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from center.console import simulated_press
from center.console.access import clean_name
from center.console.incident_desk import IncidentDesk
from center.console.rendering import Renderer
from center.console.status_strip import StatusStrip
from center.console.visit import Gate, Visit
from center.errors import ConflictError
from center.store import IncidentRow, Store
from center.store.alarms import REASONS

HISTORY_US = 24 * 3600 * 1_000_000
HISTORY_LIMIT = 200
API_STATES = ("open", "answered", "dispatched", "closed", "all")
ROLES = ("first", "second")

Act = Callable[[str, str, Mapping[str, str]], IncidentRow]


def in_state(row: IncidentRow, wanted: str) -> bool:
    """Whether an incident is what a program asked for; `open` is: nobody answered, seen or not."""
    return wanted == "all" or wanted == row.state or (wanted == "open" and row.waiting)


class DeskPages:
    """The desk, its fragments, its buttons and the incident API."""

    def __init__(
        self,
        gate: Gate,
        renderer: Renderer,
        store: Store,
        strip: StatusStrip,
        desk: IncidentDesk,
        now_us: Callable[[], int],
        press_bell: Callable[[], object] | None = None,
    ) -> None:
        self._gate = gate
        self._renderer = renderer
        self._store = store
        self._strip = strip
        self._desk = desk
        self._now_us = now_us
        self._press_bell = press_bell
        self._acts: dict[str, Act] = {
            "seen": lambda incident, by, _fields: desk.seen(incident, by),
            "answer": lambda incident, by, _fields: desk.answer(incident, by),
            "take-over": lambda incident, by, _fields: desk.take_over(incident, by),
            "dispatch": desk.dispatch,
            "close": desk.close,
        }

    def routes(self) -> list[Route]:
        """Return the desk's routes."""
        page, action = self._gate.page, self._gate.action
        return [
            Route("/", page(self.desk)),
            Route("/fragments/strip", page(self.strip_fragment)),
            Route("/fragments/modes", page(self.modes_fragment)),
            Route("/fragments/incidents", page(self.incidents_fragment)),
            Route("/fragments/incidents/{incident}", page(self.incident_fragment)),
            Route("/fragments/history", page(self.history_fragment)),
            Route("/incidents/{incident}", page(self.incident)),
            Route("/incidents/{incident}/{act}", action(self.act), methods=["POST"]),
            Route("/simulated-press", action(self.simulated_press), methods=["POST"]),
            Route("/api/session", page(self.api_session)),
            Route("/api/incidents", page(self.api_incidents)),
            Route("/api/incidents/{incident}/{act}", action(self.api_act), methods=["POST"]),
        ]

    def desk(self, visit: Visit) -> Response:
        """Show the whole desk."""
        role = visit.request.query_params.get("role", "first")
        return self._renderer.page(
            visit,
            "desk.html",
            strip=self._strip.read(),
            incidents=self._standing(visit),
            history=self._history(visit),
            reasons=REASONS,
            role=role if role in ROLES else "first",
        )

    def strip_fragment(self, visit: Visit) -> Response:
        """Show the status strip."""
        return self._renderer.page(visit, "_strip.html", strip=self._strip.read())

    def modes_fragment(self, visit: Visit) -> Response:
        """Show which poles are being tested."""
        return self._renderer.page(visit, "_modes.html", strip=self._strip.read())

    def incidents_fragment(self, visit: Visit) -> Response:
        """Show the incidents that are not closed."""
        return self._renderer.page(visit, "_incidents.html", incidents=self._standing(visit), reasons=REASONS)

    def incident(self, visit: Visit) -> Response:
        """Show one incident with everything that happened to it."""
        return self._show_one(visit, "incident.html", strip=self._strip.read())

    def incident_fragment(self, visit: Visit) -> Response:
        """Show one incident without the frame, for its live page."""
        return self._show_one(visit, "_incident_page.html")

    def history_fragment(self, visit: Visit) -> Response:
        """Show the last day's incidents."""
        return self._renderer.page(visit, "_history.html", history=self._history(visit))

    def act(self, visit: Visit, fields: Mapping[str, str]) -> Response:
        """Do what a button asks: seen, answer, take-over, dispatch, close."""
        incident, officer = visit.request.path_params["incident"], visit.session.officer
        try:
            self._act(visit)(incident, officer, fields)
        except ConflictError as exc:
            raise HTTPException(409, self._desk.refused(incident, officer, visit.words, exc)) from exc
        return self._done(visit)

    def simulated_press(self, visit: Visit, _fields: Mapping[str, str]) -> Response:
        """Press the demo pole's bell."""
        if self._press_bell is None:
            raise HTTPException(404, "this console does not simulate")
        try:
            self._press_bell()
        except simulated_press.SimulatedPressError as exc:
            raise HTTPException(502, str(exc)) from exc
        return self._done(visit)

    def api_session(self, visit: Visit) -> Response:
        """Tell a program its CSRF token."""
        return JSONResponse({"officer": visit.session.officer, "csrf": visit.session.csrf})

    def api_incidents(self, visit: Visit) -> Response:
        """List incidents: `state=open` (nobody answered), `answered`, `dispatched`, `closed` or `all`."""
        wanted = visit.request.query_params.get("state", "all")
        if wanted not in API_STATES:
            raise HTTPException(400, f"state is one of {', '.join(API_STATES)}")
        rows = self._store.alarms.incidents("all" if wanted in ("closed", "all") else "open")
        return JSONResponse({"incidents": [asdict(row) for row in rows if in_state(row, wanted)]})

    def api_act(self, visit: Visit, fields: Mapping[str, str]) -> Response:
        """Do what a program asks; a conflict names the owner."""
        incident = visit.request.path_params["incident"]
        try:
            return JSONResponse(asdict(self._act(visit)(incident, self._named(visit, fields), fields)))
        except ConflictError as exc:
            row = self._store.alarms.get(incident)
            owner = {"owner": row.owner, "owned_since_us": row.owned_since_us} if row else {}
            return JSONResponse({"status": 409, "detail": str(exc), **owner}, 409)

    def _act(self, visit: Visit) -> Act:
        act = self._acts.get(visit.request.path_params["act"])
        if act is None:
            raise HTTPException(404, f"an incident knows {', '.join(self._acts)}")
        return act

    def _standing(self, visit: Visit) -> object:
        return self._desk.standing(visit.session.officer, visit.words.language)

    def _history(self, visit: Visit) -> object:
        since_us = self._now_us() - HISTORY_US
        rows = self._store.alarms.incidents("all", HISTORY_LIMIT)
        return self._desk.past([row for row in rows if row.opened_at_us >= since_us], visit.words.language)

    def _show_one(self, visit: Visit, template: str, **values: Any) -> Response:
        row = self._desk.row(visit.request.path_params["incident"])
        return self._renderer.page(
            visit,
            template,
            incident=self._desk.one(row, visit.session.officer, visit.words.language),
            acts=self._store.alarms.acts(row.incident_id),
            reasons=REASONS,
            **values,
        )

    def _named(self, visit: Visit, fields: Mapping[str, str]) -> str:
        """Return whom the program speaks for, never without the session that it uses."""
        by = clean_name(fields.get("by", "")) or visit.session.officer
        return by if by == visit.session.officer else f"{by} ({visit.session.officer})"

    def _done(self, visit: Visit) -> Response:
        return Response(status_code=204) if visit.wants_fragment else RedirectResponse("/", 303)
