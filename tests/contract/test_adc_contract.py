"""What every AdcReader must do: the fake, an MCP3008 behind gpiozero's software SPI, an ADS1115 behind I2C registers.

In the emulated machine (`make vm-gpio`) the ADS1115 also answers through the kernel's own /dev/i2c and i2c-stub.
"""

from pathlib import Path

import gpiozero
import pytest
from gpiozero.pins.mock import MockFactory, MockSPIDevice

from agent.bell.adc_reader import SimulatedAdc
from agent.bell.ads1115_line import CONFIG, CONVERSION, Ads1115Line
from agent.bell.gpiozero_adc_line import GpiozeroAdcLine
from agent.bell.i2c_bus import LinuxI2cDevice, SimulatedI2cDevice
from agent.errors import HardwareError

ADDRESS = 0x48
STUB = Path("/sys/module/i2c_stub")
RESET_STATE = 0x8583


class FakeRig:
    accuracy = 0.0

    def __init__(self):
        self.reader = SimulatedAdc()
        self.set = self.reader.set


class Mcp3008Chip(MockSPIDevice):
    """The chip's side of the wire: start bit, single-ended, three channel bits, null bit, ten bits (DS21295D, 5.0)."""

    levels = (0,) * 8

    def on_bit(self):
        if self.rx_bit == 12:
            command = self.rx_word()
            assert command & 0b11000 == 0b11000, "start bit and single-ended"
            self.tx_word(self.levels[command & 0b111], 12)


class Mcp3008Rig:
    accuracy = 1.0

    def __init__(self, channel=3):
        self.factory = gpiozero.Device.pin_factory = MockFactory()
        self.chip = Mcp3008Chip(11, 10, 9, 8, pin_factory=self.factory)
        self.reader = GpiozeroAdcLine(lambda: self.factory, channel, 0)
        self._channel = channel

    def set(self, level):
        self.chip.levels = [round(level * 1023 / 1000) if n == self._channel else 77 for n in range(8)]


class Ads1115Rig:
    accuracy = 0.1

    def __init__(self, channel=3):
        self.device = SimulatedI2cDevice({CONFIG: RESET_STATE})
        self.reader = Ads1115Line(self.device, channel)

    def set(self, level):
        self.device.registers[CONVERSION] = round(level / 1000 * 3.3 * 0x8000 / 4.096)


class I2cStubRig(Ads1115Rig):
    """Two file descriptors on the same emulated chip: ours and the wire's."""

    def __init__(self, channel=3):
        names = Path("/sys/bus/i2c/devices").glob("i2c-*/name")
        (bus,) = [Path("/dev") / name.parent.name for name in names if "SMBus stub" in name.read_text()]
        self.wire = LinuxI2cDevice(bus, ADDRESS)
        self.wire.open()
        self.wire.put_word(CONFIG, RESET_STATE)
        self.reader = Ads1115Line(LinuxI2cDevice(bus, ADDRESS), channel)

    def set(self, level):
        self.wire.put_word(CONVERSION, round(level / 1000 * 3.3 * 0x8000 / 4.096))


needs_stub = pytest.mark.skipif(not STUB.is_dir(), reason="no i2c-stub here; `make vm-gpio` loads it")


@pytest.fixture(params=[FakeRig, Mcp3008Rig, Ads1115Rig, pytest.param(I2cStubRig, marks=needs_stub)])
def rig(request):
    rig = request.param()
    yield rig
    rig.reader.close()
    gpiozero.Device.pin_factory = None  # gpiozero's software bus looks there, not at the factory it was given


@pytest.mark.parametrize("level", [0.0, 195.0, 500.0, 660.0, 1000.0])
def test_it_reads_the_level_of_its_channel(rig, level):
    rig.set(level)
    rig.reader.open()
    assert rig.reader.read() == pytest.approx(level, abs=rig.accuracy)


def test_each_read_is_a_new_measurement(rig):
    rig.reader.open()
    seen = []
    for level in (500.0, 195.0, 500.0):
        rig.set(level)
        seen.append(rig.reader.read())
    assert seen == pytest.approx([500.0, 195.0, 500.0], abs=rig.accuracy)


def test_it_can_be_opened_again_and_closing_twice_is_harmless(rig):
    for _ in range(2):
        rig.reader.open()
        rig.set(500.0)
        assert rig.reader.read() == pytest.approx(500.0, abs=rig.accuracy)
        rig.reader.close()
        rig.reader.close()


def test_reading_while_closed_is_an_error_that_says_so(rig):
    with pytest.raises(HardwareError, match="not open"):
        rig.reader.read()


@pytest.mark.parametrize("rig", [Ads1115Rig, pytest.param(I2cStubRig, marks=needs_stub)], indirect=True)
def test_an_ads1115_that_was_reset_under_way_is_started_again_and_counted(rig):
    """It would keep its last value for ever: an idle line, while the button is pressed."""
    rig.set(500.0)
    rig.reader.open()
    rig.reader.read()
    wire = getattr(rig, "wire", None) or rig.device
    wire.put_word(CONFIG, RESET_STATE)
    assert rig.reader.read() == pytest.approx(500.0, abs=rig.accuracy)
    assert (rig.reader.resets, wire.word(CONFIG)) == (1, 0x72E3)
    rig.reader.read()
    assert rig.reader.resets == 1


def test_an_ads1115_that_does_not_keep_its_configuration_is_not_believed():
    rig = Ads1115Rig()
    rig.reader.open()
    rig.device.registers[CONFIG] = RESET_STATE
    rig.device.put_word = lambda register, value: None
    with pytest.raises(HardwareError, match="does not keep its configuration"):
        rig.reader.read()
    rig.reader.close()
    with pytest.raises(HardwareError, match="cannot be used"):
        rig.reader.open()


def test_an_ads1115_that_does_not_answer_is_an_error_with_the_next_step():
    rig = Ads1115Rig()
    rig.reader.open()
    rig.device.answering = False
    with pytest.raises(HardwareError, match="does not answer"):
        rig.reader.read()
    rig.reader.close()
    with pytest.raises(HardwareError, match="i2c_arm"):
        rig.reader.open()


def test_the_ads1115_measures_its_channel_against_ground_without_end():
    """SBAS444E table 8: MUX 100+channel, PGA 001, MODE 0, DR 111, comparator off."""
    for channel, config in ((0, 0x42E3), (3, 0x72E3)):
        rig = Ads1115Rig(channel)
        rig.reader.open()
        assert rig.device.registers[CONFIG] == config


def test_a_negative_reading_and_one_above_the_supply_stay_in_range():
    rig = Ads1115Rig()
    rig.reader.open()
    for raw, level in ((0xFFFF, 0.0), (0x7FFF, 1000.0)):
        rig.device.registers[CONVERSION] = raw
        assert rig.reader.read() == level


def test_a_machine_without_that_bus_is_told_what_to_look_at():
    with pytest.raises(HardwareError, match="wiring, address"):
        Ads1115Line(LinuxI2cDevice(Path("/dev/i2c-99"), ADDRESS), 0).open()
    with pytest.raises(HardwareError, match="wiring, address"):
        Ads1115Line(LinuxI2cDevice(Path("/dev/null"), ADDRESS), 0).open()


class PortlessFactory(MockFactory):
    """A Pi without dtparam=spi=on."""

    def _get_spi_class(self, shared, hardware):
        if hardware:
            raise ImportError("failed to import spidev")
        return super()._get_spi_class(shared, hardware)


def test_an_spi_port_that_gpiozero_would_replace_by_toggling_pins_is_an_error():
    """It would work, at a cost of a whole core for 100 samples a second."""
    with pytest.raises(HardwareError, match=r"failed to import spidev.*dtparam=spi=on"):
        GpiozeroAdcLine(PortlessFactory, 3, 0).open()


@pytest.mark.parametrize("rig", [Mcp3008Rig], indirect=True)
def test_a_channel_that_the_chip_has_not_is_named(rig):
    with pytest.raises(HardwareError, match=r"spi 0\.0 cannot be used"):
        GpiozeroAdcLine(lambda: rig.factory, 9, 0).open()
