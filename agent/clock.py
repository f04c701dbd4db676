"""Time behind a port: durations from the monotonic clock, records from UTC (DESIGN decision 11).

`SimulatedClock` is shipped code: tests and drills drive it, it never sleeps.
"""

import threading
import time
from typing import Protocol


class Clock(Protocol):
    """What the agent may ask of time."""

    def mono_s(self) -> float:
        """Return monotonic seconds; comparable between processes of one boot (CLOCK_MONOTONIC)."""
        ...

    def utc_us(self) -> int:
        """Return UTC in microseconds since 1970."""
        ...

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        """Wait until `event` is set or `timeout_s` passed; return whether it is set."""
        ...


class SystemClock:
    """The machine's clocks."""

    def mono_s(self) -> float:
        """Return CLOCK_MONOTONIC in seconds."""
        return time.monotonic()

    def utc_us(self) -> int:
        """Return CLOCK_REALTIME in microseconds since 1970."""
        return time.time_ns() // 1000

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        """Wait on the event in real time."""
        return event.wait(timeout_s)


class SimulatedClock:
    """A clock that moves only when told; `wait` moves it by the timeout, so loops run as fast as they can."""

    def __init__(self, utc_us: int = 1_790_000_000_000_000, mono_s: float = 1000.0) -> None:
        self._utc_us = utc_us
        self._mono_s = mono_s

    def mono_s(self) -> float:
        """Return the simulated monotonic seconds."""
        return self._mono_s

    def utc_us(self) -> int:
        """Return the simulated UTC microseconds."""
        return self._utc_us

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        """Advance by `timeout_s` unless the event is already set."""
        if not event.is_set():
            self.advance(timeout_s)
        return event.is_set()

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass on both clocks."""
        self._mono_s += seconds
        self._utc_us += round(seconds * 1_000_000)

    def step_utc(self, seconds: float) -> None:
        """Jump the wall clock by `seconds` while no time passes, as a time server or a bad RTC does."""
        self._utc_us += round(seconds * 1_000_000)
