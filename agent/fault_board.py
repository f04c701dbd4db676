"""The standing faults of one process: raised once, cleared once, logged once (STYLE 9).

A fault is keyed by (code, subject). Raising it again only refreshes its detail; `since_us` stays.
"""

import logging
import threading

from agent.clock import Clock
from agent.contract.errors import PoleAgentError
from agent.contract.messages import Fault

log = logging.getLogger(__name__)


class FaultBoard:
    """Thread-safe set of standing faults; every method returns at once."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._faults: dict[tuple[str, str], Fault] = {}

    def report(self, code: str, detail: str = "", subject: str = "") -> None:
        """Let the fault `code` stand for `subject` (camera id, or "" for the pole)."""
        with self._lock:
            known = self._faults.get((code, subject))
            since_us = known.since_us if known else self._clock.utc_us()
            self._faults[code, subject] = Fault(code=code, subject=subject, since_us=since_us, detail=detail)
        if known is None:
            log.warning("fault raised code=%s subject=%s detail=%s", code, subject or "-", detail)

    def report_error(self, error: PoleAgentError, subject: str = "") -> None:
        """Let the fault of `error` stand, with its text as detail."""
        self.report(error.fault, str(error), subject)

    def clear(self, code: str, subject: str = "") -> None:
        """End the fault, if it stands."""
        with self._lock:
            known = self._faults.pop((code, subject), None)
        if known is not None:
            log.info("fault cleared code=%s subject=%s", code, subject or "-")

    def standing(self) -> list[Fault]:
        """Return the standing faults, oldest first."""
        with self._lock:
            return sorted(self._faults.values(), key=lambda fault: fault.since_us)
