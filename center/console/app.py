"""The console as one ASGI application: routes, headers, and errors in words."""

from collections.abc import Sequence
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles

from center.console.rendering import Renderer
from center.console.security_headers import SecurityHeaders
from center.console.visit import QUIET_PREFIXES, Gate
from center.errors import SealError, StoreError

STATIC_DIR = Path(__file__).parent / "static"


class Errors:
    """Turns errors into pages for people, JSON for programs and for our own script."""

    def __init__(self, gate: Gate, renderer: Renderer) -> None:
        self._gate = gate
        self._renderer = renderer

    def refused(self, request: Request, exc: Exception) -> Response:
        """Answer an error that a handler named."""
        assert isinstance(exc, HTTPException)
        return self._answer(request, exc.status_code, exc.detail)

    def unsealed(self, request: Request, exc: Exception) -> Response:
        """Answer when a recording that was opened can no longer be given out."""
        return self._answer(request, 409, str(exc))

    def store_down(self, request: Request, exc: Exception) -> Response:
        """Answer when the database does not take or give."""
        return self._answer(request, 503, str(exc))

    def _answer(self, request: Request, status: int, detail: str) -> Response:
        if request.url.path.startswith(QUIET_PREFIXES) or "x-fragment" in request.headers:
            return JSONResponse({"status": status, "detail": detail}, status)
        words = self._gate.words_of(request)
        return self._renderer.bare(request, words, "error.html", status, detail=detail, code_of=str(status))


def build_app(gate: Gate, renderer: Renderer, routes: Sequence[BaseRoute]) -> Starlette:
    """Return the application."""
    errors = Errors(gate, renderer)
    return Starlette(
        routes=[*routes, Mount("/static", StaticFiles(directory=STATIC_DIR))],
        middleware=[Middleware(SecurityHeaders)],
        exception_handlers={
            HTTPException: errors.refused,
            SealError: errors.unsealed,
            StoreError: errors.store_down,
        },
    )
