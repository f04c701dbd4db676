"""The port to the bell's contacts: levels at any time, and edges as they come.

Rules:
* `levels` is the truth; edges only make it fast: no edge comes for a contact already held at start (FACTS);
* `on_edge` is called from a foreign thread: it must not raise and must not block, so adapters guard it;
* NO and NC each connect their input to ground; `closed` means connected.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True)
class Levels:
    """Both circuits; `nc_closed` is None when only the NO contact is wired."""

    no_closed: bool
    nc_closed: bool | None


@dataclass(frozen=True)
class Edge:
    """One circuit changed at `at_mono_s`."""

    contact: Literal["no", "nc"]
    closed: bool
    at_mono_s: float


class Contact(Protocol):
    """The bell's contacts. Made closed; `open` once."""

    def open(self, on_edge: Callable[[Edge], None]) -> None:
        """Take the inputs and report their edges from now on.

        Raises:
            HardwareError: an input cannot be used; says which.
        """
        ...

    def levels(self) -> Levels:
        """Read both inputs now.

        Raises:
            HardwareError: an input cannot be read.
        """
        ...

    def close(self) -> None:
        """Let go of the inputs; no edge is reported afterwards; safe to call twice."""
        ...


class SimulatedContact:
    """Contacts without hardware: a test or a drill sets them; the same rules as the real ones."""

    def __init__(self, levels: Levels, now_mono_s: Callable[[], float]) -> None:
        self._levels = levels
        self._now_mono_s = now_mono_s
        self._on_edge: Callable[[Edge], None] | None = None

    def open(self, on_edge: Callable[[Edge], None]) -> None:
        """Report edges to `on_edge`."""
        self._on_edge = on_edge

    def levels(self) -> Levels:
        """Return the levels as they were set."""
        return self._levels

    def close(self) -> None:
        """Report no more edges."""
        self._on_edge = None

    def set(self, *, no_closed: bool, nc_closed: bool | None) -> None:
        """Move the contacts; each one that changes reports an edge."""
        before, self._levels = self._levels, Levels(no_closed, nc_closed)
        now = self._now_mono_s()
        if no_closed != before.no_closed:
            self._report(Edge("no", no_closed, now))
        if nc_closed is not None and nc_closed != before.nc_closed:
            self._report(Edge("nc", nc_closed, now))

    def _report(self, edge: Edge) -> None:
        if self._on_edge is not None:
            self._on_edge(edge)
