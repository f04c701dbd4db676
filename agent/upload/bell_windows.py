"""Which footage goes first: the time around each press that the bell service reports (R-BELL).

Pure: the status file is read by the caller. A window stays first while its incident is open.
"""

from agent.config import BellConfig
from agent.status_file import ServiceStatus

SECOND_US = 1_000_000


def bell_windows(status: ServiceStatus | None, bell: BellConfig) -> list[tuple[int, int]]:
    """Return the half-open spans [from_us, to_us) around open incidents, newest press first."""
    if status is None:
        return []
    before_us = round(bell.window_before_s * SECOND_US)
    after_us = round(bell.window_after_s * SECOND_US)
    presses = sorted((incident.pressed_at_us for incident in status.incidents), reverse=True)
    return [(pressed_us - before_us, pressed_us + after_us) for pressed_us in presses]


def in_windows(windows: list[tuple[int, int]], start_us: int, end_us: int) -> bool:
    """Return whether the span [start_us, end_us) touches one of the windows."""
    return any(start_us < to_us and from_us < end_us for from_us, to_us in windows)
