"""A GPIO chip of the kernel's gpio-sim: a real character device whose lines the test pulls to ground or lets go.

Only in a machine with that module: `tests/vm/run-gpio` boots one. The module there is built without `set_config`, so
that a line's level is the wire's alone, as at a closed contact, which is stronger than any pull-up inside the chip
(and as on a Jetson, whose driver knows no pull-ups).
"""

import itertools
from pathlib import Path

import pytest

CONFIG = Path("/sys/kernel/config/gpio-sim")
LINES = 28
LABEL = "pinctrl-bcm2711"

needs_gpio_sim = pytest.mark.skipif(
    not CONFIG.is_dir(), reason="this kernel has no gpio-sim; `make vm-gpio` runs it in an emulated machine"
)

_numbers = itertools.count()


class GpioSim:
    """One chip with all lines pulled up (open). `path` is its character device."""

    def __init__(self) -> None:
        self._config = CONFIG / f"pole-{next(_numbers)}"
        self._bank = self._config / "bank0"
        self._config.mkdir()
        self._bank.mkdir()
        (self._bank / "num_lines").write_text(str(LINES))
        (self._bank / "label").write_text(LABEL)
        self._live = self._config / "live"
        self.path = ""
        self.plug()

    def plug(self) -> None:
        """Let the chip appear, with all its lines open."""
        self._live.write_text("1")
        chip = (self._bank / "chip_name").read_text().strip()
        device = (self._config / "dev_name").read_text().strip()
        self._lines = Path(f"/sys/devices/platform/{device}/{chip}")
        self.path = f"/dev/{chip}"
        for line in range(LINES):
            self.connect(line, False)

    def connect(self, line: int, to_ground: bool) -> None:
        """Close or open the contact between the line and ground."""
        (self._lines / f"sim_gpio{line}" / "pull").write_text("pull-down" if to_ground else "pull-up")

    def high(self, line: int) -> bool:
        """Whether the line is high, as an output drives it or the wire pulls it."""
        return (self._lines / f"sim_gpio{line}" / "value").read_text().strip() == "1"

    def unplug(self) -> None:
        """Take the chip away, as a driver that dies does; whoever holds a line gets ENODEV."""
        if self._live.read_text().strip() == "1":
            self._live.write_text("0")

    def close(self) -> None:
        """Remove the chip."""
        self.unplug()
        self._bank.rmdir()
        self._config.rmdir()
