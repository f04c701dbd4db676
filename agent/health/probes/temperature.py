"""Temperature from sysfs thermal zones; boards without one (and most virtual machines) have no reading."""

import contextlib
from pathlib import Path


def read_temperature_mc(system_root: Path) -> int | None:
    """Return the hottest zone below `system_root` in 0.001 degree Celsius, or None when there is no sensor.

    A zone that cannot be read (a sensor asleep answers EAGAIN) is left out.
    """
    found: list[int] = []
    for path in sorted(system_root.glob("sys/class/thermal/thermal_zone*/temp")):
        with contextlib.suppress(OSError, ValueError):
            found.append(int(path.read_text()))
    return max(found, default=None)
