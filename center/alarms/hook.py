"""What a hook is: a way to tell the world outside the console that nobody answers.

Rules: `run` blocks at most its own time limit and ends soon after `stop`; it never raises, it says what came of it;
`text` is one short line without secrets, for the incident's page.
"""

import threading
from dataclasses import dataclass
from typing import Protocol

MOST_TEXT = 300


@dataclass(frozen=True)
class HookResult:
    """What came of one attempt; `stopped` means that the service ended meanwhile, which says nothing of the hook."""

    ok: bool
    text: str
    stopped: bool = False


class Hook(Protocol):
    """A command or a webhook."""

    def run(self, payload: bytes, stop: threading.Event) -> HookResult:
        """Deliver `payload` (JSON) once."""


def short(text: str) -> str:
    """Return `text` as one line of at most `MOST_TEXT` characters."""
    return " ".join(text.split())[:MOST_TEXT]
