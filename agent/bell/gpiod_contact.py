"""Bell contacts over gpiod v2 (libgpiod's own binding): Jetson, and any board with a GPIO character device.

Rules:
* both inputs are one request, so that `levels` reads them in one system call, of one instant;
* an edge carries the kernel's CLOCK_MONOTONIC stamp, taken in the interrupt, not the time a thread woke up;
* the kernel numbers the events of each line (`line_seqno`); a number that is missing is an edge that its buffer of
  `KERNEL_EVENTS` dropped (the oldest goes first, so the last one read is still true): counted in `edges_lost`, logged;
* no debounce by the kernel: `debounce.py` is ours, so that a Pi and a Jetson behave alike;
* when the reader ends by an error (the chip is gone), `levels` says so: the watch then opens the contacts again;
* a request is not thread-safe (its docstring): each call on it holds the lock, only the wait for an edge does not.

The pull-up is requested, but a Jetson's kernel driver cannot switch it (it ignores the wish): fit 10 kOhm to 3.3 V.
"""

import logging
import os
import select
import threading
from collections.abc import Callable
from typing import Literal

import gpiod
from gpiod import line as gpiod_line

from agent.bell.contact import Edge, Levels
from agent.bell.edge_sequence import EdgeSequence
from agent.errors import HardwareError
from agent.mqtt.guard import guarded

log = logging.getLogger(__name__)

CONSUMER = "pole-bell"
KERNEL_EVENTS = 256
JOIN_S = 2.0
LOW = gpiod_line.Value.INACTIVE

Name = Literal["no", "nc"]


class GpiodContact:
    """One or two inputs of `chip` (a path such as /dev/gpiochip0), by line offset (`gpioinfo` lists them)."""

    def __init__(self, chip: str, no_line: int, nc_line: int | None) -> None:
        self._chip = chip
        self._names: dict[int, Name] = {no_line: "no"}
        if nc_line is not None:
            self._names[nc_line] = "nc"
        self._lock = threading.Lock()
        self._request: gpiod.LineRequest | None = None
        self._failure: OSError | None = None
        self._reader: threading.Thread | None = None
        self._stop_fd = -1
        self._sequence = EdgeSequence()
        self.edges_lost = 0

    def open(self, on_edge: Callable[[Edge], None]) -> None:
        """Take the inputs with pull-ups and report their edges from a thread of our own."""
        settings = gpiod.LineSettings(
            direction=gpiod_line.Direction.INPUT,
            edge_detection=gpiod_line.Edge.BOTH,
            bias=gpiod_line.Bias.PULL_UP,
            event_clock=gpiod_line.Clock.MONOTONIC,
        )
        try:
            self._request = gpiod.request_lines(
                self._chip, {tuple(self._names): settings}, consumer=CONSUMER, event_buffer_size=KERNEL_EVENTS
            )
        except (OSError, ValueError) as exc:
            raise HardwareError(
                f"bell inputs {sorted(self._names)} of {self._chip} cannot be used ({exc}); "
                "see `gpioinfo` for the lines and who holds them"
            ) from exc
        self._failure, self._sequence = None, EdgeSequence()
        self._stop_fd = os.eventfd(0)
        poll = select.poll()
        poll.register(self._request.fd, select.POLLIN)
        poll.register(self._stop_fd, select.POLLIN)
        reader = threading.Thread(target=self._read, args=(poll, guarded(on_edge)), name="bell-gpiod", daemon=True)
        self._reader = reader
        reader.start()

    def levels(self) -> Levels:
        """Read both inputs at one instant: low is closed."""
        with self._lock:
            if self._request is None:
                raise HardwareError("bell inputs are not open")
            try:
                if self._failure is not None:
                    raise self._failure
                values = self._request.get_values(list(self._names))
            except OSError as exc:
                raise HardwareError(f"bell inputs {sorted(self._names)} of {self._chip} cannot be read: {exc}") from exc
        closed = {
            self._names[line]: value == gpiod_line.Value.INACTIVE
            for line, value in zip(self._names, values, strict=True)
        }
        return Levels(closed["no"], closed.get("nc"))

    def close(self) -> None:
        """End the reader, then let go of the inputs."""
        if self._reader is not None:
            os.eventfd_write(self._stop_fd, 1)
            self._reader.join(JOIN_S)
            os.close(self._stop_fd)
            self._reader = None
        with self._lock:
            if self._request is not None:
                self._request.release()
                self._request = None

    def _read(self, poll: "select.poll", on_edge: Callable[[Edge], None]) -> None:
        while True:
            ready = [fd for fd, _ in poll.poll()]
            if self._stop_fd in ready:
                return
            try:
                with self._lock:
                    assert self._request is not None, "close() ends this thread before it releases"
                    events = self._request.read_edge_events()
            except OSError as exc:
                log.error("bell inputs went away chip=%s error=%s", self._chip, exc)
                self._failure = exc
                return
            for event in events:
                self._count(event)
                on_edge(self._edge(event))

    def _edge(self, event: gpiod.EdgeEvent) -> Edge:
        closed = event.event_type is gpiod.EdgeEvent.Type.FALLING_EDGE
        return Edge(self._names[event.line_offset], closed, event.timestamp_ns / 1e9)

    def _count(self, event: gpiod.EdgeEvent) -> None:
        before, self._sequence = self._sequence, self._sequence.seen(event.line_offset, event.line_seqno)
        if self._sequence.lost > before.lost:
            lost = self._sequence.lost - before.lost
            self.edges_lost += lost
            name = self._names[event.line_offset]
            log.warning("kernel dropped edges line=%s lost=%d total=%d", name, lost, self.edges_lost)
