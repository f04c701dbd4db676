"""Chooses what the bell touches: contacts and lamps by `[bell]` driver and wiring, or their simulation.

| driver | contacts | lamps |
|---|---|---|
| gpiozero (Raspberry Pi) | GpiozeroContact | GpiozeroIndicator |
| gpiod (Jetson, others) | GpiodContact | GpiodIndicator |

With wiring `eol` one ADC takes the place of the contacts, on either driver. `gpiod` is imported only where it is named:
a Raspberry Pi need not have it.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.bell.adc_reader import AdcReader, SimulatedAdc
from agent.bell.ads1115_line import Ads1115Line
from agent.bell.contact import Contact
from agent.bell.control_socket import Button
from agent.bell.gpiozero_adc_line import GpiozeroAdcLine
from agent.bell.gpiozero_contact import GpiozeroContact, SimulatedButton, lgpio_factory, mock_factory
from agent.bell.gpiozero_indicator import GpiozeroIndicator
from agent.bell.gpiozero_switch import GpiozeroSwitch
from agent.bell.i2c_bus import LinuxI2cDevice
from agent.bell.indicator import Indicator, LampPins
from agent.bell.resistor_contact import ResistorContact, SimulatedResistorButton
from agent.bell.resistor_line import Drift
from agent.bell.switch import Switch
from agent.clock import Clock
from agent.config import BellConfig
from agent.errors import ConfigError
from agent.fault_board import FaultBoard

SUBJECT = "bell"
ADS1115_FIRST_ADDRESS = 0x48

MakePins = Callable[[], Any]


@dataclass(frozen=True)
class BellHardware:
    """The bell's hardware, closed; `button` moves it when it is simulated, `supervised` is not a single contact."""

    contact: Contact
    indicator: Indicator
    supervised: bool
    button: Button | None
    key_switch: Switch | None
    lamp_sense: Switch | None


def bell_hardware(
    bell: BellConfig, run_dir: Path, simulated_pins: Any, faults: FaultBoard, clock: Clock
) -> BellHardware:
    """Return the hardware of `bell`; `simulated_pins` is a gpiozero mock factory that a test holds too.

    Raises:
        ConfigError: the driver's package is not installed.
    """
    supervised = bell.wiring != "no"
    if bell.driver == "gpiod" and not bell.simulate:
        contact: Contact = _resistor(_ads1115(bell), faults, clock) if bell.wiring == "eol" else _gpiod_contact(bell)
        indicator: Indicator = _gpiod("gpiod_indicator").GpiodIndicator(bell.chip, _lamps(bell))
        return BellHardware(contact, indicator, supervised, None, *_switches(bell, _gpiod_switch(bell.chip)))
    pins = _pins(bell, run_dir, simulated_pins)
    indicator = GpiozeroIndicator(pins, _lamps(bell))
    button: Button | None = None
    if bell.wiring == "eol":
        adc = _adc(bell, pins)
        contact = _resistor(adc, faults, clock)
        button = SimulatedResistorButton(adc) if isinstance(adc, SimulatedAdc) else None
    else:
        contact = GpiozeroContact(pins, bell.no_pin, _nc_pin(bell), clock.mono_s)
        if bell.simulate and simulated_pins is None:
            button = SimulatedButton(pins(), bell.no_pin, _nc_pin(bell))
    switches = _switches(bell, lambda pin, name: GpiozeroSwitch(pins, pin, name))
    return BellHardware(contact, indicator, supervised, button, *switches)


def _switches(bell: BellConfig, make: Callable[[int, str], Switch]) -> tuple[Switch | None, Switch | None]:
    """Return the key switch and the lamps' current sense where they are fitted."""
    wanted = ((bell.key_switch_pin, "the key switch"), (bell.lamp_sense_pin, "the lamps' current sense"))
    key, sense = (None if pin is None else make(pin, name) for pin, name in wanted)
    return key, sense


def _gpiod_switch(chip: str) -> Callable[[int, str], Switch]:
    def make(line: int, name: str) -> Switch:
        switch: Switch = _gpiod("gpiod_switch").GpiodSwitch(chip, line, name)
        return switch

    return make


def _pins(bell: BellConfig, run_dir: Path, simulated_pins: Any) -> MakePins:
    """Return a maker that makes one factory and shares it: contacts and lamps sit on the same chip."""
    made: list[Any] = [simulated_pins] if simulated_pins is not None else []

    def get() -> Any:
        if not made:
            made.append(mock_factory() if bell.simulate else lgpio_factory(run_dir))
        return made[0]

    return get


def _lamps(bell: BellConfig) -> LampPins:
    return LampPins(bell.white_pin, bell.red_pin, bell.green_pin, bell.siren_pin, bell.call112_pin)


def _nc_pin(bell: BellConfig) -> int | None:
    return bell.nc_pin if bell.wiring == "no-nc" else None


def _gpiod(module: str) -> Any:
    try:
        return importlib.import_module(f"agent.bell.{module}")
    except ImportError as exc:
        raise ConfigError([f"bell.driver: 'gpiod' needs its package ({exc}); install pole-agent[jetson]"]) from exc


def _gpiod_contact(bell: BellConfig) -> Contact:
    contact: Contact = _gpiod("gpiod_contact").GpiodContact(bell.chip, bell.no_pin, _nc_pin(bell))
    return contact


def _adc(bell: BellConfig, pins: MakePins) -> AdcReader:
    if bell.simulate:
        return SimulatedAdc()
    if bell.adc == "mcp3008":
        return GpiozeroAdcLine(pins, bell.adc_channel, bell.adc_address or 0)
    return _ads1115(bell)


def _ads1115(bell: BellConfig) -> AdcReader:
    address = ADS1115_FIRST_ADDRESS if bell.adc_address is None else bell.adc_address
    return Ads1115Line(LinuxI2cDevice(bell.adc_bus, address), bell.adc_channel)


def _resistor(adc: AdcReader, faults: FaultBoard, clock: Clock) -> ResistorContact:
    def on_drift(drift: Drift | None, level: float) -> None:
        if drift is None:
            faults.clear("bell-line-drift", SUBJECT)
        else:
            faults.report("bell-line-drift", f"{drift}: rests at {level:.0f} of 1000, 500 is right", SUBJECT)

    return ResistorContact(adc, clock.mono_s, on_drift)
