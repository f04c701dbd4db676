"""Turns a template and a visit into an answer: escaping always on, every word from the catalogue, times in KST.

Rules: an undefined name raises; nothing is marked safe but what our own templates write; a time is shown in the
civil time of the poles (Asia/Seoul) and carries its UTC instant in `datetime`.
"""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse

from center.console.access import Session
from center.console.catalogue import Catalogue
from center.console.visit import Visit

TEMPLATES_DIR = Path(__file__).parent / "templates"
CIVIL_TIME = ZoneInfo("Asia/Seoul")
UNITS = ("B", "kB", "MB", "GB", "TB")


def utc_us() -> int:
    """Return UTC in microseconds since 1970."""
    return time.time_ns() // 1000


def _civil(at_us: int) -> datetime:
    return datetime.fromtimestamp(at_us / 1_000_000, UTC).astimezone(CIVIL_TIME)


def stamp(at_us: int) -> str:
    """Return `2026-11-20 20:05:22`."""
    return _civil(at_us).strftime("%Y-%m-%d %H:%M:%S")


def clock_time(at_us: int) -> str:
    """Return `20:05:22`."""
    return _civil(at_us).strftime("%H:%M:%S")


def minute_time(at_us: int) -> str:
    """Return `20:05`."""
    return _civil(at_us).strftime("%H:%M")


def iso(at_us: int) -> str:
    """Return the instant for the `datetime` attribute."""
    return datetime.fromtimestamp(at_us / 1_000_000, UTC).isoformat(timespec="seconds")


def stopwatch(seconds: float) -> str:
    """Return `04:07` or `1:04:07`."""
    whole = max(0, int(seconds))
    hours, rest = divmod(whole, 3600)
    return (f"{hours}:" if hours else "") + f"{rest // 60:02d}:{rest % 60:02d}"


def amount(count: float) -> str:
    """Return a number of bytes in the unit a person reads: `4.2 MB`."""
    step = 0
    while count >= 1000 and step < len(UNITS) - 1:
        count /= 1000
        step += 1
    return f"{count:.0f} {UNITS[step]}" if step == 0 else f"{count:.1f} {UNITS[step]}"


def grouped(number: int) -> str:
    """Return `1,234,567`."""
    return f"{number:,}"


FILTERS: Mapping[str, Callable[..., str]] = {
    "stamp": stamp,
    "clock_time": clock_time,
    "minute_time": minute_time,
    "iso": iso,
    "stopwatch": stopwatch,
    "amount": amount,
    "grouped": grouped,
}


class Renderer:
    """Our templates. `simulation` shows the demo's own controls."""

    def __init__(self, simulation: bool, now_us: Callable[[], int] = utc_us, directory: Path = TEMPLATES_DIR) -> None:
        self._simulation = simulation
        self._now_us = now_us
        self._env = jinja2.Environment(
            loader=jinja2.FileSystemLoader(directory),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._env.filters.update(FILTERS)

    def page(self, visit: Visit, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        """Render for a known person."""
        return self.bare(visit.request, visit.words, template, status, session=visit.session, **values)

    def bare(
        self,
        request: Request,
        words: Catalogue,
        template: str,
        status: int = 200,
        session: Session | None = None,
        **values: Any,
    ) -> HTMLResponse:
        """Render for anybody: the entry page and errors."""
        now_us = self._now_us()
        html = self._env.get_template(template).render(
            t=words.text,
            code=words.code,
            language=words.language,
            ago=lambda at_us: words.ago((now_us - at_us) / 1_000_000),
            now_us=now_us,
            session=session,
            csrf=session.csrf if session else "",
            path=request.url.path,
            back=f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path,
            simulation=self._simulation,
            **values,
        )
        return HTMLResponse(html, status)
