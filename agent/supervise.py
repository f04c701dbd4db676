"""Runs the named workers of one service, restarts them within a budget, and ends in order.

Rules (DESIGN "Shape", STYLE 6):
* a worker is a function that runs until its context says stop; each has its own named thread;
* an unhandled error ends the worker loudly; the supervisor starts it again until the budget
  (`RESTARTS` in `WINDOW_S`) is spent, then the process exits with status 1 and systemd starts it afresh;
* the service manager's watchdog is fed only while every worker has beaten within its `stall_s`;
* a worker silent for `STALLS_ENDURED` times its `stall_s` ends the process with status 1 even where no watchdog
  does it, so that whoever started the process starts it afresh;
* SIGTERM and SIGINT are noted and looked at every `TICK_S`; workers then have `STOP_S` to end, and the process leaves
  regardless.
This is the only place that may catch every exception.
"""

import logging
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import FrameType

from agent.clock import Clock
from agent.service_manager import ServiceManager

log = logging.getLogger(__name__)

RESTARTS = 5
WINDOW_S = 60.0
STOP_S = 4.5
STALLS_ENDURED = 2
TICK_S = 0.25


class WorkerContext:
    """What a worker holds: the stop signal and its own pulse. `wait` and `beat` both count as a pulse."""

    def __init__(self, clock: Clock, stop: threading.Event) -> None:
        self._clock = clock
        self._stop = stop
        self._beat_mono_s = clock.mono_s()

    @property
    def stopping(self) -> bool:
        """Whether the worker must return now; it has `STOP_S` to do so."""
        return self._stop.is_set()

    def beat(self) -> None:
        """Say that work advanced; a worker that only blocks must not call it."""
        self._beat_mono_s = self._clock.mono_s()

    def wait(self, timeout_s: float) -> bool:
        """Beat, then wait `timeout_s` or until the service stops; return `stopping`."""
        self.beat()
        return self._clock.wait(self._stop, timeout_s)

    def silent_s(self) -> float:
        """Return the seconds since the last pulse."""
        return self._clock.mono_s() - self._beat_mono_s


@dataclass(frozen=True)
class Worker:
    """One named thread: `run(context)` loops until `context.stopping`; `stall_s` is its longest honest silence."""

    name: str
    run: Callable[[WorkerContext], None]
    stall_s: float = 30.0


@dataclass
class _Running:
    worker: Worker
    context: WorkerContext
    thread: threading.Thread
    failed: bool = False
    restarts: deque[float] = field(default_factory=deque)


class Supervisor:
    """Runs workers until SIGTERM; `run` returns the process's exit status."""

    def __init__(self, service: str, workers: Sequence[Worker], clock: Clock, manager: ServiceManager) -> None:
        self._service = service
        self._workers = workers
        self._clock = clock
        self._manager = manager
        self._stop = threading.Event()
        self._running: list[_Running] = []
        self._stalled_names: list[str] = []
        self._signalled = False

    def request_stop(self) -> None:
        """Ask every worker to end; returns at once."""
        self._stop.set()

    def run(self, *, catch_signals: bool = True) -> int:
        """Start the workers, supervise them until a stop is asked for, and return 0, or 1 when the budget is spent."""
        if catch_signals:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, self._note_signal)
        self._running = [self._start(worker) for worker in self._workers]
        self._manager.ready()
        log.info("service ready service=%s", self._service)
        status = 0
        while not self._clock.wait(self._stop, TICK_S):
            if self._signalled:
                break
            if not all([self._revive(running) for running in self._running]):
                status = 1
                break
            if not self._stalled():
                self._manager.alive()
            elif self._hopeless():
                status = 1
                break
        self._manager.stopping()
        return max(status, self._end())

    def _note_signal(self, _number: int, _frame: FrameType | None) -> None:
        """Only note it: `Event.set` takes a lock that the interrupted wait may hold, and both would hang."""
        self._signalled = True

    def _start(self, worker: Worker, restarts: deque[float] | None = None) -> _Running:
        context = WorkerContext(self._clock, self._stop)
        running = _Running(worker, context, threading.Thread(), restarts=restarts or deque())
        running.thread = threading.Thread(target=self._run_worker, args=(running,), name=worker.name, daemon=True)
        running.thread.start()
        return running

    def _run_worker(self, running: _Running) -> None:
        try:
            running.worker.run(running.context)
        except Exception:
            running.failed = True
            log.exception("worker failed service=%s worker=%s", self._service, running.worker.name)

    def _revive(self, running: _Running) -> bool:
        """Start a dead worker again; return False when its budget is spent."""
        if running.thread.is_alive() or self._stop.is_set():
            return True
        now = self._clock.mono_s()
        while running.restarts and now - running.restarts[0] > WINDOW_S:
            running.restarts.popleft()
        if len(running.restarts) >= RESTARTS:
            log.error("worker gave up service=%s worker=%s", self._service, running.worker.name)
            return False
        running.restarts.append(now)
        self._running[self._running.index(running)] = self._start(running.worker, running.restarts)
        return True

    def _stalled(self) -> list[str]:
        names = [r.worker.name for r in self._running if r.context.silent_s() > r.worker.stall_s]
        if names and names != self._stalled_names:
            log.error("workers stalled service=%s workers=%s", self._service, ",".join(names))
        self._stalled_names = names
        return names

    def _hopeless(self) -> bool:
        return any(r.context.silent_s() > STALLS_ENDURED * r.worker.stall_s for r in self._running)

    def _end(self) -> int:
        self._stop.set()
        deadline_mono_s = self._clock.mono_s() + STOP_S
        for running in self._running:
            running.thread.join(max(0.0, deadline_mono_s - self._clock.mono_s()))
        late = [running.worker.name for running in self._running if running.thread.is_alive()]
        if late:
            log.error("workers did not stop service=%s workers=%s", self._service, ",".join(late))
            logging.shutdown()
            os._exit(1)
        log.info("service stopped service=%s", self._service)
        return 0
