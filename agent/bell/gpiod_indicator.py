"""Lamps and siren over gpiod v2: four outputs of one request, set in one system call. Active high, off when let go."""

import logging

import gpiod
from gpiod import line as gpiod_line

from agent.bell.indicator import LampPins, Lamps
from agent.errors import HardwareError

log = logging.getLogger(__name__)

CONSUMER = "pole-bell-lamps"
ON, OFF = gpiod_line.Value.ACTIVE, gpiod_line.Value.INACTIVE


class GpiodIndicator:
    """Four or five outputs of `chip` (a path such as /dev/gpiochip0), by line offset."""

    def __init__(self, chip: str, pins: LampPins) -> None:
        self._chip = chip
        self._lines = pins.fitted()
        self._request: gpiod.LineRequest | None = None

    def open(self) -> None:
        """Take the outputs, all off."""
        settings = gpiod.LineSettings(direction=gpiod_line.Direction.OUTPUT, output_value=OFF)
        try:
            self._request = gpiod.request_lines(self._chip, {tuple(self._lines.values()): settings}, consumer=CONSUMER)
        except (OSError, ValueError) as exc:
            raise HardwareError(
                f"lamp outputs {sorted(self._lines.values())} of {self._chip} cannot be used ({exc}); "
                "see `gpioinfo` for the lines and who holds them"
            ) from exc

    def drive(self, lamps: Lamps) -> None:
        """Set the outputs at once."""
        if self._request is None:
            return
        try:
            self._request.set_values({line: ON if getattr(lamps, name) else OFF for name, line in self._lines.items()})
        except OSError as exc:
            raise HardwareError(f"lamp outputs of {self._chip} cannot be written: {exc}") from exc

    def lit(self) -> Lamps:
        """Read the outputs back from the chip; all off while closed."""
        if self._request is None:
            return Lamps()
        values = self._request.get_values(list(self._lines.values()))
        return Lamps(**{name: value == ON for name, value in zip(self._lines, values, strict=True)})

    def close(self) -> None:
        """Switch everything off and let go."""
        if self._request is None:
            return
        try:
            self.drive(Lamps())
        except HardwareError:
            log.warning("lamps could not be switched off, the chip is gone chip=%s", self._chip)
        finally:
            self._request.release()
            self._request = None
