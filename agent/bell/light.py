"""Shows the light state on the indicator: at once when it changes, and every `REFRESH_S` for the pattern.

Rules: `show` never raises and never waits for a pattern; broken lamps are a fault (`hardware-unusable`, subject
`lamps`), never a reason not to send the alarm; the hardware is tried again every `RETRY_S`.
"""

import threading

from agent.bell.indicator import Indicator, LightState, lamps_for
from agent.clock import Clock
from agent.errors import HardwareError
from agent.fault_board import FaultBoard
from agent.supervise import WorkerContext

REFRESH_S = 0.05
RETRY_S = 10.0
SUBJECT = "lamps"


class Light:
    """The state that is shown, and the worker that keeps it moving."""

    def __init__(self, indicator: Indicator, faults: FaultBoard, clock: Clock) -> None:
        self._indicator = indicator
        self._faults = faults
        self._clock = clock
        self._lock = threading.Lock()
        self._since_mono_s = clock.mono_s()
        self._retry_mono_s = clock.mono_s()
        self._open = False
        self.state = LightState.OUT_OF_SERVICE

    def show(self, state: LightState) -> None:
        """Change to `state` now, if it is another."""
        if state is not self.state:
            with self._lock:
                self.state = state
                self._since_mono_s = self._clock.mono_s()
            self.refresh()

    def refresh(self) -> None:
        """Set the lamps for this instant."""
        with self._lock:
            try:
                if self._ready():
                    self._indicator.drive(lamps_for(self.state, self._clock.mono_s() - self._since_mono_s))
            except HardwareError as error:
                self._open = False
                self._retry_mono_s = self._clock.mono_s() + RETRY_S
                self._indicator.close()
                self._faults.report_error(error, SUBJECT)

    def run(self, context: WorkerContext) -> None:
        """Keep the pattern moving until the service stops, then switch off."""
        while not context.stopping:
            self.refresh()
            context.wait(REFRESH_S)
        with self._lock:
            self._open = False
            self._retry_mono_s = float("inf")
            self._indicator.close()

    def _ready(self) -> bool:
        if not self._open and self._clock.mono_s() >= self._retry_mono_s:
            self._indicator.open()
            self._open = True
            self._faults.clear("hardware-unusable", SUBJECT)
        return self._open
