"""The Raspberry Pi firmware's throttle bits: is it held back by heat or by its power supply right now?

Rules:
* bits 0..3 say now, bits 16..19 say "since boot"; only those of now are a fault (vcgencmd documentation);
* the kernel's sysfs file is read first, since it needs no device; else `vcgencmd`, which needs /dev/vcio;
* on any other board the answer is None, and the heartbeat leaves the field out.
"""

import contextlib
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

SYSFS = "sys/devices/platform/soc/soc:firmware/get_throttled"
UNDER_VOLTAGE_BIT = 0x1
THROTTLED_BITS = 0xE  # frequency capped, throttled, soft temperature limit
VCGENCMD_S = 2.0


def ask_vcgencmd() -> str | None:
    """Return what `vcgencmd get_throttled` prints, or None where there is none or it fails."""
    command = shutil.which("vcgencmd")
    if command is None:
        return None
    try:
        asked = subprocess.run(
            [command, "get_throttled"], capture_output=True, text=True, timeout=VCGENCMD_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return asked.stdout


def read_throttled(system_root: Path, ask: Callable[[], str | None] = ask_vcgencmd) -> str | None:
    """Return the bits as hexadecimal text such as "0x50005", or None where the board has none."""
    text: str | None = None
    with contextlib.suppress(OSError):
        text = (system_root / SYSFS).read_text()
    text = text or ask()
    if text is None:
        return None
    try:
        return hex(int(text.strip().removeprefix("throttled="), 16))
    except ValueError:
        return None


def throttled_now(throttled: str | None) -> bool | None:
    """Return whether heat or voltage holds the processor back now, or None when unknown."""
    return None if throttled is None else bool(int(throttled, 16) & THROTTLED_BITS)
