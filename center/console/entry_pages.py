"""How a person comes in and leaves, and in which language (ADR 0002)."""

from collections.abc import Mapping

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from center.console.access import SESSION_COOKIE, SESSION_S, EntryLink, clean_name
from center.console.catalogue import choose_language
from center.console.openings import Openings
from center.console.rendering import Renderer
from center.console.visit import LANGUAGE_COOKIE, Gate, Visit, check_csrf, read_body, read_fields

YEAR_S = 365 * 86_400


def safe_back(path: str) -> str:
    """Return a path of our own to go back to, never another site's address."""
    inside = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable() and len(path) < 300
    return path if inside else "/"


class EntryPages:
    """Entry, leaving, language. `link` is None where only certificates are accepted."""

    def __init__(self, gate: Gate, renderer: Renderer, openings: Openings, link: EntryLink | None) -> None:
        self._gate = gate
        self._renderer = renderer
        self._openings = openings
        self._link = link

    def routes(self) -> list[Route]:
        """Return the routes that a stranger may ask, and leaving."""
        return [
            Route("/enter", self.show, methods=["GET"]),
            Route("/enter", self.enter, methods=["POST"]),
            Route("/leave", self._gate.action(self.leave), methods=["POST"]),
            Route("/language", self.language, methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        """Ask for the officer's name when the link fits; the link stays whole until the name is given."""
        if self._gate.session_of(request):
            return RedirectResponse("/", 303)
        token = request.query_params.get("token", "")
        if self._link is None or not self._link.fits(token):
            return self._page(request, "", "enter.link_spent" if token else "", 403 if token else 401)
        return self._page(request, token)

    async def enter(self, request: Request) -> Response:
        """Start the session; the unguessable token is this form's protection against forgery."""
        fields = read_fields(request, await read_body(request))
        token, officer = fields.get("token", ""), clean_name(fields.get("officer", ""))
        if self._link is None or not self._link.fits(token):
            return self._page(request, "", "enter.link_spent", 403)
        if officer is None:
            return self._page(request, token, "enter.name_missing", 400)
        if not await run_in_threadpool(self._link.use, token):
            return self._page(request, "", "enter.link_spent", 403)
        answer = RedirectResponse("/", 303)
        session = self._gate.sessions.start(officer)
        answer.set_cookie(
            SESSION_COOKIE, session.id, max_age=int(SESSION_S), secure=True, httponly=True, samesite="strict"
        )
        return answer

    def leave(self, visit: Visit, _fields: Mapping[str, str]) -> Response:
        """End the session and forget what it opened."""
        self._gate.sessions.end(visit.session.id)
        self._openings.close_session(visit.session.id)
        answer = RedirectResponse("/enter", 303)
        answer.delete_cookie(SESSION_COOKIE, secure=True, httponly=True, samesite="strict")
        return answer

    async def language(self, request: Request) -> Response:
        """Keep the language in a cookie; it changes words only, so a stranger may choose too, without a token."""
        fields = read_fields(request, await read_body(request))
        session = self._gate.session_of(request)
        if session is not None:
            check_csrf(request, fields, session)
        if fields.get("to") != choose_language(fields.get("to")):
            raise HTTPException(400, "this console speaks ko and en")
        answer = RedirectResponse(safe_back(fields.get("back", "/")), 303)
        answer.set_cookie(LANGUAGE_COOKIE, fields["to"], max_age=YEAR_S, secure=True, httponly=True, samesite="strict")
        return answer

    def _page(self, request: Request, token: str, problem: str = "", status: int = 200) -> Response:
        link_file = str(self._link.path) if self._link else ""
        words = self._gate.words_of(request)
        return self._renderer.bare(
            request, words, "enter.html", status, token=token, problem=problem, link_file=link_file
        )
