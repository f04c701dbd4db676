"""One slow input over a gpiozero pin: low is closed."""

from collections.abc import Callable
from typing import Any

from agent.bell.gpiozero_contact import pin_errors, pulled_up_input
from agent.errors import HardwareError


class GpiozeroSwitch:
    """The input `number` (BCM); `make_factory` is called at `open`, `name` is for error texts."""

    def __init__(self, make_factory: Callable[[], Any], number: int, name: str) -> None:
        self._make_factory = make_factory
        self._number = number
        self._name = name
        self._pin: Any = None

    def open(self) -> None:
        """Take the pin with its pull-up."""
        try:
            self._pin = pulled_up_input(self._make_factory(), self._number)
        except pin_errors() as exc:
            raise HardwareError(f"{self._name} on pin {self._number} cannot be used: {exc}") from exc

    def closed(self) -> bool:
        """Read the pin."""
        if self._pin is None:
            raise HardwareError(f"{self._name} on pin {self._number} is not open")
        try:
            return not self._pin.state
        except pin_errors() as exc:
            raise HardwareError(f"{self._name} on pin {self._number} cannot be read: {exc}") from exc

    def close(self) -> None:
        """Let go of the pin."""
        if self._pin is not None:
            self._pin.close()
            self._pin = None
