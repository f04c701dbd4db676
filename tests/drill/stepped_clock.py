"""The machine's clock with a wall clock that jumps when told: our own `Clock` port, not a faked system time.

Certificates are therefore still judged by the machine's time; everything that the agent itself asks of UTC jumps.
"""

import time

from agent.clock import SystemClock


class SteppedClock(SystemClock):
    """Monotonic time stays honest, as the kernel's does in a step."""

    def __init__(self, offset_s: float = 0.0) -> None:
        self.offset_s = offset_s

    def utc_us(self) -> int:
        return time.time_ns() // 1000 + round(self.offset_s * 1_000_000)
