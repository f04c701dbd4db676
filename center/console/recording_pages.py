"""One recording: what is known of it, and its picture once a reason is given and written down (R-LEDGER)."""

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from center.console.byte_range import ByteRange, UnsatisfiableRangeError, parse_range
from center.console.openings import Opening, Openings
from center.console.places import Places
from center.console.rendering import Renderer
from center.console.status_strip import StatusStrip
from center.console.visit import Gate, Visit
from center.errors import ConflictError, SealError, StoreError
from center.store import Store, StoredObject

LEAST_REASON = 4
MOST_REASON = 500
LEDGER_PAGE = 200


def typed_reason(fields: Mapping[str, str]) -> str | None:
    """Return the reason as typed, white space put in order, None when there is none worth the name."""
    reason = " ".join(fields.get("reason", "").split())
    return reason if LEAST_REASON <= len(reason) <= MOST_REASON else None


def record_of(stored: StoredObject) -> tuple[dict[str, Any], str]:
    """Return the pole's record as fields and as readable text; a record that is no JSON is shown as it is."""
    try:
        fields = msgspec.json.decode(stored.record)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}, stored.record.decode(errors="replace")
    readable = msgspec.json.format(stored.record, indent=2).decode(errors="replace")
    return (fields if isinstance(fields, dict) else {}), readable


def part_of(content: bytes, header: str | None) -> tuple[int, bytes, dict[str, str]]:
    """Return status, body and headers for a request of `content` with this Range header."""
    try:
        span = parse_range(header, len(content))
    except UnsatisfiableRangeError:
        return 416, b"", {"Content-Range": f"bytes */{len(content)}"}
    headers = {"Accept-Ranges": "bytes"}
    if span is None:
        span, status = ByteRange(0, len(content)), 200
    else:
        status = 206
        headers["Content-Range"] = span.content_range(len(content))
    return status, content[span.start : span.end], headers


class RecordingPages:
    """Recordings, openings and the ledger."""

    def __init__(
        self, gate: Gate, renderer: Renderer, store: Store, strip: StatusStrip, places: Places, openings: Openings
    ) -> None:
        self._gate = gate
        self._renderer = renderer
        self._store = store
        self._strip = strip
        self._places = places
        self._openings = openings

    def routes(self) -> list[Route]:
        """Return these pages' routes."""
        page, action = self._gate.page, self._gate.action
        return [
            Route("/recordings/{segment}", page(self.recording)),
            Route("/recordings/{segment}/open", action(self.open), methods=["POST"]),
            Route("/openings/{opening}", page(self.opening)),
            Route("/openings/{opening}/video", page(self.video)),
            Route("/ledger", page(self.ledger)),
        ]

    def recording(self, visit: Visit) -> Response:
        """Show what is known of a recording, and ask for the reason."""
        return self._show(visit, self._stored(visit))

    def open(self, visit: Visit, fields: Mapping[str, str]) -> Response:
        """Open the recording for a reason: the ledger row first, then the bytes."""
        stored = self._stored(visit)
        reason = typed_reason(fields)
        if reason is None:
            return self._show(visit, stored, 400, "recording.reason_missing")
        try:
            opening = self._openings.open(stored.segment, visit.session, reason)
        except SealError as exc:
            return self._show(visit, stored, 409, "recording.refused", str(exc))
        except StoreError as exc:
            return self._show(visit, stored, 503, "recording.not_written", str(exc))
        return RedirectResponse(f"/openings/{opening.id}", 303)

    def opening(self, visit: Visit) -> Response:
        """Show the player."""
        opening = self._opening(visit)
        stored = self._store.objects.get(opening.permitted.file)
        if stored is None:
            raise HTTPException(404, "the recording is gone")
        return self._show(visit, stored, opening=opening)

    def video(self, visit: Visit) -> Response:
        """Send the clear bytes, whole or the range asked for, to the session that opened them."""
        opening = self._opening(visit)
        status, body, headers = part_of(opening.content(), visit.request.headers.get("range"))
        return Response(body, status, headers={**headers, "Cache-Control": "no-store"}, media_type="video/mp4")

    def ledger(self, visit: Visit) -> Response:
        """Show the ledger, newest first, and whether its chain of hashes stands."""
        before = visit.request.query_params.get("before", "")
        limit = int(before) if before.isascii() and before.isdigit() and len(before) < 16 else None
        rows = self._store.ledger.list(LEDGER_PAGE, limit)
        try:
            count, newest = self._store.ledger.verify()
            broken = ""
        except ConflictError as exc:
            count, newest, broken = 0, "", str(exc)
        return self._renderer.page(
            visit,
            "ledger.html",
            strip=self._strip.read(),
            rows=rows,
            count=count,
            newest=newest,
            broken=broken,
            older=rows[-1].id if rows and rows[-1].id > 1 else None,
        )

    def _show(
        self,
        visit: Visit,
        stored: StoredObject,
        status: int = 200,
        problem: str = "",
        detail: str = "",
        opening: Opening | None = None,
    ) -> Response:
        fields, readable = record_of(stored)
        return self._renderer.page(
            visit,
            "recording.html",
            status,
            strip=self._strip.read(),
            stored=stored,
            place=self._places.of(stored.pole),
            record=fields,
            readable=readable,
            opening=opening,
            problem=problem,
            detail=detail,
            least=LEAST_REASON,
            most=MOST_REASON,
        )

    def _stored(self, visit: Visit) -> StoredObject:
        stored = self._store.objects.get(visit.request.path_params["segment"])
        if stored is None:
            raise HTTPException(404, "the center does not hold this recording")
        return stored

    def _opening(self, visit: Visit) -> Opening:
        opening = self._openings.get(visit.request.path_params["opening"], visit.session)
        if opening is None:
            raise HTTPException(404, "this opening is over; open the recording again with its reason")
        return opening
