"""Bell contacts over gpiozero: lgpio on a Raspberry Pi, mock pins with `[bell] simulate = true`.

Facts that decide this code (FACTS, lgpio/gpiozero): an exception in a pin handler ends the only notification thread, so
the callback is guarded; `bounce` stays None because `bounce_time` loses and invents events; a handler is held by weak
reference, so we keep it; lgpio writes `.lgd-nfy*` at import, so LG_WD names a writable directory first.
"""

import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gpiozero
from gpiozero.pins.mock import MockFactory

from agent.bell.contact import Edge, Levels
from agent.errors import HardwareError
from agent.mqtt.guard import guarded


def pin_errors(*more: type[Exception]) -> tuple[type[Exception], ...]:
    """Return what pins may raise: `lgpio.error` is no OSError, and lgpio may not be imported before LG_WD is set."""
    lgpio = sys.modules.get("lgpio")
    return (OSError, gpiozero.GPIOZeroError, *([lgpio.error] if lgpio is not None else []), *more)


def lgpio_factory(writable_dir: Path) -> Any:
    """Return gpiozero's lgpio factory.

    Raises:
        HardwareError: no lgpio, no chip, or no Raspberry Pi.
    """
    os.environ.setdefault("LG_WD", str(writable_dir))
    try:
        return importlib.import_module("gpiozero.pins.lgpio").LGPIOFactory()
    except pin_errors(ImportError, AttributeError) as exc:
        raise HardwareError(f"gpio cannot be used ({exc}); install lgpio, or set simulate = true off a pole") from exc


def mock_factory() -> Any:
    """Return mock pins that behave like real ones."""
    return MockFactory()


class GpiozeroContact:
    """One or two inputs with pull-ups; `make_factory` is called at `open`."""

    def __init__(
        self, make_factory: Callable[[], Any], no_pin: int, nc_pin: int | None, now_mono_s: Callable[[], float]
    ) -> None:
        self._make_factory = make_factory
        self._numbers = (no_pin, nc_pin)
        self._now_mono_s = now_mono_s
        self._pins: dict[str, Any] = {}
        self._handlers: list[Callable[..., None]] = []

    def open(self, on_edge: Callable[[Edge], None]) -> None:
        """Take the inputs with pull-ups (an outer one is still needed: a Pi's act seconds after power)."""
        try:
            factory = self._make_factory()
            for name, number in zip(("no", "nc"), self._numbers, strict=True):
                if number is not None:
                    self._pins[name] = self._take(factory, name, number, on_edge)
        except pin_errors() as exc:
            self.close()
            raise HardwareError(f"bell inputs {self._numbers} cannot be used: {exc}") from exc

    def levels(self) -> Levels:
        """Read the pins: low is closed."""
        try:
            nc = self._pins.get("nc")
            return Levels(not self._pins["no"].state, None if nc is None else not nc.state)
        except KeyError as exc:
            raise HardwareError("bell inputs are not open") from exc
        except pin_errors() as exc:
            raise HardwareError(f"bell inputs {self._numbers} cannot be read: {exc}") from exc

    def close(self) -> None:
        """Stop edge reports and let go of the pins."""
        for pin in self._pins.values():
            pin.when_changed = None
            pin.close()
        self._pins.clear()
        self._handlers.clear()

    def _take(self, factory: Any, name: Any, number: int, on_edge: Callable[[Edge], None]) -> Any:
        @guarded
        def changed(_ticks: object, state: object) -> None:
            on_edge(Edge(name, not state, self._now_mono_s()))

        pin = pulled_up_input(factory, number)
        pin.bounce = None
        pin.edges = "both"
        pin.when_changed = changed
        self._handlers.append(changed)
        return pin


def pulled_up_input(factory: Any, number: int) -> Any:
    """Return the pin; one that is an input with pull-up already is left alone (a mock pin would jump to its pull)."""
    pin = factory.pin(number)
    if pin.function != "input":
        pin.function = "input"
    if pin.pull != "up":
        pin.pull = "up"
    return pin


class SimulatedButton:
    """The button of a simulated pole: drives the mock pins as a hand, a knife or water would."""

    def __init__(self, factory: Any, no_pin: int, nc_pin: int | None) -> None:
        self._no = pulled_up_input(factory, no_pin)
        self._nc = None if nc_pin is None else pulled_up_input(factory, nc_pin)
        self.set("idle")

    def set(self, line: str) -> None:
        """Bring the line to idle, pressed, cut or short.

        Raises:
            ValueError: no such line state.
        """
        closed = {"idle": (False, True), "pressed": (True, False), "cut": (False, False), "short": (True, True)}
        if line not in closed:
            raise ValueError(f"line {line!r} is unknown; use one of {', '.join(closed)}")
        no_closed, nc_closed = closed[line]
        self._drive(self._no, no_closed)
        if self._nc is not None:
            self._drive(self._nc, nc_closed)

    @staticmethod
    def _drive(pin: Any, closed: bool) -> None:
        if closed:
            pin.drive_low()
        else:
            pin.drive_high()
