"""One slow input over gpiod v2: low is closed. A Jetson needs an outer pull-up (its kernel driver has none)."""

import gpiod
from gpiod import line as gpiod_line

from agent.errors import HardwareError

CONSUMER = "pole-bell-switch"


class GpiodSwitch:
    """The input `line` of `chip` (a path such as /dev/gpiochip0); `name` is for error texts."""

    def __init__(self, chip: str, line: int, name: str) -> None:
        self._chip = chip
        self._line = line
        self._name = name
        self._request: gpiod.LineRequest | None = None

    def open(self) -> None:
        """Take the line with a pull-up."""
        settings = gpiod.LineSettings(direction=gpiod_line.Direction.INPUT, bias=gpiod_line.Bias.PULL_UP)
        try:
            self._request = gpiod.request_lines(self._chip, {self._line: settings}, consumer=CONSUMER)
        except (OSError, ValueError) as exc:
            raise HardwareError(f"{self._name} on line {self._line} of {self._chip} cannot be used: {exc}") from exc

    def closed(self) -> bool:
        """Read the line."""
        if self._request is None:
            raise HardwareError(f"{self._name} on line {self._line} of {self._chip} is not open")
        try:
            return self._request.get_value(self._line) == gpiod_line.Value.INACTIVE
        except OSError as exc:
            raise HardwareError(f"{self._name} on line {self._line} of {self._chip} cannot be read: {exc}") from exc

    def close(self) -> None:
        """Let go of the line."""
        if self._request is not None:
            self._request.release()
            self._request = None
