"""Carries what people did at the console to the poles: the store's down queue -> `down/<kind>` -> PUBACK.

Rules:
* the store is asked for its `data_version` every `POLL_S`, which costs microseconds; rows are read only when it moved;
* a row is marked published after the broker's PUBACK, never before; killed in between, it is sent again;
* after each connect the newest word on each incident of the last hour goes out again: a killed broker forgets what
  it had acknowledged (FACTS), and a pole that hears a word twice does nothing.
"""

import logging
import queue
import threading
from collections.abc import Callable

from agent.contract.topics import down
from center.errors import StoreError
from center.store import Store

log = logging.getLogger(__name__)

POLL_S = 0.05
REQUEUE_US = 3600 * 1_000_000


class Answers:
    """The worker; `connected` and `acknowledged` may be called from the network thread and return at once."""

    def __init__(self, store: Store, publish: Callable[[str, bytes], int], now_us: Callable[[], int]) -> None:
        self._store = store
        self._publish = publish
        self._now_us = now_us
        self._in_flight: dict[int, int] = {}
        self._acknowledged: queue.SimpleQueue[tuple[int, bool]] = queue.SimpleQueue()
        self._connected = threading.Event()
        self._version = -1

    def connected(self) -> None:
        """Note that the session is up again."""
        self._connected.set()

    def acknowledged(self, mid: int, failed: bool) -> None:
        """Note a PUBACK of the session; ids that are not ours are passed over."""
        self._acknowledged.put((mid, failed))

    def run(self, stop: threading.Event) -> None:
        """Work until `stop`; a store that fails is asked again."""
        complained = False
        while not stop.wait(POLL_S):
            try:
                self.run_once()
                complained = False
            except StoreError as error:
                if not complained:
                    log.error("answers wait for the database error=%s", error)
                complained = True

    def run_once(self) -> None:
        """Mark what was acknowledged, then publish what waits.

        Raises:
            StoreError: the database cannot be read or written; nothing is lost.
        """
        self._mark()
        if self._connected.is_set():
            self._store.alarms.requeue(self._now_us() - REQUEUE_US)
            self._connected.clear()
            self._version = -1
        version = self._store.database.data_version()
        if version == self._version:
            return
        sent = set(self._in_flight.values())
        for row in self._store.alarms.down_queue():
            if row.id not in sent:
                self._in_flight[self._publish(down(row.pole, row.kind), row.payload)] = row.id
        self._version = version

    def _mark(self) -> None:
        """Mark rows in the order of their PUBACKs; one that the store refuses is kept for the next round."""
        while not self._acknowledged.empty():
            mid, failed = self._acknowledged.get()
            row_id = self._in_flight.get(mid)
            if row_id is None:
                continue
            try:
                if not failed:
                    self._store.alarms.published(row_id)
            except StoreError:
                self._acknowledged.put((mid, failed))
                raise
            del self._in_flight[mid]
