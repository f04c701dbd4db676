"""What every Switch must do, on the simulated one on gpiozero's pins and, where gpio-sim is, over gpiod."""

import pytest
from support.gpio_sim import GpioSim, needs_gpio_sim

from agent.bell.gpiod_switch import GpiodSwitch
from agent.bell.gpiozero_contact import mock_factory
from agent.bell.gpiozero_switch import GpiozeroSwitch
from agent.bell.switch import SimulatedSwitch
from agent.errors import HardwareError


class SimulatedRig:
    def __init__(self):
        self.switch = SimulatedSwitch()
        self.set = self.switch.set


class GpiozeroRig:
    def __init__(self):
        factory = mock_factory()
        self.switch = GpiozeroSwitch(lambda: factory, 22, "key switch")
        self._pin = factory.pin(22)

    def set(self, closed):
        self._pin.drive_low() if closed else self._pin.drive_high()


class GpiodRig:
    """A real character device, on a kernel with gpio-sim."""

    def __init__(self):
        self.chip = GpioSim()
        self.switch = GpiodSwitch(self.chip.path, 22, "key switch")
        self.set(False)

    def set(self, closed):
        self.chip.connect(22, closed)


@pytest.fixture(params=[SimulatedRig, GpiozeroRig, pytest.param(GpiodRig, marks=needs_gpio_sim)])
def rig(request):
    rig = request.param()
    yield rig
    rig.switch.close()
    if isinstance(rig, GpiodRig):
        rig.chip.close()


def test_it_is_open_until_something_closes_it(rig):
    rig.switch.open()
    assert not rig.switch.closed()
    rig.set(True)
    assert rig.switch.closed()
    rig.set(False)
    assert not rig.switch.closed()


def test_it_must_be_opened_and_may_be_closed_twice(rig):
    with pytest.raises(HardwareError, match="open"):
        rig.switch.closed()
    rig.switch.open()
    rig.switch.close()
    rig.switch.close()
    with pytest.raises(HardwareError, match="open"):
        rig.switch.closed()


def test_it_can_be_opened_again(rig):
    for _ in range(2):
        rig.switch.open()
        assert not rig.switch.closed()
        rig.switch.close()


def test_a_pin_that_cannot_be_had_is_named():
    def taken():
        raise OSError("no chip")

    with pytest.raises(HardwareError, match="key switch on pin 22"):
        GpiozeroSwitch(taken, 22, "key switch").open()
