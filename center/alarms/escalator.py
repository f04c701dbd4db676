"""The worker that raises the steps of unanswered calls; the alarm path never waits for it.

Rules:
* its own thread and its own store; it looks every `LOOK_S`, and the steps due in one look are one short commit: at most
  `MOST_STEPS`, the longest overdue first, for no press may wait behind a city's worth of them (measured: 34 us each);
* what it remembers is only since when each call waits on the monotonic clock; the steps taken are rows, so a restart
  neither repeats nor forgets one;
* a database that fails is asked again at the next look; the beat tells of it.
"""

import logging
import threading
import time
from collections.abc import Callable

from center.alarms.escalation import Ladder, began_mono_s
from center.errors import StoreError
from center.store import Store, WaitingCall
from center.store.escalations import Step

log = logging.getLogger(__name__)

LOOK_S = 0.25
MOST_STEPS = 100


class Escalator:
    """The worker."""

    def __init__(
        self, store: Store, ladder: Ladder, now_us: Callable[[], int], mono_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._ladder = ladder
        self._now_us = now_us
        self._mono_s = mono_s
        self._began: dict[tuple[str, int], float] = {}
        self._last_look: float | None = None

    def run(self, stop: threading.Event) -> None:
        """Look until `stop`."""
        complained = False
        while not stop.wait(LOOK_S):
            try:
                self.run_once()
                complained = False
            except StoreError as error:
                if not complained:
                    log.error("escalation waits for the database error=%s", error)
                complained = True

    def run_once(self) -> int:
        """Raise what is due; return how many steps were raised.

        Raises:
            StoreError: the database cannot be read or written; the next look tries again.
        """
        now_mono_s, now_us = self._mono_s(), self._now_us()
        calls = self._store.escalations.waiting()
        began = {}
        due: list[tuple[WaitingCall, Step, int]] = []
        for call in calls:
            key = (call.incident_id, call.call)
            since = self._began.get(key)
            if since is None:
                since = began_mono_s(call.called_at_us, now_us, now_mono_s, self._last_look)
            began[key] = since
            for step, delay_s in self._ladder.due(now_mono_s - began[key], call.raised):
                due.append((call, step, call.called_at_us + round(delay_s * 1e6)))
        self._began, self._last_look = began, now_mono_s
        due.sort(key=lambda step: step[2])
        raised = self._store.escalations.raise_steps(due[:MOST_STEPS])
        if raised:
            log.warning("unanswered calls escalated steps=%d calls_waiting=%d", raised, len(calls))
        return raised
