"""A process of the drill that takes lines and says lines; it may die at any moment."""

import contextlib
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class Child:
    """`python -m MODULE WORDS...`; every line that it says goes to `on_line`, from a thread of its own."""

    def __init__(self, words: Sequence[str], log_file: Path, on_line: Callable[[str], None]) -> None:
        self._on_line = on_line
        self._said: set[str] = set()
        self._changed = threading.Condition()
        self._write_lock = threading.Lock()
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            [sys.executable, "-m", *words], stdin=pipe, stdout=pipe, stderr=pipe, env=environment, cwd=ROOT
        )
        self._threads = [
            threading.Thread(target=self._read, daemon=True),
            threading.Thread(target=self._keep_log, args=(log_file,), daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def tell(self, line: str) -> None:
        """Send a line; a dead child hears nothing."""
        with self._write_lock, contextlib.suppress(OSError, ValueError):
            assert self._process.stdin is not None
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()

    def ask(self, word: str, timeout_s: float = 30) -> bool:
        """Send a word and wait until the child says it back; False when it died first."""
        with self._changed:
            self._said.discard(word)
        self.tell(word)
        return self.wait_said(word, timeout_s)

    def wait_said(self, word: str, timeout_s: float = 30) -> bool:
        return self.wait_for(lambda: word in self._said, timeout_s)

    def wait_for(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until `condition` holds, looked at after each line; False when the child died or time is over first."""
        with self._changed:
            self._changed.wait_for(lambda: condition() or not self.alive, timeout_s)
            return condition()

    def refuse_writes(self, refuse: bool) -> None:
        """Let every write of the process to a file fail (EFBIG), as on a full disk; or let it work again."""
        limit = 1 if refuse else resource.RLIM_INFINITY
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL; everything that it had said is heard when this returns."""
        self._process.send_signal(signal.SIGKILL)
        self.reap()

    def reap(self) -> int:
        """Wait for the end; return the exit status."""
        status = self._process.wait(30)
        for thread in self._threads:
            thread.join(10)
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            with contextlib.suppress(OSError):
                assert stream is not None
                stream.close()
        return status

    def _read(self) -> None:
        assert self._process.stdout is not None
        for raw in self._process.stdout:
            line = raw.decode().strip()
            self._on_line(line)
            with self._changed:
                self._said.add(line)
                self._changed.notify_all()
        self._process.wait()
        with self._changed:
            self._changed.notify_all()

    def _keep_log(self, log_file: Path) -> None:
        assert self._process.stderr is not None
        with log_file.open("ab") as log:
            for line in self._process.stderr:
                log.write(line)
                log.flush()
