"""The alarm desk: who calls for help, for how long, and who took it (R-BELL).

Rules: an incident closes only with a reason; what an operator does is committed before the answer is shown;
the officer is the session's, in the API the person whom the caller names is noted with the session's officer.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import get_args

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from center.console import simulated_press
from center.console.access import clean_name
from center.console.feed import Feed
from center.console.places import Places
from center.console.rendering import Renderer
from center.console.visit import Gate, Visit
from center.errors import ConflictError
from center.store import IncidentRow, Store
from center.store.alarms import Reason

REASONS: tuple[Reason, ...] = get_args(Reason)
HISTORY_US = 24 * 3600 * 1_000_000
HISTORY_LIMIT = 200
PRESS_LATE_US = 24 * 3600 * 1_000_000
PRESS_AHEAD_US = 5_000_000
ALARMS_LATE_US = 90_000_000
INGEST_LATE_US = 120_000_000


@dataclass(frozen=True)
class IncidentView:
    """One incident as the desk shows it; `rev` changes whenever its card must be drawn anew.

    `first_us` is when help was called, `pressed_us` the same on the pole's own clock, by which its footage is named.
    """

    id: str
    pole: str
    place: str
    state: str
    presses: int
    line: str
    simulated: bool
    first_us: int
    pressed_us: int
    clock_odd: bool
    answered_by: str
    answered_after_s: float | None
    closed_by: str
    reason: str
    rev: str


@dataclass(frozen=True)
class Strip:
    """The status strip: three ages that move while all is well, and what waits for a person."""

    alarms_state: str
    heartbeat_us: int | None
    ingest_state: str
    stored_us: int | None
    event_us: int | None
    waiting: int
    answered: int


def freshness(at_us: int | None, now_us: int, late_us: int) -> str:
    """Return the mark of an age: a number that moves is health, a number that stopped is not (DESIGN 12)."""
    if at_us is None:
        return "unknown"
    return "ok" if now_us - at_us <= late_us else "warning"


def called_at_us(row: IncidentRow) -> int:
    """Return when help was called: the pole's word, unless its clock cannot be right (a boot without RTC or link)."""
    late_us = row.opened_at_us - row.first_pressed_at_us
    return row.first_pressed_at_us if -PRESS_AHEAD_US <= late_us <= PRESS_LATE_US else row.opened_at_us


def incident_view(row: IncidentRow, place: str, language: str) -> IncidentView:
    """Return an incident for the page."""
    called_us = called_at_us(row)
    answered_s = None if row.answered_at_us is None else max(0, row.answered_at_us - row.opened_at_us) / 1_000_000
    return IncidentView(
        id=row.incident_id,
        pole=row.pole,
        place=place,
        state=row.state,
        presses=row.presses,
        line=row.line,
        simulated=row.simulated,
        first_us=called_us,
        pressed_us=row.first_pressed_at_us,
        clock_odd=called_us != row.first_pressed_at_us,
        answered_by=row.answered_by,
        answered_after_s=answered_s,
        closed_by=row.closed_by,
        reason=row.reason,
        rev=f"{row.state}.{row.presses}.{row.answered_at_us}.{row.simulated}.{place}.{language}",
    )


def by_urgency(row: IncidentRow) -> tuple[bool, int]:
    """Sort key: unanswered first, among them the one who waits longest first."""
    return row.state != "open", called_at_us(row)


class StatusStrip:
    """Reads the strip's numbers."""

    def __init__(self, store: Store, feed: Feed, now_us: Callable[[], int]) -> None:
        self._store = store
        self._feed = feed
        self._now_us = now_us

    def read(self) -> Strip:
        """Return the strip as of now."""
        now_us = self._now_us()
        heartbeat_us = self._store.poles.newest_heartbeat_us()
        stored_us = self._feed.latest_us("object")
        states = [row.state for row in self._store.alarms.incidents("open")]
        return Strip(
            alarms_state=freshness(heartbeat_us, now_us, ALARMS_LATE_US),
            heartbeat_us=heartbeat_us,
            ingest_state=freshness(stored_us, now_us, INGEST_LATE_US),
            stored_us=stored_us,
            event_us=self._feed.latest_us(),
            waiting=states.count("open"),
            answered=states.count("answered"),
        )


class DeskPages:
    """The desk, its fragments, its buttons and the incident API."""

    def __init__(
        self,
        gate: Gate,
        renderer: Renderer,
        store: Store,
        strip: StatusStrip,
        places: Places,
        now_us: Callable[[], int],
        press_bell: Callable[[], object] | None = None,
    ) -> None:
        self._gate = gate
        self._renderer = renderer
        self._store = store
        self._strip = strip
        self._places = places
        self._now_us = now_us
        self._press_bell = press_bell

    def routes(self) -> list[Route]:
        """Return the desk's routes."""
        page, action = self._gate.page, self._gate.action
        return [
            Route("/", page(self.desk)),
            Route("/fragments/strip", page(self.strip_fragment)),
            Route("/fragments/incidents", page(self.incidents_fragment)),
            Route("/fragments/history", page(self.history_fragment)),
            Route("/incidents/{incident}/answer", action(self.answer), methods=["POST"]),
            Route("/incidents/{incident}/close", action(self.close), methods=["POST"]),
            Route("/simulated-press", action(self.simulated_press), methods=["POST"]),
            Route("/api/session", page(self.api_session)),
            Route("/api/incidents", page(self.api_incidents)),
            Route("/api/incidents/{incident}/answer", action(self.api_answer), methods=["POST"]),
            Route("/api/incidents/{incident}/close", action(self.api_close), methods=["POST"]),
        ]

    def desk(self, visit: Visit) -> Response:
        """Show the whole desk."""
        return self._renderer.page(
            visit,
            "desk.html",
            strip=self._strip.read(),
            incidents=self._open(visit),
            history=self._history(visit),
            reasons=REASONS,
        )

    def strip_fragment(self, visit: Visit) -> Response:
        """Show the status strip."""
        return self._renderer.page(visit, "_strip.html", strip=self._strip.read())

    def incidents_fragment(self, visit: Visit) -> Response:
        """Show the incidents that are not closed."""
        return self._renderer.page(visit, "_incidents.html", incidents=self._open(visit), reasons=REASONS)

    def history_fragment(self, visit: Visit) -> Response:
        """Show the last day's incidents."""
        return self._renderer.page(visit, "_history.html", history=self._history(visit))

    def answer(self, visit: Visit, _fields: Mapping[str, str]) -> Response:
        """Take an incident."""
        self._answer(visit, visit.session.officer)
        return self._done(visit)

    def close(self, visit: Visit, fields: Mapping[str, str]) -> Response:
        """Close an incident with its reason."""
        self._close(visit, visit.session.officer, fields.get("reason", ""))
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
        """List incidents: `state=open` (nobody answered), `answered`, `closed` or `all`."""
        wanted = visit.request.query_params.get("state", "all")
        if wanted not in ("open", "answered", "closed", "all"):
            raise HTTPException(400, "state is one of open, answered, closed, all")
        rows = self._store.alarms.incidents("open" if wanted in ("open", "answered") else "all")
        return JSONResponse({"incidents": [asdict(row) for row in rows if wanted in ("all", row.state)]})

    def api_answer(self, visit: Visit, fields: Mapping[str, str]) -> Response:
        """Answer as a program."""
        return JSONResponse(asdict(self._answer(visit, self._named(visit, fields))))

    def api_close(self, visit: Visit, fields: Mapping[str, str]) -> Response:
        """Close as a program."""
        return JSONResponse(asdict(self._close(visit, self._named(visit, fields), fields.get("reason", ""))))

    def _open(self, visit: Visit) -> list[IncidentView]:
        return [self._view(row, visit) for row in sorted(self._store.alarms.incidents("open"), key=by_urgency)]

    def _history(self, visit: Visit) -> list[IncidentView]:
        since_us = self._now_us() - HISTORY_US
        rows = self._store.alarms.incidents("all", HISTORY_LIMIT)
        return [self._view(row, visit) for row in rows if row.opened_at_us >= since_us]

    def _view(self, row: IncidentRow, visit: Visit) -> IncidentView:
        return incident_view(row, self._places.of(row.pole), visit.words.language)

    def _answer(self, visit: Visit, by: str) -> IncidentRow:
        try:
            return self._store.alarms.answer(visit.request.path_params["incident"], by)
        except ConflictError as exc:
            raise HTTPException(409, str(exc)) from exc

    def _close(self, visit: Visit, by: str, text: str) -> IncidentRow:
        reason = next((known for known in REASONS if known == text), None)
        if reason is None:
            raise HTTPException(400, f"a reason is needed to close: one of {', '.join(REASONS)}")
        try:
            return self._store.alarms.close(visit.request.path_params["incident"], by, reason)
        except ConflictError as exc:
            raise HTTPException(409, str(exc)) from exc

    def _named(self, visit: Visit, fields: Mapping[str, str]) -> str:
        """Return whom the program speaks for, never without the session that it uses."""
        by = clean_name(fields.get("by", "")) or visit.session.officer
        return by if by == visit.session.officer else f"{by} ({visit.session.officer})"

    def _done(self, visit: Visit) -> Response:
        return Response(status_code=204) if visit.wants_fragment else RedirectResponse("/", 303)
