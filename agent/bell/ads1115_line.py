"""An ADS1115 (16 bit, I2C) as `AdcReader`. Source: TI data sheet SBAS444E, registers in section 8.1.

Rules:
* continuous conversion at 860 per second, +-4.096 V: a poll reads the newest conversion (1.2 ms old at most);
* the chip measures against its own reference, so the 3.3 V that feeds the line is taken as 3.3 V: a supply 2 % off
  shifts the idle level by 10 per mille, well inside the bands;
* every read also reads the configuration back: a chip that lost its supply for an instant comes back stopped, in its
  reset state, with an old value in the register, which must not pass for a line at rest. It is configured again at
  once (`resets` counts) and given the time of a fresh conversion; a chip that does not keep it then is an error.
"""

import logging
import time

from agent.bell.i2c_bus import I2cDevice
from agent.errors import HardwareError

CONVERSION, CONFIG = 0, 1
SINGLE_ENDED = 0x4000
FULL_SCALE_4_096_V = 0x0200
SAMPLES_860_PER_S = 0x00E0
COMPARATOR_OFF = 0x0003
STATUS_BIT = 0x8000
FULL_SCALE_V = 4.096
SUPPLY_V = 3.3
FRESH_S = 2 / 860 * 1.1  # a conversion under way and a whole one, at the chip's clock of +-10 %

log = logging.getLogger(__name__)


class Ads1115Line:
    """Channel `channel` (0..3) against ground."""

    def __init__(self, device: I2cDevice, channel: int) -> None:
        self._device = device
        self._channel = channel
        self._config = SINGLE_ENDED | channel << 12 | FULL_SCALE_4_096_V | SAMPLES_860_PER_S | COMPARATOR_OFF
        self._opened = False
        self.resets = 0

    def open(self) -> None:
        """Start the conversions, see that the chip took the configuration, and wait for the first one."""
        try:
            self._device.open()
            self._configure()
        except OSError as exc:
            self._device.close()
            raise HardwareError(
                f"ads1115 channel {self._channel} cannot be used ({exc}); check wiring, address and dtparam=i2c_arm=on"
            ) from exc
        self._opened = True

    def read(self) -> float:
        """Return the newest conversion, 0..1000 per mille of 3.3 V."""
        if not self._opened:
            raise HardwareError("ads1115 is not open")
        try:
            if not self._configured():
                self.resets += 1
                log.warning("ads1115 was reset, configured again channel=%d resets=%d", self._channel, self.resets)
                self._configure()
            raw = self._device.word(CONVERSION)
        except OSError as exc:
            raise HardwareError(f"ads1115 channel {self._channel} does not answer: {exc}") from exc
        volts = (raw - 0x10000 if raw & 0x8000 else raw) * FULL_SCALE_V / 0x8000
        return min(max(volts / SUPPLY_V * 1000.0, 0.0), 1000.0)

    def close(self) -> None:
        """Let go of the bus."""
        self._device.close()
        self._opened = False

    def _configured(self) -> bool:
        return self._device.word(CONFIG) & ~STATUS_BIT == self._config

    def _configure(self) -> None:
        self._device.put_word(CONFIG, self._config)
        time.sleep(FRESH_S)
        if not self._configured():
            raise OSError(f"it does not keep its configuration {self._config:#06x}")
