"""What every Contact must do, on the simulated one and on gpiozero's pins."""

import time

import pytest

from agent.bell.contact import Levels, SimulatedContact
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


class GpiozeroRig:
    def __init__(self, nc=True):
        factory = mock_factory()
        nc_pin = 27 if nc else None
        button = SimulatedButton(factory, 17, nc_pin)
        self.contact = GpiozeroContact(lambda: factory, 17, nc_pin, time.monotonic)
        self.set = button.set


@pytest.fixture(params=[SimulatedRig, GpiozeroRig])
def make_rig(request):
    return request.param


@pytest.fixture
def rig(make_rig):
    rig = make_rig()
    yield rig
    rig.contact.close()


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
    rig.contact.close()


def test_after_close_no_edge_comes_and_closing_twice_is_harmless(rig):
    edges = []
    rig.contact.open(edges.append)
    rig.contact.close()
    rig.contact.close()
    rig.set("short")
    assert edges == []


def test_an_error_in_the_edge_callback_does_not_silence_the_pins(caplog):
    """FACTS: one exception in a pin handler ends lgpio's only notification thread."""
    rig, edges = GpiozeroRig(), []

    def fails_once(edge):
        edges.append(edge)
        if len(edges) == 1:
            raise RuntimeError("a mistake of ours")

    rig.contact.open(fails_once)
    rig.set("pressed")
    assert len(edges) == 2
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
