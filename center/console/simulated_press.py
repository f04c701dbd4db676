"""Presses the simulated bell of a demo pole over its agent's control socket (never in the field).

One JSON line `{"press_ms": 200}` goes to `run_dir/bell.sock`; the agent answers with one JSON line.
"""

import json
import socket
from pathlib import Path

TIMEOUT_S = 3.0
PRESS_MS = 200


class SimulatedPressError(OSError):
    """The demo pole's bell could not be reached."""


def press(path: Path, press_ms: int = PRESS_MS) -> None:
    """Press, and return when the agent took it.

    Raises:
        SimulatedPressError: nobody listens there, no answer came within `TIMEOUT_S`, or it was a refusal.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.settimeout(TIMEOUT_S)
        try:
            link.connect(str(path))
            link.sendall(json.dumps({"press_ms": press_ms}).encode() + b"\n")
            answer = json.loads(link.recv(4096))
        except (OSError, ValueError) as exc:
            raise SimulatedPressError(f"the simulated bell at {path} does not answer: {exc}") from exc
    if not isinstance(answer, dict) or answer.get("ok") is not True:
        raise SimulatedPressError(f"the simulated bell at {path} refused: {answer}")
