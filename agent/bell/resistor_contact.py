"""A line with an end-of-line resistor as a `Contact`: one voltage becomes the two circuits that the watch knows.

| line | NO closed | NC closed |
|---|---|---|
| idle | no | yes |
| pressed | yes | no |
| cut | no | no |
| short | yes | yes |

Rules: it makes no edges (the poll every 10 ms is all there is, N7 allows 50 ms); each `levels` is one measurement; a
drift is told when it begins to stand and when it ends; what the line knows survives `close` and `open`.
"""

from collections.abc import Callable

from agent.bell.adc_reader import AdcReader, SimulatedAdc
from agent.bell.contact import Edge, Levels
from agent.bell.resistor_line import Drift, ResistorLine

LEVELS = {
    "idle": Levels(False, True),
    "pressed": Levels(True, False),
    "cut": Levels(False, False),
    "short": Levels(True, True),
}
SIMULATED = {"idle": 500.0, "pressed": 195.0, "cut": 1000.0, "short": 0.0}


class ResistorContact:
    """The line behind `reader`; `on_drift` hears of each change, with the level in per mille."""

    def __init__(
        self, reader: AdcReader, now_mono_s: Callable[[], float], on_drift: Callable[[Drift | None, float], None]
    ) -> None:
        self._reader = reader
        self._now_mono_s = now_mono_s
        self._on_drift = on_drift
        self._line = ResistorLine()
        self._told: Drift | None = None

    def open(self, on_edge: Callable[[Edge], None]) -> None:
        """Take the converter; `on_edge` is never called."""
        self._reader.open()

    def levels(self) -> Levels:
        """Measure the line now."""
        now = self._now_mono_s()
        self._line = self._line.sample(now, self._reader.read())
        drift = self._line.standing_drift(now)
        if drift != self._told:
            self._told = drift
            self._on_drift(drift, self._line.level)
        return LEVELS[self._line.kind]

    def close(self) -> None:
        """Let go of the converter."""
        self._reader.close()


class SimulatedResistorButton:
    """The button of a simulated pole with an end-of-line resistor."""

    def __init__(self, adc: SimulatedAdc) -> None:
        self._adc = adc

    def set(self, line: str) -> None:
        """Bring the line to idle, pressed, cut or short.

        Raises:
            ValueError: no such line state.
        """
        if line not in SIMULATED:
            raise ValueError(f"line {line!r} is unknown; use one of {', '.join(SIMULATED)}")
        self._adc.set(SIMULATED[line])
