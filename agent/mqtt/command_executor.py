"""Carries out what `judge` accepted, through two ports: what the bell service itself can do, and the service manager.

Rules: one method per operation; a port raises `CommandFailedError` with a sentence for the officer and nothing else on
purpose; no call waits longer than `CALL_MAX_S`, what takes longer is begun and reports by its own way.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from agent.contract.command import Accept
from agent.contract.operations import (
    BellTestArgs,
    IndicatorTestArgs,
    LogExportArgs,
    MaintenanceMode,
    NormalMode,
    RestartServiceArgs,
    TestMode,
)
from agent.mqtt.command_error import CommandFailedError

CALL_MAX_S = 10.0
LINE_MAX = 300
LINES_MAX_BYTES = 40_000  # an MQTT message has 65,536 at most; JSON may escape


class PoleActions(Protocol):
    """What the bell service can do itself. Each returns what was done, in words, and raises CommandFailedError."""

    def rebirth(self) -> str:
        """Publish birth and heartbeat now."""
        ...

    def self_test(self, by: str) -> str:
        """Begin the self-test for the officer `by`."""
        ...

    def bell_test(self, wait_s: int, work_order: str, by: str) -> str:
        """Take the next press within `wait_s` seconds as a test of the button, asked by the officer `by`."""
        ...

    def set_mode(self, mode: str, for_s: int, by: str, reason: str) -> str:
        """Go to normal (`for_s` is 0), test or maintenance for `for_s` seconds, by the officer `by`."""
        ...

    def indicator_test(self, each_s: int) -> str:
        """Show each lamp for `each_s` seconds."""
        ...


class ServiceControl(Protocol):
    """The service manager. Each raises CommandFailedError."""

    def restart(self, service: str) -> None:
        """Ask for a restart of `pole-<service>`; returns when it was taken, not when it is done."""
        ...

    def reboot(self) -> None:
        """Ask for a reboot; returns when it was taken."""
        ...

    def journal(self, service: str, lines: int) -> list[str]:
        """Return the newest `lines` lines of the journal of `pole-<service>`, oldest first."""
        ...


@dataclass(frozen=True)
class Outcome:
    """How an operation ended: whether it worked, one sentence, and the lines of an export."""

    done: bool
    detail: str
    lines: tuple[str, ...] = ()


class CommandExecutor:
    """The one way from an accepted command to an act."""

    def __init__(self, actions: PoleActions, services: ServiceControl) -> None:
        self._actions = actions
        self._services = services
        self._by_name: Mapping[str, Callable[[Accept], Outcome]] = {
            "rebirth": lambda _: Outcome(True, actions.rebirth()),
            "self-test": lambda accepted: Outcome(True, actions.self_test(accepted.signers[0].officer)),
            "bell-test": self._bell_test,
            "mode": self._mode,
            "indicator-test": self._indicator_test,
            "restart-service": self._restart,
            "reboot": self._reboot,
            "log-export": self._export,
        }

    def run(self, accepted: Accept) -> Outcome:
        """Carry it out; an operation that fails is an outcome, not an error."""
        try:
            return self._by_name[accepted.operation.name](accepted)
        except CommandFailedError as error:
            return Outcome(False, str(error))

    def _bell_test(self, accepted: Accept) -> Outcome:
        args, by = accepted.args, accepted.signers[0].officer
        assert isinstance(args, BellTestArgs)
        return Outcome(True, self._actions.bell_test(args.wait_s, args.work_order, by))

    def _mode(self, accepted: Accept) -> Outcome:
        args, by, reason = accepted.args, accepted.signers[0].officer, accepted.command.reason
        if isinstance(args, NormalMode):
            return Outcome(True, self._actions.set_mode("normal", 0, by, reason))
        assert isinstance(args, TestMode | MaintenanceMode)
        name = "test" if isinstance(args, TestMode) else "maintenance"
        return Outcome(True, self._actions.set_mode(name, args.for_s, by, reason))

    def _indicator_test(self, accepted: Accept) -> Outcome:
        args = accepted.args
        assert isinstance(args, IndicatorTestArgs)
        return Outcome(True, self._actions.indicator_test(args.each_s))

    def _restart(self, accepted: Accept) -> Outcome:
        args = accepted.args
        assert isinstance(args, RestartServiceArgs)
        self._services.restart(args.service)
        return Outcome(True, f"restart of pole-{args.service} was taken")

    def _reboot(self, _: Accept) -> Outcome:
        self._services.reboot()
        return Outcome(True, "reboot was taken")

    def _export(self, accepted: Accept) -> Outcome:
        args = accepted.args
        assert isinstance(args, LogExportArgs)
        lines = _bounded(self._services.journal(args.service, args.lines))
        return Outcome(True, f"{len(lines)} lines of pole-{args.service}", lines)


def _bounded(lines: list[str]) -> tuple[str, ...]:
    """Return the newest lines that fit into one message, each cut at `LINE_MAX` characters."""
    kept: list[str] = []
    room = LINES_MAX_BYTES
    for line in reversed(lines):
        cut = line[:LINE_MAX]
        room -= 6 * len(cut) if not cut.isprintable() else len(cut.encode("utf-8", "replace")) + 3
        if room < 0:
            break
        kept.append(cut)
    return tuple(reversed(kept))
