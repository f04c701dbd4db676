"""Runs the hooks that escalation raised: at most `attempts` times each, with growing waits, the result written down.

Rules:
* its own thread and store: a hook that hangs delays other hooks, never a step, never an alarm;
* hooks never tried come before those to be tried again;
* a call that was answered meanwhile needs no hook any more; that is written down too;
* without a hook in the configuration the step is finished at once and says so;
* an attempt is counted before it runs; one cut off by the service's end is made again if any is left.
"""

import logging
import threading
import time
from collections.abc import Callable

from agent.contract.escalation import EscalationNotice
from agent.contract.messages import encode
from center.alarms.hook import Hook
from center.errors import StoreError
from center.store import IncidentRow, StepRow, Store

log = logging.getLogger(__name__)

POLL_S = 0.25
BACKOFF_S = (2.0, 5.0, 15.0, 30.0)


class HookWorker:
    """The worker; `hook` is None where none is configured."""

    def __init__(
        self,
        store: Store,
        hook: Hook | None,
        attempts: int,
        now_us: Callable[[], int],
        mono_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._hook = hook
        self._attempts = attempts
        self._now_us = now_us
        self._mono_s = mono_s
        self._not_before: dict[tuple[str, int], float] = {}

    def run(self, stop: threading.Event) -> None:
        """Work until `stop`; a store that fails is asked again."""
        complained = False
        while not stop.wait(POLL_S):
            try:
                while not stop.is_set() and self.run_once(stop):
                    pass
                complained = False
            except StoreError as error:
                if not complained:
                    log.error("hooks wait for the database error=%s", error)
                complained = True

    def run_once(self, stop: threading.Event) -> bool:
        """Deal with one hook that is due; return whether there was one.

        Raises:
            StoreError: the database cannot be read or written.
        """
        rows = self._store.escalations.unfinished_hooks()
        kept = {_key(row) for row in rows}
        self._not_before = {key: due for key, due in self._not_before.items() if key in kept}
        now = self._mono_s()
        due = next((row for row in rows if self._not_before.get(_key(row), now) <= now), None)
        if due is None:
            return False
        self._deal(due, stop)
        return True

    def _deal(self, row: StepRow, stop: threading.Event) -> None:
        incident = self._store.alarms.get(row.incident_id)
        if incident is None or not incident.waiting or incident.calls != row.call:
            self._end(row, f"no longer needed after {row.attempts} attempts", ok=True)
        elif self._hook is None:
            self._end(row, "no hook is configured", ok=False)
        elif row.attempts >= self._attempts:
            self._end(row, f"given up after {row.attempts} attempts", ok=False)
        else:
            self._attempt(self._hook, row, incident, stop)

    def _attempt(self, hook: Hook, row: StepRow, incident: IncidentRow, stop: threading.Event) -> None:
        number = self._store.escalations.begin_attempt(row)
        result = hook.run(encode(self._notice(incident, row, number)), stop)
        if result.stopped:
            return
        if result.ok:
            self._end(row, f"attempt {number}: {result.text}", ok=True)
        elif number >= self._attempts:
            log.error("hook given up, tell somebody by hand incident=%s error=%s", row.incident_id, result.text)
            self._end(row, f"given up after {number} attempts: {result.text}", ok=False)
        else:
            log.warning("hook failed incident=%s attempt=%d error=%s", row.incident_id, number, result.text)
            self._store.escalations.note_result(row, f"attempt {number}: {result.text}", finished=False, ok=False)
            self._not_before[_key(row)] = self._mono_s() + BACKOFF_S[min(number, len(BACKOFF_S)) - 1]

    def _end(self, row: StepRow, result: str, *, ok: bool) -> None:
        self._store.escalations.note_result(row, result, finished=True, ok=ok)

    def _notice(self, incident: IncidentRow, row: StepRow, attempt: int) -> EscalationNotice:
        now_us = self._now_us()
        return EscalationNotice(
            incident_id=incident.incident_id,
            call=row.call,
            pole=incident.pole,
            attempt=attempt,
            called_at_us=incident.called_at_us,
            pressed_at_us=incident.first_pressed_at_us,
            sent_at_us=now_us,
            waited_s=max(0, now_us - incident.called_at_us) // 1_000_000,
            presses=incident.presses,
            line=incident.line,
            simulated=incident.simulated,
            mode=incident.mode,
            seen_by=incident.seen_by,
        )


def _key(row: StepRow) -> tuple[str, int]:
    return row.incident_id, row.call
