"""`run_dir/bell.sock`: the hand on a simulated pole's button. It exists only with `[bell] simulate = true`.

One JSON line in, one out, then the connection ends:
    {"press_ms": 200}          the button is pressed and let go after 200 ms   -> {"ok": true}
    {"line": "cut"}            idle, pressed, cut or short, until told otherwise -> {"ok": true}
Anything else                                                              -> {"ok": false, "error": "..."}

Rules: mode 0600 before it has its name; one connection at a time; nobody can hold it longer than `TIMEOUT_S`; a
press is at most `PRESS_MAX_MS`. It reaches the mock pins only: no command exists that touches the alarm itself.
"""

import contextlib
import json
import os
import socket
import threading
import time
from pathlib import Path
from typing import Any, Protocol

from agent.errors import HardwareError
from agent.supervise import WorkerContext

NAME = "bell.sock"
TIMEOUT_S = 2.0
PRESS_MAX_MS = 120_000
LINE_MAX_BYTES = 1024


class Button(Protocol):
    """What the socket moves."""

    def set(self, line: str) -> None:
        """Bring the line to idle, pressed, cut or short; raises ValueError for anything else."""
        ...


class ControlSocket:
    """The worker that serves `bell.sock`."""

    def __init__(self, run_dir: Path, button: Button) -> None:
        self._path = run_dir / NAME
        self._button = button

    def run(self, context: WorkerContext) -> None:
        """Serve until the service stops."""
        with contextlib.closing(self._listen()) as server:
            while not context.stopping:
                context.beat()
                with contextlib.suppress(TimeoutError):
                    connection, _ = server.accept()
                    with contextlib.closing(connection), contextlib.suppress(OSError):
                        self._serve(connection, context)
        self._path.unlink(missing_ok=True)

    def _listen(self) -> socket.socket:
        unnamed = self._path.with_name(f".{NAME}.{os.getpid()}")
        unnamed.unlink(missing_ok=True)
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        server.bind(str(unnamed))
        unnamed.chmod(0o600)
        server.listen(8)
        server.settimeout(0.25)
        unnamed.rename(self._path)
        return server

    def _serve(self, connection: socket.socket, context: WorkerContext) -> None:
        connection.settimeout(TIMEOUT_S)
        try:
            self._obey(json.loads(_read_line(connection)), context)
            answer: dict[str, Any] = {"ok": True}
        except (ValueError, TypeError) as exc:
            answer = {"ok": False, "error": str(exc)}
        connection.sendall(json.dumps(answer).encode() + b"\n")

    def _obey(self, command: Any, context: WorkerContext) -> None:
        if not isinstance(command, dict) or len(command) != 1:
            raise ValueError('send one of {"press_ms": 200} or {"line": "idle"}')
        if "line" in command:
            self._button.set(str(command["line"]))
            return
        press_ms = command.get("press_ms")
        if not isinstance(press_ms, int) or not 0 < press_ms <= PRESS_MAX_MS:
            raise ValueError(f"press_ms must be a whole number from 1 to {PRESS_MAX_MS}")
        self._button.set("pressed")
        _hold(press_ms / 1000, context)
        self._button.set("idle")


def _hold(seconds: float, context: WorkerContext) -> None:
    """A finger does not follow the service's clock: it holds in real time, and lets go when the service stops."""
    end = time.monotonic() + seconds
    pause = threading.Event()
    while not context.stopping and (rest := end - time.monotonic()) > 0:
        context.beat()
        pause.wait(min(rest, 0.25))


def _read_line(connection: socket.socket) -> bytes:
    line = b""
    while not line.endswith(b"\n") and len(line) < LINE_MAX_BYTES:
        piece = connection.recv(LINE_MAX_BYTES)
        if not piece:
            break
        line += piece
    return line


def press_bell(run_dir: Path, hold_ms: int = 200) -> None:
    """Press the simulated bell of the service whose run directory this is; returns after the button was let go.

    Raises:
        HardwareError: no such service, not a simulated one, or it refused.
    """
    ask_button(run_dir, {"press_ms": hold_ms}, hold_ms / 1000 + 2 * TIMEOUT_S)


def ask_button(run_dir: Path, command: dict[str, Any], timeout_s: float = 2 * TIMEOUT_S) -> None:
    """Send one command to `run_dir/bell.sock`.

    Raises:
        HardwareError: no such service, not a simulated one, or it refused.
    """
    path = run_dir / NAME
    try:
        with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as connection:
            connection.settimeout(timeout_s)
            connection.connect(str(path))
            connection.sendall(json.dumps(command).encode() + b"\n")
            answer = json.loads(_read_line(connection))
    except (OSError, ValueError) as exc:
        raise HardwareError(
            f"{path} does not answer ({exc}); start the bell service with [bell] simulate = true"
        ) from exc
    if not answer.get("ok"):
        raise HardwareError(f"the simulated bell refused: {answer.get('error')}")
