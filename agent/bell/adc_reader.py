"""The port to an analog input: one voltage as per mille of full scale, and the shipped fake.

Rules: full scale is the 3.3 V that also feeds the line's resistor, so that the supply's tolerance drops out;
`read` takes one fresh measurement and returns within a few milliseconds (it is polled every 10 ms).
"""

from typing import Protocol

from agent.errors import HardwareError


class AdcReader(Protocol):
    """One channel. Made closed; used by one thread."""

    def open(self) -> None:
        """Take the converter.

        Raises:
            HardwareError: it cannot be used; says which and what to check.
        """
        ...

    def read(self) -> float:
        """Return the level now, 0..1000 per mille of full scale.

        Raises:
            HardwareError: it does not answer, or is not open.
        """
        ...

    def close(self) -> None:
        """Let go; safe to call twice."""
        ...


class SimulatedAdc:
    """A converter without hardware: a test or a drill sets its level, or breaks it."""

    def __init__(self, level: float = 500.0) -> None:
        self._level: float | None = level
        self._opened = False

    def open(self) -> None:
        """Take nothing."""
        self._opened = True

    def read(self) -> float:
        """Return the level as it was set."""
        if not self._opened:
            raise HardwareError("simulated adc is not open")
        if self._level is None:
            raise HardwareError("simulated adc does not answer; set a level")
        return self._level

    def close(self) -> None:
        """Let go of nothing."""
        self._opened = False

    def set(self, level: float | None) -> None:
        """Set the level in per mille; None breaks the converter."""
        self._level = level
