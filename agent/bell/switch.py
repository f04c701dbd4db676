"""The port to one slow input: the crew's key switch, or the sense of the lamps' current. And the shipped fake.

Rules: `closed` means connected to ground; it is read when somebody asks and needs no edges; used by one thread.
"""

from typing import Protocol

from agent.errors import HardwareError


class Switch(Protocol):
    """One input. Made closed; `open` once."""

    def open(self) -> None:
        """Take the input, with pull-up.

        Raises:
            HardwareError: it cannot be used; says which.
        """
        ...

    def closed(self) -> bool:
        """Read the input now.

        Raises:
            HardwareError: it cannot be read, or is not open.
        """
        ...

    def close(self) -> None:
        """Let go; safe to call twice."""
        ...


class SimulatedSwitch:
    """A switch without hardware: a test or a drill turns it, or breaks it."""

    def __init__(self, closed: bool = False) -> None:
        self._closed: bool | None = closed
        self._opened = False

    def open(self) -> None:
        """Take nothing."""
        self._opened = True

    def closed(self) -> bool:
        """Return what was set."""
        if not self._opened or self._closed is None:
            raise HardwareError("simulated switch does not answer; open it and set it")
        return self._closed

    def close(self) -> None:
        """Let go of nothing."""
        self._opened = False

    def set(self, closed: bool | None) -> None:
        """Turn the switch; None breaks it."""
        self._closed = closed
