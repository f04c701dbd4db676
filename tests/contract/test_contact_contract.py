"""What every Contact must do: the simulated one, gpiozero's mock pins, and real character devices where a chip is.

On a kernel with gpio-sim (the emulated machine of `make vm-gpio`) the suite also runs over gpiod and over gpiozero's
lgpio, whose edges come from foreign threads: hence `until`.
"""

import time
from pathlib import Path

import pytest
from support.gpio_sim import GpioSim, needs_gpio_sim

from agent.bell.contact import Levels, SimulatedContact
from agent.bell.gpiod_contact import GpiodContact
from agent.bell.gpiozero_contact import GpiozeroContact, SimulatedButton, lgpio_factory, mock_factory
from agent.errors import HardwareError

LINES = {"idle": (False, True), "pressed": (True, False), "cut": (False, False), "short": (True, True)}


class SimulatedRig:
    def __init__(self, nc=True):
        self._nc = nc
        self.contact = SimulatedContact(Levels(False, True if nc else None), time.monotonic)

    def set(self, line):
        no_closed, nc_closed = LINES[line]
        self.contact.set(no_closed=no_closed, nc_closed=nc_closed if self._nc else None)

    def close(self):
        self.contact.close()


class GpiozeroRig:
    def __init__(self, nc=True):
        factory = mock_factory()
        nc_pin = 27 if nc else None
        button = SimulatedButton(factory, 17, nc_pin)
        self.contact = GpiozeroContact(lambda: factory, 17, nc_pin, time.monotonic)
        self.set = button.set

    def close(self):
        self.contact.close()


class ChipRig:
    """A chip of gpio-sim under both circuits; `contact` comes from the adapter."""

    def __init__(self, nc=True):
        self.chip = GpioSim()
        self._nc = nc
        self.set("idle")

    def set(self, line):
        for pin, closed in zip((17, 27)[: 1 + self._nc], LINES[line], strict=False):
            self.chip.connect(pin, closed)

    def close(self):
        self.contact.close()
        self.chip.close()


class GpiodRig(ChipRig):
    def __init__(self, nc=True):
        super().__init__(nc)
        self.contact = GpiodContact(self.chip.path, 17, 27 if nc else None)


class LgpioRig(ChipRig):
    def __init__(self, nc=True):
        super().__init__(nc)
        pytest.importorskip("lgpio", reason="no lgpio for this Python")
        assert self.chip.path == "/dev/gpiochip0", "gpiozero opens chip 0"
        self._factory = lgpio_factory(Path("/tmp"))
        self.contact = GpiozeroContact(lambda: self._factory, 17, 27 if nc else None, time.monotonic)

    def close(self):
        self.contact.close()
        self._factory.close()
        self.chip.close()


CHIPS = [pytest.param(rig, marks=needs_gpio_sim) for rig in (GpiodRig, LgpioRig)]


def until(condition):
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline, "never came"
        time.sleep(0.002)


@pytest.fixture(params=[SimulatedRig, GpiozeroRig, *CHIPS])
def make_rig(request):
    rigs = []

    def make(**kind):
        rigs.append(request.param(**kind))
        return rigs[-1]

    yield make
    for rig in rigs:
        rig.close()


@pytest.fixture
def rig(make_rig):
    return make_rig()


@pytest.mark.parametrize("line", LINES)
def test_the_levels_say_which_circuit_is_closed(rig, line):
    rig.contact.open(lambda edge: None)
    rig.set(line)
    assert rig.contact.levels() == Levels(*LINES[line])


def test_a_contact_held_before_opening_is_in_the_levels_and_makes_no_edge(rig):
    edges = []
    rig.set("pressed")
    rig.contact.open(edges.append)
    assert rig.contact.levels() == Levels(True, False)
    assert edges == []


def test_each_circuit_that_changes_reports_an_edge(rig):
    edges = []
    rig.contact.open(edges.append)
    before = time.monotonic()
    rig.set("pressed")
    rig.set("idle")
    until(lambda: len(edges) >= 4)
    assert [(edge.contact, edge.closed) for edge in edges] == [
        ("no", True),
        ("nc", False),
        ("no", False),
        ("nc", True),
    ]
    assert all(before <= edge.at_mono_s <= time.monotonic() for edge in edges)


def test_a_single_contact_has_no_nc_level(make_rig):
    rig = make_rig(nc=False)
    rig.contact.open(lambda edge: None)
    rig.set("pressed")
    assert rig.contact.levels() == Levels(True, None)


def test_after_close_no_edge_comes_and_closing_twice_is_harmless(rig):
    edges = []
    rig.contact.open(edges.append)
    rig.contact.close()
    rig.contact.close()
    rig.set("short")
    assert edges == []


def test_contacts_can_be_opened_again(rig):
    """The watch does so after a failure."""
    edges = []
    for _ in range(2):
        rig.contact.open(edges.append)
        rig.set("pressed")
        assert rig.contact.levels() == Levels(True, False)
        until(lambda: len(edges) >= 2)
        rig.contact.close()
        rig.set("idle")
        edges.clear()


@pytest.mark.parametrize("make_rig", [GpiozeroRig, *CHIPS], indirect=True)
def test_an_error_in_the_edge_callback_does_not_silence_the_pins(rig, caplog):
    """FACTS: one exception in a pin handler ends lgpio's only notification thread."""
    edges = []

    def fails_once(edge):
        edges.append(edge)
        if len(edges) == 1:
            raise RuntimeError("a mistake of ours")

    rig.contact.open(fails_once)
    rig.set("pressed")
    until(lambda: len(edges) == 2)
    assert "callback failed" in caplog.text


def test_the_pins_never_use_the_library_s_own_debounce():
    factory = mock_factory()
    contact = GpiozeroContact(lambda: factory, 17, 27, time.monotonic)
    contact.open(lambda edge: None)
    assert [factory.pin(number).bounce for number in (17, 27)] == [None, None]
    assert [factory.pin(number).pull for number in (17, 27)] == ["up", "up"]


def test_a_machine_without_gpio_is_named_as_such(tmp_path, monkeypatch):
    monkeypatch.delenv("LG_WD", raising=False)
    contact = GpiozeroContact(lambda: lgpio_factory(tmp_path), 17, 27, time.monotonic)
    with pytest.raises(HardwareError, match="simulate = true"):
        contact.open(lambda edge: None)


def test_levels_of_contacts_that_are_not_open_are_an_error():
    with pytest.raises(HardwareError, match="not open"):
        GpiozeroContact(mock_factory, 17, 27, time.monotonic).levels()
