"""The citizen's answer: which lamp shows what. Port, pure patterns, and the shipped fake.

| state | lamps | pattern | sound |
|---|---|---|---|
| out-of-service | amber (red and green together) | slow: 1 s on, 1 s off | - |
| ready | white | steady | - |
| calling | red | fast blinking | - |
| not-received | amber | two flashes, pause | - |
| siren | red, and "call 112" | fast blinking, "call 112" steady | siren |
| received | red | steady | one tone of `TONE_S` |
| answered | green | steady | two tones |
| test | green | one short flash in 2 s | - |
| test-calling | green | three flashes, pause | - |
| test-received | green | long, with a short wink | - |

Rules:
* the pattern of a state begins with its lamp on, so that a press is answered at once (N7, 50 ms);
* a pattern is a function of the time since the state began, so a late refresh never drifts;
* no state is told by colour alone: patterns differ, and the three steady ones by their tones and the lamp's place;
* white is lit by `ready` only, red and siren never by a test.
"""

import enum
import threading
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import Protocol

TONE_S = 0.4
SLOT_S = 0.2


class LightState(enum.Enum):
    """What the citizen sees."""

    OUT_OF_SERVICE = "out-of-service"
    READY = "ready"
    CALLING = "calling"
    NOT_RECEIVED = "not-received"
    SIREN = "siren"
    RECEIVED = "received"
    ANSWERED = "answered"
    TEST = "test"
    TEST_CALLING = "test-calling"
    TEST_RECEIVED = "test-received"


@dataclass(frozen=True)
class Lamps:
    """The outputs of one instant; `call112` is the lit sign "call 112"."""

    white: bool = False
    red: bool = False
    green: bool = False
    siren: bool = False
    call112: bool = False


@dataclass(frozen=True)
class LampPins:
    """Where the outputs are: BCM numbers on a Raspberry Pi, line offsets of the chip elsewhere; None is not fitted."""

    white: int
    red: int
    green: int
    siren: int
    call112: int | None = None

    def fitted(self) -> dict[str, int]:
        """Return each fitted output by its name in `Lamps`."""
        pins = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: pin for name, pin in pins.items() if pin is not None}


WHITE, RED, GREEN = Lamps(white=True), Lamps(red=True), Lamps(green=True)
AMBER = Lamps(red=True, green=True)
PARADE = (Lamps(), WHITE, RED, GREEN, Lamps(call112=True))
STEADY, FAST, SLOW = "#", "#.", "#####....."

# Each letter is a slot of SLOT_S; the pattern repeats.
PATTERNS: Mapping[LightState, tuple[Lamps, str]] = MappingProxyType(
    {
        LightState.OUT_OF_SERVICE: (AMBER, SLOW),
        LightState.READY: (WHITE, STEADY),
        LightState.CALLING: (RED, FAST),
        LightState.NOT_RECEIVED: (AMBER, "#.#..."),
        LightState.SIREN: (RED, FAST),
        LightState.RECEIVED: (RED, STEADY),
        LightState.ANSWERED: (GREEN, STEADY),
        LightState.TEST: (GREEN, "#........."),
        LightState.TEST_CALLING: (GREEN, "#.#.#..."),
        LightState.TEST_RECEIVED: (GREEN, "#########."),
    }
)


def lamps_for(light: LightState, since_s: float) -> Lamps:
    """Return the outputs `since_s` seconds after `light` began."""
    lamps, pattern = PATTERNS[light]
    lit = lamps if pattern[int(since_s / SLOT_S + 1e-9) % len(pattern)] == "#" else Lamps()
    siren = light is LightState.SIREN
    return replace(lit, siren=siren or _tone(light, since_s), call112=siren)


def _tone(light: LightState, since_s: float) -> bool:
    if light is LightState.RECEIVED:
        return since_s < TONE_S
    return light is LightState.ANSWERED and since_s < 3 * TONE_S and since_s // TONE_S != 1


def parade(since_s: float, each_s: float) -> Lamps | None:
    """Return the lamps of an indicator test: dark, then one after the other, `each_s` seconds each; None afterwards.

    The siren is not part of it: a test must not call a street together.
    """
    step = int(since_s / each_s + 1e-9)
    return PARADE[step] if step < len(PARADE) else None


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
