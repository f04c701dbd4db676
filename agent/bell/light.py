"""Shows the light state on the indicator: at once when it changes, and every `REFRESH_S` for the pattern.

Rules:
* `show` never raises and never waits for a pattern; broken lamps are a fault (`hardware-unusable`, subject `lamps`),
  never a reason not to send the alarm; the hardware is tried again every `RETRY_S`;
* an indicator test lights one lamp after the other; any change of state ends it at once, so it never hides a press;
* where a current sense is wired (closed while a lamp draws current), the test notes for each lamp whether it did, and
  whether current flows in the dark; a broken sense is a fault of its own (subject `lamp-sense`) and darkens nothing.
"""

import threading
from dataclasses import dataclass

from agent.bell.indicator import PARADE, Indicator, Lamps, LightState, lamps_for, parade
from agent.bell.switch import Switch
from agent.clock import Clock
from agent.errors import HardwareError
from agent.fault_board import FaultBoard
from agent.supervise import WorkerContext

REFRESH_S = 0.05
RETRY_S = 10.0
SUBJECT = "lamps"
SENSE = "lamp-sense"
SENSE_AFTER_S = 0.1
NAMES = ("dark", "white", "red", "green", "call112")


@dataclass(frozen=True)
class LampTest:
    """An indicator test since `since_mono_s`; `drew` holds the lamps that drew current. `ended` or `broken_off`."""

    since_mono_s: float
    each_s: float
    drew: frozenset[str] = frozenset()
    ended: bool = False
    broken_off: bool = False


class Light:
    """The state that is shown, and the worker that keeps it moving. Any thread may call it."""

    def __init__(self, indicator: Indicator, faults: FaultBoard, clock: Clock, sense: Switch | None = None) -> None:
        self._indicator = indicator
        self._faults = faults
        self._clock = clock
        self._sense = sense
        self._lock = threading.Lock()
        self._since_mono_s = clock.mono_s()
        self._retry_mono_s = clock.mono_s()
        self._open = False
        self.state = LightState.OUT_OF_SERVICE
        self.lamp_test: LampTest | None = None

    @property
    def sensed(self) -> bool:
        """Whether a current sense is wired."""
        return self._sense is not None

    def show(self, state: LightState) -> None:
        """Change to `state` now, if it is another."""
        if state is not self.state:
            with self._lock:
                self.state = state
                self._since_mono_s = self._clock.mono_s()
                if self.lamp_test is not None and not self.lamp_test.ended:
                    self.lamp_test = LampTest(0.0, 1.0, ended=True, broken_off=True)
            self.refresh()

    def begin_test(self, each_s: float) -> None:
        """Light each lamp for `each_s` seconds, beginning now; `lamp_test` tells how it goes."""
        with self._lock:
            self.lamp_test = LampTest(self._clock.mono_s(), each_s)
            self._open_sense()
        self.refresh()

    def follows(self) -> bool:
        """Whether the outputs are in our hand and set as we last set them."""
        with self._lock:
            if not self._open:
                return False
            lamps = self._now()
            self._drive(lamps)
            return self._open and _same(lamps, self._indicator.lit())

    def refresh(self) -> None:
        """Set the lamps for this instant."""
        with self._lock:
            lamps = self._now()
            if self._ready():
                self._drive(lamps)
            self._feel(lamps)

    def run(self, context: WorkerContext) -> None:
        """Keep the pattern moving until the service stops, then switch off."""
        while not context.stopping:
            self.refresh()
            context.wait(REFRESH_S)
        with self._lock:
            self._open = False
            self._retry_mono_s = float("inf")
            self._indicator.close()
            if self._sense is not None:
                self._sense.close()

    def _now(self) -> Lamps:
        now = self._clock.mono_s()
        test = self.lamp_test
        if test is not None and not test.ended:
            lamps = parade(now - test.since_mono_s, test.each_s)
            if lamps is not None:
                return lamps
            self.lamp_test = LampTest(test.since_mono_s, test.each_s, test.drew, ended=True)
        return lamps_for(self.state, now - self._since_mono_s)

    def _drive(self, lamps: Lamps) -> None:
        try:
            self._indicator.drive(lamps)
        except HardwareError as error:
            self._failed(error)

    def _ready(self) -> bool:
        if not self._open and self._clock.mono_s() >= self._retry_mono_s:
            try:
                self._indicator.open()
            except HardwareError as error:
                self._failed(error)
                return False
            self._open = True
            self._faults.clear("hardware-unusable", SUBJECT)
        return self._open

    def _failed(self, error: HardwareError) -> None:
        self._open = False
        self._retry_mono_s = self._clock.mono_s() + RETRY_S
        self._indicator.close()
        self._faults.report_error(error, SUBJECT)

    def _open_sense(self) -> None:
        if self._sense is None:
            return
        try:
            self._sense.close()
            self._sense.open()
        except HardwareError as error:
            self._faults.report_error(error, SENSE)

    def _feel(self, lamps: Lamps) -> None:
        """Note whether current flows, once the lamp under test had the time to light."""
        test = self.lamp_test
        if test is None or test.ended or self._sense is None or not self._open:
            return
        lit_s = (self._clock.mono_s() - test.since_mono_s + 1e-9) % test.each_s
        try:
            if lit_s >= SENSE_AFTER_S and self._sense.closed():
                drew = test.drew | {NAMES[PARADE.index(lamps)]}
                self.lamp_test = LampTest(test.since_mono_s, test.each_s, drew)
            self._faults.clear("hardware-unusable", SENSE)
        except HardwareError as error:
            self._faults.report_error(error, SENSE)


def _same(wanted: Lamps, lit: Lamps) -> bool:
    """Compare what both can know: an output that is not fitted reads back as off."""
    return all(getattr(wanted, name) == getattr(lit, name) for name in ("white", "red", "green", "siren"))
