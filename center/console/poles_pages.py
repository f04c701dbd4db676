"""All poles, worst first: where the crew's day begins (R-MAINT).

Rules: the order is `ranking.pole_score`; the list is read at most every `CACHE_S` however many screens show it;
a page shows `PAGE` poles, a search names the others.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from starlette.responses import Response
from starlette.routing import Route

from center.console.fault_view import FaultView, fault_views, ranked, worst_mark
from center.console.places import Places
from center.console.ranking import pole_score
from center.console.rendering import Renderer
from center.console.status_strip import StatusStrip
from center.console.visit import Gate, Visit
from center.store import PoleRow, Store
from center.store.poles import SILENT, decoded

CACHE_S = 2.0
PAGE = 50


@dataclass(frozen=True)
class PoleLine:
    """One line of the list. `state` is ok, faulty or silent; `backlog` None when the pole did not say."""

    id: str
    place: str
    state: str
    mark: str
    seen_us: int
    faults: list[FaultView]
    cameras: int
    recording: int
    backlog: int | None


@dataclass(frozen=True)
class Counts:
    """How many poles are how."""

    all: int
    ok: int
    faulty: int
    silent: int


def pole_state(row: PoleRow) -> str:
    """Return ok, faulty or silent."""
    if row.silent:
        return "silent"
    return "faulty" if row.faults else "ok"


def count(rows: list[PoleRow]) -> Counts:
    """Count the poles by state."""
    states = [pole_state(row) for row in rows]
    return Counts(len(rows), states.count("ok"), states.count("faulty"), states.count("silent"))


def worst_first(rows: list[PoleRow], now_us: int) -> list[PoleRow]:
    """Return the poles in the order in which they need a person; equals by name."""

    def key(row: PoleRow) -> tuple[float, str]:
        silent_s = (now_us - row.seen_at_us) / 1_000_000 if row.silent else None
        faults = (ranked(fault, now_us) for fault in row.faults if fault.code != SILENT)
        return -pole_score(faults, silent_s), row.pole

    return sorted(rows, key=key)


class PoleBoard:
    """The ranked list, kept for `CACHE_S` between the screens that show it."""

    def __init__(self, store: Store, now_us: Callable[[], int], mono_s: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._now_us = now_us
        self._mono_s = mono_s
        self._lock = threading.Lock()
        self._read_at_mono_s = float("-inf")
        self._rows: list[PoleRow] = []

    def rows(self) -> list[PoleRow]:
        """Return every pole, worst first, its heartbeat not yet read."""
        with self._lock:
            if self._mono_s() - self._read_at_mono_s > CACHE_S:
                self._rows = worst_first(list(self._store.poles.list(decode=False)), self._now_us())
                self._read_at_mono_s = self._mono_s()
            return self._rows


class PolesPages:
    """The list of poles."""

    def __init__(
        self,
        gate: Gate,
        renderer: Renderer,
        board: PoleBoard,
        strip: StatusStrip,
        places: Places,
        now_us: Callable[[], int],
    ) -> None:
        self._gate = gate
        self._renderer = renderer
        self._board = board
        self._strip = strip
        self._places = places
        self._now_us = now_us

    def routes(self) -> list[Route]:
        """Return the list's routes."""
        return [Route("/poles", self._gate.page(self.page)), Route("/fragments/poles", self._gate.page(self.fragment))]

    def page(self, visit: Visit) -> Response:
        """Show the list with its frame."""
        return self._show(visit, "poles.html")

    def fragment(self, visit: Visit) -> Response:
        """Show the list alone."""
        return self._show(visit, "_poles.html")

    def _show(self, visit: Visit, template: str) -> Response:
        rows = self._board.rows()
        query = visit.request.query_params.get("q", "").strip()[:80]
        found = [row for row in rows if self._fits(row, query)]
        return self._renderer.page(
            visit,
            template,
            strip=self._strip.read(),
            counts=count(rows),
            query=query,
            poles=[self._line(decoded(row), visit) for row in found[:PAGE]],
            hidden=max(0, len(found) - PAGE),
        )

    def _fits(self, row: PoleRow, query: str) -> bool:
        return query.casefold() in f"{row.pole} {self._places.of(row.pole)}".casefold()

    def _line(self, row: PoleRow, visit: Visit) -> PoleLine:
        heartbeat = row.heartbeat
        cameras = heartbeat.cameras.values() if heartbeat else ()
        return PoleLine(
            id=row.pole,
            place=self._places.of(row.pole),
            state=pole_state(row),
            mark="critical" if row.silent else worst_mark(row.faults),
            seen_us=row.seen_at_us,
            faults=fault_views(row.faults, visit.words, self._now_us()),
            cameras=len(cameras),
            recording=0 if row.silent else sum(camera.state == "recording" for camera in cameras),
            backlog=heartbeat.spool.pending_segments if heartbeat and heartbeat.spool else None,
        )
