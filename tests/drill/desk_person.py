"""A person at the center who answers and closes while presses come: a close must not swallow a press it crosses."""

import contextlib
import random
import threading

from center.errors import ConflictError, StoreError
from center.store import Store
from center.store.alarms import REASONS


class DeskPerson:
    """`run` is a thread; it uses a connection of its own, as the console does."""

    def __init__(self, store: Store, dice: random.Random) -> None:
        self._store = store
        self._dice = dice
        self.answered = self.closed = 0

    def run(self, stop: threading.Event) -> None:
        while not stop.wait(self._dice.uniform(0.2, 2.0)):
            with contextlib.suppress(StoreError, ConflictError):
                self._work()

    def _work(self) -> None:
        incidents = self._store.alarms.incidents("open")
        if not incidents:
            return
        incident = self._dice.choice(incidents)
        if incident.state == "open":
            self._store.alarms.answer(incident.incident_id, "drill")
            self.answered += 1
        else:
            self._store.alarms.close(incident.incident_id, "drill", self._dice.choice(REASONS))
            self.closed += 1
