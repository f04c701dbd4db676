"""One pole: what it says of itself, its faults with the next step, and its cameras' time without a hole.

Rules: the window is the last hour, the last day, or the minutes around an instant (`?at=<UTC us>`, a press);
the list names every recording of a window around a press and the newest `LIST_LIMIT` of the others.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from center.console.fault_view import fault_views, worst_mark
from center.console.footage import AFTER_US, BEFORE_US, Footage
from center.console.page_parts import PageParts
from center.console.pole_facts import CameraFacts, camera_facts, pole_groups
from center.console.poles_pages import pole_state
from center.console.rendering import CIVIL_TIME
from center.console.timeline import Bar, Span, bars, cover, ticks
from center.console.visit import Visit
from center.store import PoleRow, TimelineSpan

SECOND_US = 1_000_000
MARGIN_US = 240 * SECOND_US
LIST_LIMIT = 30
LATEST_US = 4_102_444_800 * SECOND_US  # the year 2100: what lies beyond is a typing error


@dataclass(frozen=True)
class Window:
    """What the timeline shows; `press_us` is the instant asked for."""

    name: str
    start_us: int
    end_us: int
    tick_s: int
    press_us: int | None = None

    @property
    def list_span(self) -> tuple[int, int]:
        """The span whose recordings are listed."""
        if self.press_us is None:
            return self.start_us, self.end_us
        return self.press_us - BEFORE_US, self.press_us + AFTER_US


@dataclass(frozen=True)
class CameraTime:
    """One camera's timeline, drawn."""

    camera: str
    bars: list[Bar]
    ticks: list[tuple[float, int]]
    gaps: list[Span]
    press_x: float | None
    covered_percent: float


@dataclass(frozen=True)
class RecordingLine:
    """One recording or gap in the list."""

    camera: str
    kind: str
    start_us: int
    seconds: float
    segment: str
    stored: bool
    cause: str


def civil_instant(text: str) -> str:
    """Return the instant of `2026-11-20T20:05` in the poles' civil time as UTC microseconds, "" when it is none."""
    try:
        return str(round(datetime.fromisoformat(text[:19]).replace(tzinfo=CIVIL_TIME).timestamp() * SECOND_US))
    except (ValueError, OverflowError):
        return ""


def choose_window(name: str, at: str, now_us: int) -> Window:
    """Return the window that the address asks for; anything odd is the last hour."""
    if at.isascii() and at.isdigit() and 0 < len(at) <= 16 and int(at) < LATEST_US:
        press_us = int(at)
        start_us = press_us - BEFORE_US - MARGIN_US
        return Window("press", start_us, press_us + AFTER_US + MARGIN_US, 60, press_us)
    if name == "day":
        return Window("day", now_us - 86_400 * SECOND_US, now_us, 3600 * 3)
    return Window("hour", now_us - 3600 * SECOND_US, now_us, 600)


def camera_time(camera: str, told: list[TimelineSpan], window: Window) -> CameraTime:
    """Return one camera's timeline over the window."""
    known = [Span(span.kind, span.start_us, span.end_us, span.cause) for span in told]
    spans = cover(known, window.start_us, window.end_us)
    recorded_s = sum(span.seconds for span in spans if span.kind in ("segment", "torn"))
    press_x = None
    if window.press_us is not None:
        press_x = round((window.press_us - window.start_us) / (window.end_us - window.start_us) * 1000, 1)
    return CameraTime(
        camera,
        bars(spans, window.start_us, window.end_us),
        ticks(window.start_us, window.end_us, window.tick_s),
        [span for span in spans if span.kind == "gap"],
        press_x,
        100 * recorded_s * SECOND_US / (window.end_us - window.start_us),
    )


def recording_lines(told: dict[str, list[TimelineSpan]], window: Window) -> list[RecordingLine]:
    """Return what the list shows, newest first; around a press in the order of time."""
    first, last = window.list_span
    lines = [
        RecordingLine(
            camera,
            span.kind,
            span.start_us,
            (span.end_us - span.start_us) / SECOND_US,
            span.segment,
            span.stored,
            span.cause,
        )
        for camera, spans in told.items()
        for span in spans
        if span.start_us < last and span.end_us > first
    ]
    lines.sort(key=lambda line: (line.start_us, line.camera), reverse=window.press_us is None)
    return lines if window.press_us is not None else lines[:LIST_LIMIT]


class PolePages:
    """The page of one pole."""

    def __init__(self, parts: PageParts, footage: Footage) -> None:
        self._parts = parts
        self._footage = footage

    def routes(self) -> list[Route]:
        """Return the page's routes."""
        return [
            Route("/poles/{pole}", self._parts.gate.page(self.page)),
            Route("/fragments/poles/{pole}", self._parts.gate.page(self.fragment)),
        ]

    def page(self, visit: Visit) -> Response:
        """Show the pole: its state, and its recordings in the window."""
        row = self._row(visit)
        query = visit.request.query_params
        window = choose_window(
            query.get("window", ""), query.get("at") or civil_instant(query.get("when", "")), self._parts.now_us()
        )
        told = {
            camera: self._footage.told(row.pole, camera, window.start_us, window.end_us)
            for camera in self._footage.cameras(row)
        }
        return self._parts.renderer.page(
            visit,
            "pole.html",
            strip=self._parts.strip.read(),
            window=window,
            list_limit=LIST_LIMIT if window.press_us is None else 0,
            times=[camera_time(camera, spans, window) for camera, spans in told.items()],
            recordings=recording_lines(told, window),
            **self._state(visit, row),
        )

    def fragment(self, visit: Visit) -> Response:
        """Show the pole's state alone, for the live page."""
        return self._parts.renderer.page(visit, "_pole_state.html", **self._state(visit, self._row(visit)))

    def _state(self, visit: Visit, row: PoleRow) -> dict[str, Any]:
        heartbeat = row.heartbeat
        cameras: list[CameraFacts] = []
        if heartbeat is not None:
            cameras = [
                camera_facts(name, told, row.silent, visit.words) for name, told in sorted(heartbeat.cameras.items())
            ]
        return {
            "pole": row,
            "place": self._parts.places.of(row.pole),
            "spot": self._parts.places.spot(row.pole),
            "state": pole_state(row),
            "mark_name": "critical" if row.silent else worst_mark(row.faults),
            "faults": fault_views(row.faults, visit.words, self._parts.now_us()),
            "cameras": cameras,
            "groups": pole_groups(heartbeat, visit.words) if heartbeat else [],
        }

    def _row(self, visit: Visit) -> PoleRow:
        row = self._parts.store.poles.get(visit.request.path_params["pole"])
        if row is None:
            raise HTTPException(404, "this pole has never been heard")
        return row
