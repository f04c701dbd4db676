"""One request of one known person: who asks, in which language, and whether they really meant it.

Rules:
* without a session a page sends the browser to the entry page, everything else answers 401;
* every POST carries the session's CSRF token (form field `csrf` or header `X-CSRF-Token`), else 403, before any effect;
* bodies are bounded; handlers are plain functions and run in the thread pool, never on the event loop.
"""

import hmac
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from center.console.access import SESSION_COOKIE, Session, Sessions, person_of
from center.console.catalogue import Catalogue, choose_language

LANGUAGE_COOKIE = "__Host-language"
MAX_BODY = 16 * 1024
QUIET_PREFIXES = ("/fragments/", "/api/", "/events", "/openings/")

Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class Visit:
    """What a page handler gets."""

    request: Request
    session: Session
    words: Catalogue

    @property
    def wants_fragment(self) -> bool:
        """Whether our own script asked, which stays on its page whatever we answer."""
        return "x-fragment" in self.request.headers


class Gate:
    """Lets people in: turns handlers into endpoints that know the session, the language and the CSRF rule."""

    def __init__(self, sessions: Sessions, catalogues: Mapping[str, Catalogue]) -> None:
        self.sessions = sessions
        self._catalogues = catalogues

    def session_of(self, request: Request) -> Session | None:
        """Return the session by certificate or by cookie, None for a stranger."""
        person = person_of(getattr(request.state, "peer", None))
        if person:
            return self.sessions.of_person(person)
        return self.sessions.get(request.cookies.get(SESSION_COOKIE))

    def words_of(self, request: Request) -> Catalogue:
        """Return the catalogue of the visitor's language."""
        return self._catalogues[choose_language(request.cookies.get(LANGUAGE_COOKIE))]

    def visit(self, request: Request) -> Visit | None:
        """Return the visit of a known person."""
        session = self.session_of(request)
        return Visit(request, session, self.words_of(request)) if session else None

    def page(self, handler: Callable[[Visit], Response]) -> Endpoint:
        """Return an endpoint for GET."""

        async def endpoint(request: Request) -> Response:
            visit = self.visit(request)
            if visit is None:
                return refuse(request)
            return await run_in_threadpool(handler, visit)

        return endpoint

    def action(self, handler: Callable[[Visit, Mapping[str, str]], Response]) -> Endpoint:
        """Return an endpoint for POST: session, then body, then CSRF, then the handler with the typed fields."""

        async def endpoint(request: Request) -> Response:
            visit = self.visit(request)
            if visit is None:
                return refuse(request)
            fields = read_fields(request, await read_body(request))
            check_csrf(request, fields, visit.session)
            return await run_in_threadpool(handler, visit, fields)

        return endpoint


def check_csrf(request: Request, fields: Mapping[str, str], session: Session) -> None:
    """Let only a form of this session through.

    Raises:
        HTTPException: 403, the token is missing or another's.
    """
    token = request.headers.get("x-csrf-token") or fields.get("csrf", "")
    if not hmac.compare_digest(token.encode(), session.csrf.encode()):
        raise HTTPException(403, "the csrf token is missing or not this session's")


def refuse(request: Request) -> Response:
    """Answer a stranger."""
    path = request.url.path
    if request.method != "GET" or path.startswith(QUIET_PREFIXES):
        return JSONResponse({"status": 401, "code": "no-session", "detail": "enter the console first"}, 401)
    return RedirectResponse("/enter", 303)


async def read_body(request: Request) -> bytes:
    """Return the body, at most `MAX_BODY`.

    Raises:
        HTTPException: 413, it is larger.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise HTTPException(413, "the form is too large")
    return bytes(body)


def read_fields(request: Request, body: bytes) -> dict[str, str]:
    """Read an urlencoded form, or a JSON object of texts, as fields; the first value of a name counts.

    Raises:
        HTTPException: 400, neither of them.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    try:
        if kind == "application/json":
            return _texts(json.loads(body or b"{}"))
        return {name: values[0] for name, values in parse_qs(body.decode(), max_num_fields=20).items()}
    except ValueError as exc:
        raise HTTPException(400, "the body is neither a form nor a JSON object") from exc


def _texts(document: Any) -> dict[str, str]:
    if not isinstance(document, dict):
        raise ValueError("not an object")
    return {str(name): value for name, value in document.items() if isinstance(value, str)}
