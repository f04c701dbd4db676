"""The citizen's answer: which lamp shows what. Port, pure patterns, and the shipped fake.

| state | lamps | sound |
|---|---|---|
| out-of-service | amber (red and green together), slow | - |
| ready | white, steady | - |
| calling | red, blinking | - |
| siren | red, blinking | siren |
| received | red, steady | one tone of `TONE_S` |
| answered | green, steady | - |

Rules: the pattern of a state begins with its lamp on, so that a press is answered at once (N7, 50 ms); a pattern is a
function of the time since the state began, so a late refresh never drifts.
"""

import enum
import threading
from dataclasses import dataclass
from typing import Protocol

SLOW_S = 2.0
FAST_S = 0.4
TONE_S = 0.4


class LightState(enum.Enum):
    """What the citizen sees."""

    OUT_OF_SERVICE = "out-of-service"
    READY = "ready"
    CALLING = "calling"
    SIREN = "siren"
    RECEIVED = "received"
    ANSWERED = "answered"


@dataclass(frozen=True)
class Lamps:
    """The outputs of one instant."""

    white: bool = False
    red: bool = False
    green: bool = False
    siren: bool = False


@dataclass(frozen=True)
class LampPins:
    """Where the outputs are: BCM numbers on a Raspberry Pi, line offsets of the chip elsewhere."""

    white: int
    red: int
    green: int
    siren: int


def lamps_for(light: LightState, since_s: float) -> Lamps:
    """Return the outputs `since_s` seconds after `light` began."""
    slow = since_s % SLOW_S < SLOW_S / 2
    fast = since_s % FAST_S < FAST_S / 2
    return {
        LightState.OUT_OF_SERVICE: Lamps(red=slow, green=slow),
        LightState.READY: Lamps(white=True),
        LightState.CALLING: Lamps(red=fast),
        LightState.SIREN: Lamps(red=fast, siren=True),
        LightState.RECEIVED: Lamps(red=True, siren=since_s < TONE_S),
        LightState.ANSWERED: Lamps(green=True),
    }[light]


class Indicator(Protocol):
    """Lamps and siren. Made closed; `drive` may be called from any one thread at a time."""

    def open(self) -> None:
        """Take the outputs, all off.

        Raises:
            HardwareError: an output cannot be used; says which.
        """
        ...

    def drive(self, lamps: Lamps) -> None:
        """Set every output; returns at once.

        Raises:
            HardwareError: an output refused.
        """
        ...

    def lit(self) -> Lamps:
        """Return what the outputs are set to, read back where the hardware can."""
        ...

    def close(self) -> None:
        """Switch everything off and let go; safe to call twice."""
        ...


class RecordingIndicator:
    """An indicator without hardware: it remembers every change."""

    def __init__(self) -> None:
        self.history: list[Lamps] = []
        self._lamps = Lamps()
        self._lock = threading.Lock()

    def open(self) -> None:
        """Begin with everything off."""
        self._lamps = Lamps()

    def drive(self, lamps: Lamps) -> None:
        """Remember the lamps when they differ from the last ones."""
        with self._lock:
            if lamps != self._lamps or not self.history:
                self.history.append(lamps)
            self._lamps = lamps

    def lit(self) -> Lamps:
        """Return the last lamps."""
        return self._lamps

    def close(self) -> None:
        """Switch everything off."""
        self._lamps = Lamps()
