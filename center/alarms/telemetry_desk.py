"""Where heartbeats and session states are taken in, beside the alarms and never in their way.

Rules:
* its store is not durable at each commit: a heartbeat lost in a power cut is said again within its interval;
* a message that cannot be stored is dropped and logged once an outage; a damaged one is quarantined;
* a pole that comes back (a fresh birth, not the retained one) is told again what was answered while it was gone;
* the center judges silence only while it listens itself: `listening` moves when the session comes up.
"""

import logging
from collections.abc import Callable

from agent.contract.errors import ContractError
from agent.contract.messages import Heartbeat, Status, decode
from agent.contract.topics import pole_of
from center.alarms.alarm_desk import check_sender
from center.alarms.paho_session import Incoming
from center.errors import StoreError
from center.store import Store

log = logging.getLogger(__name__)

REQUEUE_US = 24 * 3600 * 1_000_000


class TelemetryDesk:
    """Takes heartbeats and states."""

    def __init__(self, store: Store, now_us: Callable[[], int]) -> None:
        self._store = store
        self._now_us = now_us
        self._complained = False
        self._listening_since_us: int | None = None

    def listening(self, heard: bool) -> None:
        """Note that the session came up (True) or was lost (False)."""
        self._listening_since_us = self._now_us() if heard else None

    def take(self, incoming: Incoming) -> None:
        """Store one heartbeat or state."""
        try:
            self._settle(incoming)
            self._complained = False
        except StoreError as error:
            if not self._complained:
                log.error("telemetry not stored error=%s", error)
            self._complained = True

    def watch(self, silent_after_s: float) -> int:
        """Raise `pole-silent` where it is due; return for how many."""
        since_us = self._listening_since_us
        return 0 if since_us is None else self._store.poles.raise_silent(silent_after_s, since_us)

    def _settle(self, incoming: Incoming) -> None:
        pole, kind = pole_of(incoming.topic) or ("", "")
        try:
            if kind == "heartbeat":
                heartbeat = decode(incoming.payload, Heartbeat)
                check_sender(pole, heartbeat.pole)
                self._store.poles.note_heartbeat(heartbeat, incoming.payload)
            elif kind == "status":
                self._note_status(pole, incoming)
            else:
                raise ContractError(f"no reader for messages of kind {kind!r}; update pole-center")
        except ContractError as error:
            log.warning("message quarantined topic=%s error=%s", incoming.topic, error)
            self._store.quarantine.add(pole, incoming.topic, str(error), incoming.payload)

    def _note_status(self, pole: str, incoming: Incoming) -> None:
        if not incoming.payload:  # a retained state that was removed from the broker
            return
        status = decode(incoming.payload, Status)
        check_sender(pole, status.pole)
        counted = self._store.poles.note_status(status)
        if counted and status.state == "online" and not incoming.retained:
            self._store.alarms.requeue(self._now_us() - REQUEUE_US, pole)
