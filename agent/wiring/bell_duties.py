"""What signed commands may ask of the bell, as the bell does it: the port `BellDuties` over `Bell`."""

from typing import Literal

from agent.bell.bell import Bell
from agent.bell.mode import Mode, ModeError
from agent.mqtt.command_error import CommandFailedError


class ServiceDuties:
    """Hands each over to the bell's thread and says what was begun; nothing here waits."""

    def __init__(self, bell: Bell) -> None:
        self._bell = bell

    def self_test(self, by: str) -> str:
        """Begin the self-test."""
        self._bell.run_self_test(by)
        return "self-test begun; its result comes as an inspection"

    def bell_test(self, wait_s: int, work_order: str, by: str) -> str:
        """Take the next press within `wait_s` seconds as a test."""
        try:
            self._bell.expect_press(work_order, by, float(wait_s))
        except ModeError as exc:
            raise CommandFailedError(str(exc)) from exc
        return f"press the button once within {wait_s} s; its result comes as an inspection"

    def set_mode(self, mode: str, for_s: int, by: str, reason: str) -> str:
        """Set the mode."""
        try:
            self._bell.set_mode(_mode(mode), float(for_s), by, reason)
        except ModeError as exc:
            raise CommandFailedError(str(exc)) from exc
        return "normal" if mode == "normal" else f"{mode} for {for_s} s, then normal"


def _mode(name: str) -> Mode:
    known: dict[str, Literal["normal", "test", "maintenance"]] = {
        "normal": "normal",
        "test": "test",
        "maintenance": "maintenance",
    }
    if name not in known:
        raise ModeError(f"mode {name!r} is unknown; use {', '.join(known)}")
    return known[name]
