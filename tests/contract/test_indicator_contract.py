"""What every Indicator must do, on the recording one, on gpiozero's pins and, where gpio-sim is, over gpiod."""

import pytest
from gpiozero import GPIOPinInUse
from support.gpio_sim import GpioSim, needs_gpio_sim

from agent.bell.gpiod_indicator import GpiodIndicator
from agent.bell.gpiozero_contact import mock_factory
from agent.bell.gpiozero_indicator import GpiozeroIndicator, LampPins
from agent.bell.indicator import Lamps, LightState, RecordingIndicator, lamps_for
from agent.errors import HardwareError

PINS = LampPins(white=5, red=6, green=13, siren=19, call112=26)


def gpiozero_indicator():
    factory = mock_factory()
    return GpiozeroIndicator(lambda: factory, PINS)


@pytest.fixture
def gpiod_indicator():
    chip = GpioSim()
    yield lambda: GpiodIndicator(chip.path, PINS)
    chip.close()


@pytest.fixture(
    params=[RecordingIndicator, gpiozero_indicator, pytest.param("gpiod_indicator", marks=needs_gpio_sim)],
)
def indicator(request):
    make = request.getfixturevalue(request.param) if isinstance(request.param, str) else request.param
    indicator = make()
    yield indicator
    indicator.close()


def test_it_opens_dark(indicator):
    indicator.open()
    assert indicator.lit() == Lamps()


@pytest.mark.parametrize("state", LightState)
def test_it_shows_what_it_is_told(indicator, state):
    indicator.open()
    indicator.drive(lamps_for(state, 0.0))
    assert indicator.lit() == lamps_for(state, 0.0)


def test_a_sign_that_is_not_fitted_is_left_out():
    factory = mock_factory()
    indicator = GpiozeroIndicator(lambda: factory, LampPins(white=5, red=6, green=13, siren=19))
    indicator.open()
    indicator.drive(lamps_for(LightState.SIREN, 0.0))
    assert indicator.lit() == Lamps(red=True, siren=True)
    indicator.close()


def test_closing_switches_off_and_twice_is_harmless(indicator):
    indicator.open()
    indicator.drive(Lamps(red=True, siren=True))
    indicator.close()
    indicator.close()
    assert indicator.lit() == Lamps()


def test_it_can_be_opened_again(indicator):
    for _ in range(2):
        indicator.open()
        indicator.drive(Lamps(white=True))
        assert indicator.lit() == Lamps(white=True)
        indicator.close()


def test_an_output_that_is_taken_is_named():
    def taken():
        raise GPIOPinInUse("pin GPIO5 is already in use")

    with pytest.raises(HardwareError, match="cannot be used"):
        GpiozeroIndicator(taken, PINS).open()
