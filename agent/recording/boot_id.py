"""Which boot of the machine this is: the kernel makes a new id at each (random(4))."""

from pathlib import Path

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def read_boot_id(path: Path = BOOT_ID) -> str:
    """Return the id, or "" where the kernel does not tell (then a dirty start counts as a restart)."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""
