"""`/events`: what changed, as Server-Sent Events (HTML standard, section 9.2).

Rules:
* each `change` carries the store's event id, so a page that comes back says where it stopped and misses nothing;
* every `BEAT_S` a comment keeps the connection open and a `beat` event lets the page see that it is (a comment
  is invisible to a script);
* an event tells kind and id only; what it means is rendered by the pages themselves.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from center.console.feed import REPLAY_LIMIT, Feed, Subscriber
from center.console.visit import Gate, refuse
from center.store import EventRow

BEAT_S = 5.0
RETRY_MS = 1500


def frame(event: EventRow) -> bytes:
    """Return one event as SSE lines."""
    return f"id: {event.id}\nevent: change\ndata: {json.dumps({'kind': event.kind, 'id': event.id})}\n\n".encode()


def beat(now_us: int) -> bytes:
    """Return the comment and the event that say: still here."""
    return f": ping\n\nevent: beat\ndata: {now_us}\n\n".encode()


def last_event_id(request: Request) -> int | None:
    """Return where the page stopped, None when it starts."""
    text = request.headers.get("last-event-id", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None


class EventStream:
    """The endpoint. `replay` reads the store's events after an id and runs in the thread pool."""

    def __init__(
        self,
        gate: Gate,
        feed: Feed,
        replay: Callable[[int, int], Sequence[EventRow]],
        now_us: Callable[[], int],
        beat_s: float = BEAT_S,
    ) -> None:
        self._gate = gate
        self._feed = feed
        self._replay = replay
        self._now_us = now_us
        self._beat_s = beat_s

    async def endpoint(self, request: Request) -> Response:
        """Open a stream for a known person."""
        session = self._gate.session_of(request)
        if session is None:
            return refuse(request)
        lines = self._lines(last_event_id(request), request)
        return StreamingResponse(lines, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})

    async def _lines(self, seen: int | None, request: Request) -> AsyncIterator[bytes]:
        subscriber = self._feed.subscribe()
        try:
            yield f"retry: {RETRY_MS}\n\n".encode() + beat(self._now_us())
            if seen is not None:
                for event in await run_in_threadpool(self._replay, seen, REPLAY_LIMIT):
                    seen = event.id
                    yield frame(event)
            async for line in self._live(subscriber, seen or 0, request):
                yield line
        finally:
            self._feed.unsubscribe(subscriber)

    async def _live(self, subscriber: Subscriber, seen: int, request: Request) -> AsyncIterator[bytes]:
        """Yield until the page falls behind, the console ends, the feed dies or the session is over."""
        while self._feed.alive and self._gate.session_of(request):
            try:
                event = await asyncio.wait_for(subscriber.queue.get(), self._beat_s)
            except TimeoutError:
                yield beat(self._now_us())
                continue
            if event is None:
                return
            if event.id > seen:
                seen = event.id
                yield frame(event)
