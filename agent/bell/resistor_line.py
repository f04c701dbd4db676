"""The bell's line with an end-of-line resistor: what one voltage says. Pure.

The wiring (docs/design/bell.md): 4.7 kOhm from 3.3 V to the input at the pole, 4.7 kOhm across the far end of the
cable, and the NO contact with 1.5 kOhm in series beside it. Levels are per mille of full scale.

| level | line | because |
|---|---|---|
| up to `SHORT_MAX` (60) | short | 0 Ohm is 0 |
| up to `PRESSED_MAX` (280) | pressed | 1.14 kOhm is 195 |
| between | idle, or pressed if it fell by `STEP` | 4.7 kOhm is 500 |
| from `CUT_MIN` (660) | cut | an open line is 1000; above 660 a press moves the level too little |

Rules:
* a level must come back by `HYSTERESIS` beyond a limit to leave what it is;
* a press is a step, damage creeps: a fall of `STEP` below the resting level is a press wherever the line rests, so a
  corroded or wet line still rings. The resting level follows a rise within `RISE_S` and a fall within `FALL_S`; of a
  longer hole between samples it takes `HOLE_S`, so that no hole swallows a press;
* the resting level begins at the nominal one: a button held at the start is a press, and so is a line already wet by
  `STEP` (fail towards the alarm; the next rest forgets it within `FALL_S`);
* resting below `WET_BELOW` (water beside the resistor) or above `CORRODED_ABOVE` (resistance in the cable) for
  `DRIFT_S` is a drift, until it rests inside again; a cut, a short or a press is no drift;
* one voltage cannot tell water and corrosion that hide each other (a leak under 50 kOhm beside a bad joint): that is
  what the monthly press is for.
Debounce and the time a cut or a short must last are not here: `debounce.py` and `line.py` do it as for two contacts.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

ResistorKind = Literal["idle", "pressed", "cut", "short"]
Drift = Literal["wet", "corroded"]

NOMINAL = 500.0
SHORT_MAX = 60.0
PRESSED_MAX = 280.0
WET_BELOW = 440.0
CORRODED_ABOVE = 560.0
CUT_MIN = 660.0
HYSTERESIS = 15.0
STEP = 70.0
RISE_S = 0.2
FALL_S = 60.0
HOLE_S = 1.0
DRIFT_S = 30.0


@dataclass(frozen=True)
class ResistorLine:
    """The line after its last sample. `rest` is the resting level, `drift` where it rests wrongly, since when."""

    kind: ResistorKind = "idle"
    level: float = NOMINAL
    rest: float = NOMINAL
    at_mono_s: float | None = None
    drift: Drift | None = None
    drift_since_mono_s: float = 0.0

    def sample(self, at_mono_s: float, level: float) -> "ResistorLine":
        """Return the line after `level` (per mille, 0..1000) was read at `at_mono_s`."""
        kind = self._kind(level)
        between = PRESSED_MAX < level < CUT_MIN
        rest = self._followed(at_mono_s, level) if between else self.rest
        seen = replace(self, kind=kind, level=level, rest=rest, at_mono_s=at_mono_s)
        return seen._drifting(at_mono_s) if kind == "idle" else seen

    def standing_drift(self, now_mono_s: float) -> Drift | None:
        """Return the drift that has stood for `DRIFT_S`, if any."""
        return self.drift if self.drift and now_mono_s - self.drift_since_mono_s >= DRIFT_S else None

    def _kind(self, level: float) -> ResistorKind:
        if level >= CUT_MIN - self._stay("cut"):
            return "cut"
        if level <= SHORT_MAX + self._stay("short"):
            return "short"
        if level <= PRESSED_MAX + self._stay("pressed") or self.rest - level >= STEP - self._stay("pressed"):
            return "pressed"
        return "idle"

    def _stay(self, kind: ResistorKind) -> float:
        return HYSTERESIS if self.kind == kind else 0.0

    def _followed(self, at_mono_s: float, level: float) -> float:
        passed_s = min(at_mono_s - self.at_mono_s, HOLE_S) if self.at_mono_s is not None else 0.0
        slow_s = RISE_S if level > self.rest else FALL_S
        return level + (self.rest - level) * math.exp(-max(passed_s, 0.0) / slow_s)

    def _drifting(self, at_mono_s: float) -> "ResistorLine":
        drift: Drift | None = None
        if self.level < WET_BELOW + (HYSTERESIS if self.drift == "wet" else 0.0):
            drift = "wet"
        elif self.level > CORRODED_ABOVE - (HYSTERESIS if self.drift == "corroded" else 0.0):
            drift = "corroded"
        if drift == self.drift:
            return self
        return replace(self, drift=drift, drift_since_mono_s=at_mono_s)
