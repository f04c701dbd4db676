"""Lamps and siren over gpiozero output pins. We blink ourselves: gpiozero's blink threads stop with a join."""

from collections.abc import Callable
from typing import Any

import gpiozero

from agent.bell.gpiozero_contact import pin_errors
from agent.bell.indicator import LampPins as LampPins
from agent.bell.indicator import Lamps
from agent.errors import HardwareError


class GpiozeroIndicator:
    """Four or five outputs, active high; `make_factory` is called at `open`."""

    def __init__(self, make_factory: Callable[[], Any], pins: LampPins) -> None:
        self._make_factory = make_factory
        self._numbers = pins
        self._devices: dict[str, Any] = {}

    def open(self) -> None:
        """Take the outputs, all off."""
        try:
            factory = self._make_factory()
            for name, number in self._numbers.fitted().items():
                self._devices[name] = gpiozero.DigitalOutputDevice(number, pin_factory=factory)
        except pin_errors() as exc:
            self.close()
            raise HardwareError(f"lamp outputs {self._numbers} cannot be used: {exc}") from exc

    def drive(self, lamps: Lamps) -> None:
        """Write every output."""
        try:
            for name, device in self._devices.items():
                device.value = int(getattr(lamps, name))
        except pin_errors() as exc:
            raise HardwareError(f"lamp outputs {self._numbers} cannot be written: {exc}") from exc

    def lit(self) -> Lamps:
        """Read the outputs back from the pins."""
        return Lamps(**{name: bool(device.value) for name, device in self._devices.items()})

    def close(self) -> None:
        """Switch everything off and let go."""
        for device in self._devices.values():
            device.close()
        self._devices.clear()
