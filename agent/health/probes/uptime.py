"""Seconds since the machine started."""

from pathlib import Path


def read_uptime_s(system_root: Path) -> int:
    """Return whole seconds from /proc/uptime below `system_root`; 0 where it cannot be read."""
    try:
        return int(float((system_root / "proc/uptime").read_text().split()[0]))
    except (OSError, ValueError, IndexError):
        return 0
