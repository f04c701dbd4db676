"""Removes footage whose time is over, and finishes deletions that a crash left half done (R-RETAIN, R-ERASE).

Rules:
* a stored receipt whose file still lies here is deleted first: a crash between both steps loses nothing;
* the decision what is too old is pure and in `agent.upload.retention`; this worker only looks at the clocks;
* whenever a time is trusted the spool notes what exists: a wrong clock's stamps cannot make footage look old;
* footage that leaves without a receipt is a fault for a day: somebody must learn why the link was down so long.
"""

import logging
from collections.abc import Callable

from agent.clock import Clock
from agent.errors import SpoolError
from agent.fault_board import FaultBoard
from agent.recording.spool import Spool
from agent.supervise import WorkerContext
from agent.upload.retention import DAY_S, ClockHistory, expire_before_us, retention_us

log = logging.getLogger(__name__)

EVERY_S = 60.0
BATCH = 256
UNSENT = "retention-unsent"


class Eraser:
    """One worker. `synced` says whether the kernel calls UTC synchronised; `center_utc_us` what the center says."""

    def __init__(
        self,
        spool: Spool,
        retention_days: int,
        faults: FaultBoard,
        clock: Clock,
        synced: Callable[[], bool],
        center_utc_us: Callable[[], int | None],
    ) -> None:
        self._spool = spool
        self._retention_days = retention_days
        self._faults = faults
        self._clock = clock
        self._synced = synced
        self._center_utc_us = center_utc_us
        self._history = ClockHistory.start(clock.utc_us(), clock.mono_s())
        self._unsent_mono_s: float | None = None

    def run(self, context: WorkerContext) -> None:
        """Look once a minute until the service stops."""
        while not context.stopping:
            try:
                self.run_once(context.beat)
            except SpoolError as error:
                self._faults.report_error(error)
            context.wait(EVERY_S)

    def run_once(self, pulse: Callable[[], object] = lambda: None) -> int:
        """Finish deletions and expire what is too old; return how many segments left.

        Raises:
            SpoolError: the spool cannot be read or written.
        """
        finished = self._spool.receipted(BATCH)
        for segment in finished:
            self._spool.delete_receipted(segment)
            pulse()
        return len(finished) + self._expire(pulse)

    def _expire(self, pulse: Callable[[], object]) -> int:
        now_s = self._clock.mono_s()
        self._history = self._history.look(self._clock.utc_us(), now_s, synced=self._synced())
        before_us = expire_before_us(self._history, self._retention_days, self._center_utc_us())
        gone, unsent = 0, []
        if before_us is not None:
            self._spool.sight(before_us + retention_us(self._retention_days))
            while removed := self._spool.expire(before_us):
                pulse()
                gone += len(removed)
                unsent += [one.segment for one in removed if one.ground == "expired" and not one.receipt_sha256]
        if unsent:
            self._unsent_mono_s = now_s
            text = f"{len(unsent)} segment(s) reached {self._retention_days} days unsent and were removed"
            self._faults.report(UNSENT, f"{text}, the newest is {unsent[-1]}")
            log.error("segments expired unsent count=%d newest=%s", len(unsent), unsent[-1])
        elif self._unsent_mono_s is not None and now_s - self._unsent_mono_s > DAY_S:
            self._faults.clear(UNSENT)
            self._unsent_mono_s = None
        return gone
