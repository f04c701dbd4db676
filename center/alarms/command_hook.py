"""The hook as a command: an argument list run without a shell, the notice on its standard input.

Rules:
* no shell, no word of the notice in the arguments or the environment: nothing a pole sent can become a command;
* its environment is PATH and LANG only: the service's own is not the command's business;
* it is a process group of its own; at the time limit, or when the service stops, the whole group is killed;
* exit status 0 is success; of its standard error the last line is kept, of its output nothing.
"""

import os
import signal
import subprocess
import tempfile
import threading
import time
from typing import IO

from center.alarms.hook import HookResult, short

POLL_S = 0.05
TAIL_BYTES = 2000
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}


class CommandHook:
    """Runs `argv` (its first word an absolute path), for at most `timeout_s`."""

    def __init__(self, argv: tuple[str, ...], timeout_s: float) -> None:
        self._argv = argv
        self._timeout_s = timeout_s

    def run(self, payload: bytes, stop: threading.Event) -> HookResult:
        """Run the command once with `payload` on its standard input."""
        with tempfile.TemporaryFile() as words, tempfile.TemporaryFile() as notice:
            notice.write(payload)
            notice.seek(0)
            try:
                child = subprocess.Popen(
                    self._argv,
                    stdin=notice,
                    stdout=subprocess.DEVNULL,
                    stderr=words,
                    env=ENVIRONMENT,
                    cwd="/",
                    start_new_session=True,
                )
            except OSError as exc:
                return HookResult(False, short(f"cannot be started: {exc.strerror or exc}"))
            return self._wait(child, words, stop)

    def _wait(self, child: "subprocess.Popen[bytes]", words: IO[bytes], stop: threading.Event) -> HookResult:
        deadline = time.monotonic() + self._timeout_s
        while child.poll() is None:
            if time.monotonic() >= deadline:
                _kill(child)
                return HookResult(False, f"did not end within {self._timeout_s:g} s")
            if stop.wait(POLL_S):
                _kill(child)
                return HookResult(False, "the service stopped", stopped=True)
        if child.returncode == 0:
            return HookResult(True, "exit status 0")
        return HookResult(False, short(f"exit status {child.returncode}: {_last_line(words)}").rstrip(": "))


def _last_line(words: IO[bytes]) -> str:
    size = words.seek(0, os.SEEK_END)
    words.seek(max(0, size - TAIL_BYTES))
    lines = words.read().decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else ""


def _kill(child: "subprocess.Popen[bytes]") -> None:
    """Kill the group, the leader's children too. The leader is not reaped yet, so its id is nobody else's."""
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
