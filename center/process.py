"""Runs one center process: named threads, an end in order, a word to the service manager.

Rules:
* a worker is a function that runs until `stop` is set; an error in one ends the process with status 1, so that
  systemd starts it afresh: nothing here limps on with a thread missing;
* SIGTERM and SIGINT set `stop`; workers have `STOP_S`, then the process leaves regardless;
* READY is said when every worker runs (sd_notify(3)); without NOTIFY_SOCKET nothing is said.
This and `guarded` in `alarms/callback_guard.py` are the only places that catch every exception.
"""

import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

log = logging.getLogger(__name__)

STOP_S = 4.5
SIGNAL_POLL_S = 0.2


@dataclass(frozen=True)
class Worker:
    """One named thread: `run(stop)` returns soon after `stop` is set, never before."""

    name: str
    run: Callable[[threading.Event], None]


def log_to_stderr(level: int = logging.INFO) -> None:
    """Log to standard error, one line an event; the journal adds the time."""
    form = "%(levelname)s %(name)s %(message)s"
    logging.basicConfig(
        level=level, stream=sys.stderr, format=form if "JOURNAL_STREAM" in os.environ else f"%(asctime)s {form}"
    )


def run_service(
    service: str, workers: Sequence[Worker], stop: threading.Event | None = None, *, catch_signals: bool = True
) -> int:
    """Run the workers until a stop is asked for; return 0, or 1 when one of them failed or would not end.

    A worker that still runs after `STOP_S` is left behind as a daemon thread; the caller should leave the process.
    """
    stop = stop or threading.Event()
    signals = _note_signals() if catch_signals else []
    failed: list[str] = []
    threads = [
        threading.Thread(target=_run, args=(service, w, stop, failed), name=w.name, daemon=True) for w in workers
    ]
    for thread in threads:
        thread.start()
    notify("READY=1")
    log.info("service ready service=%s", service)
    while not stop.wait(SIGNAL_POLL_S):
        if signals:
            stop.set()
    notify("STOPPING=1")
    late = _join(threads)
    if late:
        log.error("workers did not stop service=%s workers=%s", service, ",".join(late))
    log.info("service stopped service=%s", service)
    return 1 if failed or late else 0


def _note_signals() -> list[int]:
    """Return a list that SIGTERM and SIGINT fill; the handler takes no lock, for the interrupted wait may hold it."""
    noted: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _frame: noted.append(number))
    return noted


def notify(state: str) -> None:
    """Tell the service manager `state` (sd_notify(3)); silent without one."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    name = "\0" + address[1:] if address.startswith("@") else address
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as messenger:
            messenger.sendto(state.encode(), name)
    except OSError as exc:
        log.warning("service manager not told state=%s error=%s", state, exc)


def _run(service: str, worker: Worker, stop: threading.Event, failed: list[str]) -> None:
    try:
        worker.run(stop)
        if stop.is_set():
            return
        log.error("worker ended early service=%s worker=%s", service, worker.name)
    except Exception:
        log.exception("worker failed service=%s worker=%s", service, worker.name)
    failed.append(worker.name)
    stop.set()


def _join(threads: Sequence[threading.Thread]) -> list[str]:
    deadline = time.monotonic() + STOP_S
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return [thread.name for thread in threads if thread.is_alive()]
