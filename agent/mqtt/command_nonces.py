"""The challenges a pole waits for when it cannot tell a command's age (clock not synced, memory younger).

Rules: in memory only, so a restart closes them all; each is good once, for `LIFE_S` of the monotonic clock; at most
`OPEN_MAX` are open, the oldest closes first; they are given to rightly signed commands only.
"""

import secrets
from collections.abc import Callable

from agent.clock import Clock

LIFE_S = 300.0
OPEN_MAX = 16


def _random() -> str:
    return secrets.token_urlsafe(18)


class Nonces:
    """Open challenges. Use it from one thread."""

    def __init__(self, clock: Clock, make: Callable[[], str] = _random) -> None:
        self._clock = clock
        self._make = make
        self._until: dict[str, float] = {}

    def issue(self) -> str:
        """Open a new challenge and return its nonce."""
        self._close_old()
        while len(self._until) >= OPEN_MAX:
            del self._until[next(iter(self._until))]
        nonce = self._make()
        self._until[nonce] = self._clock.mono_s() + LIFE_S
        return nonce

    def open(self) -> frozenset[str]:
        """Return the nonces that a command may carry now."""
        self._close_old()
        return frozenset(self._until)

    def spend(self, nonce: str) -> None:
        """Close one, if it is open."""
        self._until.pop(nonce, None)

    def _close_old(self) -> None:
        now = self._clock.mono_s()
        self._until = {nonce: until for nonce, until in self._until.items() if until > now}
