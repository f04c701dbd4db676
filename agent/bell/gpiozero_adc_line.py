"""An MCP3008 (10 bit, SPI) over gpiozero. Its VREF pin is wired to the 3.3 V that feeds the line (ratiometric)."""

import warnings
from collections.abc import Callable
from typing import Any

import gpiozero

from agent.bell.gpiozero_contact import pin_errors
from agent.errors import HardwareError


class GpiozeroAdcLine:
    """Channel `channel` (0..7) of the MCP3008 on SPI port 0, chip select `address` (0 or 1)."""

    def __init__(self, make_factory: Callable[[], Any], channel: int, address: int) -> None:
        self._make_factory = make_factory
        self._channel = channel
        self._address = address
        self._adc: Any = None

    def open(self) -> None:
        """Take the SPI port; a converter that is not there answers all zeros or all ones: short, or cut."""
        try:
            factory = self._make_factory()
            with warnings.catch_warnings():
                # Without the kernel's port gpiozero toggles the pins itself: a core's work for 100 samples a second.
                warnings.simplefilter("error", gpiozero.SPISoftwareFallback)
                self._adc = gpiozero.MCP3008(self._channel, port=0, device=self._address, pin_factory=factory)
        except pin_errors(gpiozero.SPISoftwareFallback) as exc:
            raise HardwareError(
                f"mcp3008 on spi 0.{self._address} cannot be used ({exc}); is dtparam=spi=on in config.txt?"
            ) from exc

    def read(self) -> float:
        """Return one conversion, 0..1000 per mille."""
        if self._adc is None:
            raise HardwareError("mcp3008 is not open")
        try:
            return float(self._adc.value) * 1000.0
        except pin_errors() as exc:
            raise HardwareError(f"mcp3008 on spi 0.{self._address} does not answer: {exc}") from exc

    def close(self) -> None:
        """Let go of the SPI port."""
        if self._adc is not None:
            self._adc.close()
            self._adc = None
