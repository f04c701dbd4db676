"""The center's beat: proof, every 10 s, that the center can still store what it promises to store.

Rules: no beat without a commit just before it; a pole that hears none for 35 s says so to the citizen; when the
database comes back, the waiting alarms are stored first and the beat follows.
"""

import logging
import threading
from collections.abc import Callable

from agent.contract.messages import CenterBeat, encode
from agent.contract.topics import CENTER_BEAT
from center.alarms.alarm_desk import AlarmDesk
from center.errors import StoreError
from center.store import Store

log = logging.getLogger(__name__)

BEAT_S = 10.0
RETRY_S = 1.0


class Beat:
    """The worker; `publish` is QoS 0 (topic, payload)."""

    def __init__(
        self,
        store: Store,
        desk: AlarmDesk,
        publish: Callable[[str, bytes], object],
        online: Callable[[], bool],
        now_us: Callable[[], int],
        beat_s: float = BEAT_S,
    ) -> None:
        self._store = store
        self._desk = desk
        self._publish = publish
        self._online = online
        self._now_us = now_us
        self._beat_s = beat_s
        self._seq = 0
        self._failed_since_us: int | None = None

    def run(self, stop: threading.Event) -> None:
        """Beat until `stop`; while the database or broker fails, try each second."""
        while not stop.wait(self._beat_s if self.run_once() else min(RETRY_S, self._beat_s)):
            pass

    def run_once(self) -> bool:
        """Check the database, take up what waited, beat; return whether a beat was sent."""
        try:
            self._store.write_check()
            self._recovered()
        except StoreError as error:
            if self._failed_since_us is None:
                self._failed_since_us = self._now_us()
                log.error("database not writable, the beat stops; look at the disk of state_dir error=%s", error)
            return False
        if self._desk.waiting:
            self._desk.retry()
        if self._desk.waiting or not self._online():
            return False
        self._seq += 1
        self._publish(CENTER_BEAT, encode(CenterBeat(seq=self._seq, at_us=self._now_us())))
        return True

    def _recovered(self) -> None:
        """Leave a trace of an outage that could not be written while it lasted."""
        if self._failed_since_us is None:
            return
        since_us = self._failed_since_us
        self._store.events.append("center", {"state": "store-recovered", "since_us": since_us})
        self._failed_since_us = None
        log.info("database writable again since_us=%d", since_us)
