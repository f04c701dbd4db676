"""Starts the demo's processes and keeps them running, as systemd does on a pole.

Rules: a process that ends is started again (0.5 s, doubling to 8 s, reset after 10 s of life) and counted;
every process is its own session, so Ctrl-C reaches only the demo, which stops them in a stated order;
the kernel ends them when the demo itself is killed (PR_SET_PDEATHSIG), so nothing is left behind.
"""

import ctypes
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

PR_SET_PDEATHSIG = 1
STOP_S = 8.0
_libc = ctypes.CDLL(None, use_errno=True)


def _die_with_parent() -> None:
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


@dataclass
class _Process:
    name: str
    argv: list[str]
    child: subprocess.Popen[bytes] | None = None
    started_mono_s: float = 0.0
    next_start_mono_s: float = 0.0
    backoff_s: float = 0.5
    restarts: int = 0
    stopping: bool = False
    ends: list[str] = field(default_factory=list)


class Processes:
    """The running processes by name. Thread-safe; `pids_file` always tells who runs under which pid."""

    def __init__(self, logs: Path, pids_file: Path) -> None:
        logs.mkdir(parents=True, exist_ok=True)
        self._logs = logs
        self._pids_file = pids_file
        self._lock = threading.Lock()
        self._processes: dict[str, _Process] = {}
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, name: str, argv: list[str]) -> None:
        """Start a process under `name` and watch it from now on.

        The watching thread is the parent that starts all of them: PR_SET_PDEATHSIG follows the thread.
        """
        with self._lock:
            self._processes[name] = _Process(name, argv)
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="processes", daemon=True)
            self._thread.start()

    def kill(self, name: str) -> None:
        """Kill a process with SIGKILL; it is started again."""
        with self._lock:
            child = self._processes[name].child
        if child is not None:
            child.kill()
            child.wait()

    def restarts(self) -> dict[str, int]:
        """Return how often each process had to be started again."""
        with self._lock:
            return {name: process.restarts for name, process in self._processes.items()}

    def ends(self) -> list[str]:
        """Return one sentence for each process that ended without being asked."""
        with self._lock:
            return [text for process in self._processes.values() for text in process.ends]

    def last_words(self) -> list[str]:
        """Return the last line of the log of each process that ended without being asked."""
        with self._lock:
            ended = [process.name for process in self._processes.values() if process.ends]
        words = []
        for name in ended:
            lines = (self._logs / f"{name}.log").read_text(encoding="utf-8", errors="replace").split("\n")
            words.append(f"{name} says: {next((line for line in reversed(lines) if line.strip()), 'nothing')[:300]}")
        return words

    def stop(self, names: Iterable[str]) -> None:
        """End the named processes in order of SIGTERM, SIGKILL after `STOP_S`; returns when they are gone."""
        with self._lock:
            chosen = [self._processes[name] for name in names if name in self._processes]
            for process in chosen:
                process.stopping = True
                if process.child is not None and process.child.poll() is None:
                    process.child.terminate()
        deadline_mono_s = time.monotonic() + STOP_S
        for process in chosen:
            if process.child is None:
                continue
            try:
                process.child.wait(max(0.1, deadline_mono_s - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.ends.append(f"{process.name} did not stop within {STOP_S:.0f} s and was killed")
                process.child.kill()
                process.child.wait()

    def resume(self, name: str) -> None:
        """Start a stopped process again."""
        with self._lock:
            self._processes[name].child = None
            self._processes[name].stopping = False

    def close(self) -> None:
        """Stop everything that still runs."""
        self.stop(list(self._processes))
        self._closing.set()
        if self._thread is not None:
            self._thread.join()

    def _watch(self) -> None:
        while not self._closing.wait(0.1):
            with self._lock:
                changed = [self._tend(process) for process in self._processes.values()]
            if any(changed):
                self._write_pids()

    def _tend(self, process: _Process) -> bool:
        """Start the process if it should run and does not; return whether anything changed."""
        now = time.monotonic()
        if process.stopping or (process.child is not None and process.child.poll() is None):
            return False
        if process.child is not None and process.started_mono_s:
            self._note_end(process, now)
        if now < process.next_start_mono_s:
            return False
        with (self._logs / f"{process.name}.log").open("ab") as log:
            process.child = subprocess.Popen(
                process.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        process.started_mono_s = now
        return True

    def _note_end(self, process: _Process, now: float) -> None:
        assert process.child is not None
        process.ends.append(f"{process.name} ended by itself with status {process.child.returncode}")
        process.restarts += 1
        if now - process.started_mono_s > 10:
            process.backoff_s = 0.5
        process.next_start_mono_s = now + process.backoff_s
        process.backoff_s = min(8.0, process.backoff_s * 2)
        process.started_mono_s = 0.0

    def _write_pids(self) -> None:
        pids = {name: process.child.pid for name, process in self._processes.items() if process.child is not None}
        temporary = self._pids_file.with_suffix(".new")
        temporary.write_text(json.dumps(pids), encoding="utf-8")
        temporary.rename(self._pids_file)


def wait_until(what: str, ready: Callable[[], bool], timeout_s: float) -> None:
    """Poll `ready` until it is true.

    Raises:
        TimeoutError: it was not true within `timeout_s`; names `what`.
    """
    deadline_mono_s = time.monotonic() + timeout_s
    while not ready():
        if time.monotonic() > deadline_mono_s:
            raise TimeoutError(f"{what} was not ready after {timeout_s:.0f} s; look into the logs")
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    """Return whether a process with this pid exists."""
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True
