"""What the wiring puts behind the bell for each `[bell]` driver and wiring, and what a drifting line tells the crew."""

import builtins
import sys
from pathlib import Path

import pytest

from agent.bell.ads1115_line import Ads1115Line
from agent.bell.contact import Levels
from agent.bell.contact_watch import POLL_S, ContactWatch, WatchLimits
from agent.bell.gpiod_contact import GpiodContact
from agent.bell.gpiod_indicator import GpiodIndicator
from agent.bell.gpiod_switch import GpiodSwitch
from agent.bell.gpiozero_adc_line import GpiozeroAdcLine
from agent.bell.gpiozero_contact import GpiozeroContact
from agent.bell.gpiozero_switch import GpiozeroSwitch
from agent.bell.resistor_contact import SIMULATED, ResistorContact
from agent.bell.resistor_line import DRIFT_S
from agent.clock import SimulatedClock
from agent.config import BellConfig
from agent.errors import ConfigError
from agent.fault_board import FaultBoard
from agent.wiring.bell_hardware import bell_hardware


def hardware_of(**keys):
    clock = SimulatedClock()
    faults = FaultBoard(clock)
    return bell_hardware(BellConfig(**keys), Path("/run"), None, faults, clock), faults, clock


@pytest.mark.parametrize(
    ("keys", "contact", "supervised"),
    [
        ({}, GpiozeroContact, True),
        ({"wiring": "no", "nc_pin": None}, GpiozeroContact, False),
        ({"driver": "gpiod"}, GpiodContact, True),
        ({"wiring": "eol", "adc": "mcp3008"}, ResistorContact, True),
        ({"wiring": "eol", "adc": "ads1115", "driver": "gpiod"}, ResistorContact, True),
    ],
)
def test_each_driver_and_wiring_has_its_hardware_and_nobody_s_hand_on_it(keys, contact, supervised):
    hardware, _, _ = hardware_of(**keys)
    assert type(hardware.contact) is contact
    assert (hardware.supervised, hardware.button) == (supervised, None)
    assert isinstance(hardware.indicator, GpiodIndicator) == (keys.get("driver") == "gpiod")


def test_the_converter_is_the_one_that_is_named():
    assert isinstance(hardware_of(wiring="eol", adc="mcp3008")[0].contact._reader, GpiozeroAdcLine)
    assert isinstance(hardware_of(wiring="eol", adc="ads1115")[0].contact._reader, Ads1115Line)


@pytest.mark.parametrize("wiring", ["no-nc", "eol"])
@pytest.mark.parametrize(
    ("line", "levels"), [("idle", (False, True)), ("pressed", (True, False)), ("cut", (False, False))]
)
def test_a_simulated_line_is_moved_by_its_button(wiring, line, levels):
    hardware, _, _ = hardware_of(simulate=True, wiring=wiring)
    hardware.contact.open(lambda edge: None)
    hardware.button.set(line)
    assert hardware.contact.levels() == Levels(*levels)
    with pytest.raises(ValueError, match="use one of idle, pressed, cut, short"):
        hardware.button.set("wet")


def test_without_its_package_gpiod_is_a_mistake_of_the_configuration(monkeypatch):
    for module in [name for name in sys.modules if name.startswith(("gpiod", "agent.bell.gpiod"))]:
        monkeypatch.delitem(sys.modules, module)
    real = builtins.__import__

    def without_gpiod(name, *rest, **words):
        if name.split(".")[0] == "gpiod":
            raise ModuleNotFoundError("No module named 'gpiod'")
        return real(name, *rest, **words)

    monkeypatch.setattr(builtins, "__import__", without_gpiod)
    with pytest.raises(ConfigError, match=r"install pole-agent\[jetson\]"):
        hardware_of(driver="gpiod")


class WatchedLine:
    """A simulated end-of-line resistor under the real watch, polled as the service does."""

    def __init__(self):
        self.hardware, self.faults, self.clock = hardware_of(simulate=True, wiring="eol")
        self.announced = []
        self.watch = ContactWatch(
            self.hardware.contact,
            WatchLimits(),
            self.hardware.supervised,
            self.announced.append,
            self.faults,
            self.clock,
        )
        self.watch.open()

    def hold(self, line, seconds):
        self.hardware.button.set(line)
        for _ in range(round(seconds / POLL_S)):
            self.clock.advance(POLL_S)
            self.watch.step(None)

    def codes(self):
        return [fault.code for fault in self.faults.standing()]


@pytest.mark.parametrize(
    ("lines", "announced", "codes"),
    [
        ("idle", [], []),
        ("idle pressed idle", ["pressed"], []),
        ("idle cut", ["cut"], ["bell-line-cut"]),
        ("idle short", ["short"], ["bell-line-short"]),
    ],
)
def test_an_end_of_line_resistor_rings_and_reports_as_two_contacts_do(lines, announced, codes):
    watched = WatchedLine()
    for line in lines.split():
        watched.hold(line, 0.5)
    assert [actuation.line for actuation in watched.announced] == announced
    assert watched.codes() == codes


def test_a_rusting_line_is_a_fault_with_its_cause_and_still_rings(monkeypatch):
    watched = WatchedLine()
    watched.hold("idle", 1)
    monkeypatch.setitem(SIMULATED, "idle", 600.0)
    monkeypatch.setitem(SIMULATED, "pressed", 450.0)  # 2.3 kOhm of rust
    watched.hold("idle", DRIFT_S + 1)
    (fault,) = watched.faults.standing()
    assert (fault.code, fault.subject) == ("bell-line-drift", "bell")
    assert fault.detail.startswith("corroded: rests at 600")
    watched.hold("pressed", 0.2)
    assert [actuation.line for actuation in watched.announced] == ["pressed"]
    monkeypatch.setitem(SIMULATED, "idle", 500.0)
    watched.hold("idle", 120)
    assert watched.codes() == []


def test_the_key_switch_and_the_lamp_sense_are_there_where_they_are_wired(tmp_path):
    """On either driver; a pole without them has none."""
    for driver, kind in (("gpiozero", GpiozeroSwitch), ("gpiod", GpiodSwitch)):
        fitted = BellConfig(driver=driver, key_switch_pin=22, lamp_sense_pin=12)
        clock = SimulatedClock()
        hardware = bell_hardware(fitted, tmp_path, None, FaultBoard(clock), clock)
        assert isinstance(hardware.key_switch, kind) and isinstance(hardware.lamp_sense, kind)
        bare = bell_hardware(BellConfig(driver=driver), tmp_path, None, FaultBoard(clock), clock)
        assert (bare.key_switch, bare.lamp_sense) == (None, None)
