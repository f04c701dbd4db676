"""What only gpiod promises: kernel stamps, lost edges counted, a chip that goes away is said to be gone."""

import logging
import threading
import time

import gpiod
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.gpio_sim import GpioSim, needs_gpio_sim

from agent.bell.edge_sequence import EdgeSequence
from agent.bell.gpiod_contact import KERNEL_EVENTS, GpiodContact
from agent.bell.gpiod_indicator import GpiodIndicator
from agent.bell.indicator import LampPins, Lamps
from agent.errors import HardwareError

PINS = LampPins(white=5, red=6, green=13, siren=19)


@given(st.lists(st.tuples(st.sampled_from([17, 27]), st.booleans()), max_size=60))
def test_every_number_the_kernel_skipped_is_a_lost_edge(events):
    """Each line has its own numbers; drops at the very end are seen with the next edge."""
    numbers, sequence, lost, waiting = {17: 0, 27: 0}, EdgeSequence(), 0, {17: 0, 27: 0}
    for line, dropped in events:
        numbers[line] += 1
        if dropped:
            waiting[line] += 1
        else:
            sequence = sequence.seen(line, numbers[line])
            lost, waiting[line] = lost + waiting[line], 0
        assert sequence.lost == lost


@pytest.mark.parametrize("chip", ["/dev/gpiochip99", "/dev/null"])
def test_a_machine_without_that_chip_is_told_what_to_look_at(chip):
    with pytest.raises(HardwareError, match=rf"\[17, 27\] of {chip} cannot be used .*gpioinfo"):
        GpiodContact(chip, 17, 27).open(lambda edge: None)
    with pytest.raises(HardwareError, match=f"lamp outputs .* of {chip} cannot be used"):
        GpiodIndicator(chip, PINS).open()


def test_levels_of_contacts_that_are_not_open_are_an_error():
    with pytest.raises(HardwareError, match="not open"):
        GpiodContact("/dev/gpiochip0", 17, 27).levels()


@pytest.fixture
def chip():
    chip = GpioSim()
    yield chip
    chip.close()


@pytest.fixture
def contact(chip):
    contact = GpiodContact(chip.path, 17, 27)
    yield contact
    contact.close()


def until(condition):
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline, "never came"
        time.sleep(0.002)


@needs_gpio_sim
def test_an_edge_is_stamped_by_the_kernel_not_by_the_thread_that_woke_late(chip, contact):
    edges, go_on = [], threading.Event()

    def busy(edge):
        go_on.wait(5)
        edges.append(edge)

    contact.open(busy)
    before = time.monotonic()
    chip.connect(17, True)
    chip.connect(17, False)
    after = time.monotonic()
    until(lambda: time.monotonic() > after + 0.05)
    go_on.set()
    until(lambda: len(edges) == 2)
    assert before <= edges[0].at_mono_s <= edges[1].at_mono_s <= after


@needs_gpio_sim
def test_edges_the_kernel_dropped_are_counted_and_the_last_one_is_true(chip, contact, caplog):
    caplog.set_level(logging.WARNING)
    edges, go_on = [], threading.Event()

    def busy(edge):
        go_on.wait(20)
        edges.append(edge)

    contact.open(busy)
    made = 2 * KERNEL_EVENTS + 51
    for number in range(made):
        chip.connect(17, number % 2 == 0)
    go_on.set()
    until(lambda: len(edges) + contact.edges_lost == made)
    assert contact.edges_lost > 0
    assert edges[-1].closed and contact.levels().no_closed
    assert "kernel dropped edges line=no" in caplog.text


@needs_gpio_sim
def test_the_request_asks_for_a_pull_up_and_no_kernel_debounce_and_names_its_holder(chip, contact):
    contact.open(lambda edge: None)
    with gpiod.Chip(chip.path) as other:
        info = other.get_line_info(17)
    assert (info.bias, info.debounced, info.consumer) == (gpiod.line.Bias.PULL_UP, False, "pole-bell")


@needs_gpio_sim
def test_a_line_that_another_holds_is_named(chip, contact):
    contact.open(lambda edge: None)
    second = GpiodContact(chip.path, 27, None)
    with pytest.raises(HardwareError, match=r"\[27\].*busy.*who holds them"):
        second.open(lambda edge: None)


@needs_gpio_sim
def test_a_chip_that_goes_away_is_an_error_and_a_new_one_can_be_opened(chip, contact):
    contact.open(lambda edge: None)
    chip.unplug()
    with pytest.raises(HardwareError, match="cannot be read"):
        contact.levels()
    contact.close()
    chip.plug()
    contact.open(lambda edge: None)
    assert contact.levels().no_closed is False


@needs_gpio_sim
def test_the_lamps_are_dark_when_let_go_and_when_the_chip_dies_closing_is_safe(chip, caplog):
    indicator = GpiodIndicator(chip.path, PINS)
    indicator.open()
    indicator.drive(Lamps(red=True, siren=True))
    assert [chip.high(line) for line in (5, 6, 13, 19)] == [False, True, False, True]
    indicator.close()
    indicator.open()
    assert indicator.lit() == Lamps()
    chip.unplug()
    with pytest.raises(HardwareError, match="cannot be written"):
        indicator.drive(Lamps(red=True))
    indicator.close()
    assert "could not be switched off" in caplog.text
