"""One thread watches the store's events and hands them to every open page.

Rules:
* the store is asked every `POLL_S` by one thread, however many pages are open;
* a page's queue is bounded; a page that does not keep up is dropped and reconnects with its last id;
* a store that cannot be read ends the feed and, through `on_failure`, the process: systemd starts it afresh;
* a page first listens, then reads what it missed, then skips what it has already seen: no hole, no double.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from center.errors import StoreError
from center.store import EventRow

log = logging.getLogger(__name__)

POLL_S = 0.03  # half of it is added to each alarm on its way to a screen; one look takes some 20 us
QUEUE_SIZE = 100
REPLAY_LIMIT = 500
LOOK_BACK = 2000


class EventSource(Protocol):
    """Where events come from."""

    def after(self, event_id: int, limit: int) -> Sequence[EventRow]:
        """Return the events after `event_id`, oldest first."""
        ...

    def newest(self) -> int:
        """Return the newest id, 0 when there is none."""
        ...


class Subscriber:
    """One page's queue; `None` in it means: you were dropped, or the console ends."""

    def __init__(self, loop: asyncio.AbstractEventLoop, size: int = QUEUE_SIZE) -> None:
        self.queue: asyncio.Queue[EventRow | None] = asyncio.Queue(size + 1)
        self.dropped = False
        self._loop = loop
        self._size = size

    def offer(self, event: EventRow | None) -> None:
        """Pass an event from the feed's thread; never blocks."""
        try:
            self._loop.call_soon_threadsafe(self._put, event)
        except RuntimeError:  # the loop has ended: nobody is left to tell
            self.dropped = True

    def _put(self, event: EventRow | None) -> None:
        if self.dropped:
            return
        if event is None or self.queue.qsize() >= self._size:
            self.dropped = True
            event = None
        self.queue.put_nowait(event)


class Feed:
    """Watches the store and feeds the subscribers. `source` is opened inside the thread, which owns it."""

    def __init__(
        self, open_source: Callable[[], EventSource], on_failure: Callable[[], object], poll_s: float = POLL_S
    ) -> None:
        self._open_source = open_source
        self._on_failure = on_failure
        self._poll_s = poll_s
        self._stop = threading.Event()
        self._subscribers: frozenset[Subscriber] = frozenset()  # replaced whole, by the event loop only
        self._latest_us: dict[str, int] = {}
        self._thread = threading.Thread(target=self._run, name="console-feed", daemon=True)

    def start(self) -> None:
        """Start watching."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and every stream; returns at once."""
        self._stop.set()
        self._tell(None)

    def subscribe(self) -> Subscriber:
        """Add a page; call from the event loop."""
        subscriber = Subscriber(asyncio.get_running_loop())
        self._subscribers = self._subscribers | {subscriber}
        return subscriber

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """Forget a page."""
        self._subscribers = self._subscribers - {subscriber}

    @property
    def listeners(self) -> int:
        """How many pages listen."""
        return len(self._subscribers)

    @property
    def alive(self) -> bool:
        """Whether the thread still watches; a dead feed must be visible on every page."""
        return self._thread.is_alive() and not self._stop.is_set()

    def latest_us(self, kind: str | None = None) -> int | None:
        """Return when the newest event of a kind (of any, without one) was written, None when none is known."""
        latest = self._latest_us
        return latest.get(kind) if kind else max(latest.values(), default=None)

    def _run(self) -> None:
        try:
            self._watch()
        except StoreError:
            log.exception("event feed failed")
            self._on_failure()

    def _watch(self) -> None:
        source = self._open_source()
        seen = source.newest()
        for event in source.after(max(0, seen - LOOK_BACK), LOOK_BACK):
            self._note(event)
        while not self._stop.wait(self._poll_s):
            for event in source.after(seen, REPLAY_LIMIT):
                seen = event.id
                self._note(event)
                self._tell(event)

    def _note(self, event: EventRow) -> None:
        self._latest_us = {**self._latest_us, event.kind: event.at_us}

    def _tell(self, event: EventRow | None) -> None:
        for subscriber in self._subscribers:
            subscriber.offer(event)
