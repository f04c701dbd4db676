"""The contact watch: edges, polls, a contact held at start, contacts that cannot be read."""

import threading

import pytest

from agent.bell.contact import Edge, Levels, SimulatedContact
from agent.bell.contact_watch import EDGES, POLL_S, ContactWatch, WatchLimits
from agent.clock import SimulatedClock
from agent.errors import HardwareError
from agent.fault_board import FaultBoard
from agent.supervise import WorkerContext

IDLE = {"no_closed": False, "nc_closed": True}
PRESSED = {"no_closed": True, "nc_closed": False}


class Watched:
    """A watch over a simulated contact, stepped by hand."""

    def __init__(self, levels=IDLE, supervised=True):
        self.clock = SimulatedClock()
        self.contact = SimulatedContact(Levels(**levels), self.clock.mono_s)
        self.actuations = []
        self.faults = FaultBoard(self.clock)
        self.watch = ContactWatch(
            self.contact, WatchLimits(), supervised, self.actuations.append, self.faults, self.clock
        )
        self.watch.open()

    def poll(self, seconds):
        for _ in range(round(seconds / POLL_S)):
            self.clock.advance(POLL_S)
            self.watch.step(self.watch._waiting_edge())

    def codes(self):
        return [fault.code for fault in self.faults.standing()]


def test_a_press_of_the_debounce_time_is_seen_by_polls_alone():
    watched = Watched()
    watched.poll(0.1)
    watched.contact._levels = Levels(**PRESSED)  # no edge: the notification was lost
    watched.poll(0.05)
    assert [actuation.line for actuation in watched.actuations] == ["pressed"]


def test_a_contact_held_at_start_is_seen_without_any_edge():
    watched = Watched(PRESSED)
    watched.poll(0.05)
    assert [actuation.held_at_boot for actuation in watched.actuations] == [True]


@pytest.mark.parametrize("late_s", [0.001, 0.03, 0.06, 0.5, 20])
@pytest.mark.parametrize("wired", ["no-nc", "no"])
def test_a_press_is_seen_however_late_the_thread_comes_to_look_at_its_edges(wired, late_s):
    """Found by the bell drill on a busy machine: a press and its release in the queue, both older than the debounce."""
    nc = {True: True, False: False} if wired == "no-nc" else {True: None, False: None}
    watched = Watched({"no_closed": False, "nc_closed": nc[True]}, supervised=wired == "no-nc")
    watched.poll(0.1)
    for count in (1, 2):
        watched.contact.set(no_closed=True, nc_closed=nc[False])
        watched.clock.advance(0.036)
        watched.contact.set(no_closed=False, nc_closed=nc[True])
        watched.clock.advance(late_s)
        watched.watch.step(watched.watch._waiting_edge())
        assert [actuation.line for actuation in watched.actuations] == ["pressed"] * count
        watched.poll(0.1)
    assert len(watched.actuations) == 2


def test_two_presses_that_wait_in_the_queue_are_two_alarms():
    watched = Watched()
    watched.poll(0.1)
    for _ in range(2):
        watched.contact.set(**PRESSED)
        watched.clock.advance(0.05)
        watched.contact.set(**IDLE)
        watched.clock.advance(0.05)
    watched.watch.step(watched.watch._waiting_edge())
    assert [actuation.line for actuation in watched.actuations] == ["pressed", "pressed"]


def test_a_press_between_two_polls_is_seen_by_its_edges():
    watched = Watched()
    watched.poll(0.1)
    watched.contact.set(**PRESSED)
    watched.clock.advance(0.040)  # the thread was not scheduled for 40 ms
    watched.contact.set(**IDLE)
    watched.watch.step(watched.watch._waiting_edge())
    watched.poll(0.05)
    assert len(watched.actuations) == 1


def test_noise_shorter_than_the_debounce_time_is_no_press():
    watched = Watched()
    watched.poll(0.1)
    for _ in range(20):
        watched.contact.set(**PRESSED)
        watched.clock.advance(0.002)
        watched.contact.set(**IDLE)
        watched.poll(0.05)
    assert watched.actuations == []


def test_a_trembling_contact_is_a_fault_that_alarms_nobody_hinders_no_press_and_ends_with_silence():
    watched = Watched()
    watched.poll(0.1)
    assert watched.watch.reading.good_polls > 0
    for _ in range(20):
        watched.contact.set(**PRESSED)
        watched.clock.advance(0.002)
        watched.contact.set(**IDLE)
        watched.poll(0.05)
    assert (watched.codes(), watched.actuations) == (["bell-chatter"], [])
    reading = watched.watch.reading
    assert (reading.kind, reading.good, reading.good_polls) == ("chatter", False, 0)
    watched.contact.set(**PRESSED)
    watched.poll(0.05)
    watched.contact.set(**IDLE)
    watched.poll(0.05)
    assert [actuation.line for actuation in watched.actuations] == ["pressed"]
    watched.poll(10.1)
    assert (watched.codes(), watched.watch.reading.good) == ([], True)


def test_the_bounces_of_real_presses_are_no_chatter():
    watched = Watched()
    watched.poll(0.1)
    for _ in range(10):
        for _ in range(4):
            watched.contact.set(**PRESSED)
            watched.clock.advance(0.001)
            watched.contact.set(**IDLE)
            watched.clock.advance(0.001)
        watched.contact.set(**PRESSED)
        watched.poll(0.06)
        watched.contact.set(**IDLE)
        watched.poll(0.06)
    assert len(watched.actuations) == 10
    assert watched.codes() == []


def test_the_actuation_carries_the_instant_of_stability_not_that_of_the_poll():
    watched = Watched()
    watched.poll(0.1)
    watched.contact.set(**PRESSED)
    pressed_at = watched.clock.mono_s()
    watched.watch.step(watched.watch._waiting_edge())
    watched.clock.advance(0.037)
    watched.watch.step(None)
    assert watched.actuations[0].at_mono_s == pytest.approx(pressed_at + 0.03)


def test_a_cut_line_is_a_fault_and_no_longer_good():
    watched = Watched()
    watched.poll(0.1)
    assert watched.watch.reading.good
    watched.contact.set(no_closed=False, nc_closed=False)
    watched.poll(0.5)
    assert watched.codes() == ["bell-line-cut"]
    assert (watched.watch.reading.kind, watched.watch.reading.good) == ("cut", False)


def test_a_flood_of_edges_is_bounded_and_the_level_stays_the_truth():
    watched = Watched()
    watched.poll(0.1)
    for _ in range(10 * EDGES):
        watched.watch._note_edge(Edge("no", True, watched.clock.mono_s()))
    assert watched.watch._edges.qsize() == EDGES
    watched.poll(0.1)
    assert watched.watch.reading.kind == "idle"


def test_contacts_that_cannot_be_read_are_a_fault_and_are_opened_again():
    watched = Watched()
    opened = []

    def broken_open(on_edge):
        opened.append(watched.clock.mono_s())
        if len(opened) > 2:
            stop.set()
        raise HardwareError("no gpio chip")

    watched.contact.open = broken_open
    stop = threading.Event()
    watched.watch.run(WorkerContext(watched.clock, stop))
    assert watched.codes() == ["hardware-unusable"]
    assert opened[1] - opened[0] == 5.0


def test_a_single_contact_stands_under_a_warning_and_works():
    watched = Watched({"no_closed": False, "nc_closed": None}, supervised=False)
    watched.poll(0.1)
    assert watched.codes() == ["bell-line-unsupervised"]
    watched.contact.set(no_closed=True, nc_closed=None)
    watched.poll(0.05)
    assert [actuation.line for actuation in watched.actuations] == ["pressed"]
