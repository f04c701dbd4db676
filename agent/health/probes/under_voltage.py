"""Supply voltage: the Raspberry Pi's hwmon alarm (`rpi_volt`, in0_lcrit_alarm), else the firmware's throttle bit."""

import contextlib
from pathlib import Path

from agent.health.probes.throttling import UNDER_VOLTAGE_BIT


def read_under_voltage(system_root: Path, throttled: str | None) -> bool | None:
    """Return whether the voltage is too low now, or None when the board cannot tell."""
    for name in sorted(system_root.glob("sys/class/hwmon/hwmon*/name")):
        with contextlib.suppress(OSError):
            if name.read_text().strip() == "rpi_volt":
                return (name.parent / "in0_lcrit_alarm").read_text().strip() == "1"
    return None if throttled is None else bool(int(throttled, 16) & UNDER_VOLTAGE_BIT)
