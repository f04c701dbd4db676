"""Builds the signed commands of the bell service: what they may do here, and the worker that serves them."""

from collections.abc import Callable
from typing import Protocol

from agent.bell.light import Light
from agent.clock import Clock
from agent.config import Config
from agent.contract import topics
from agent.contract.messages import ClockState, Status, encode
from agent.fault_board import FaultBoard
from agent.mqtt.command_error import CommandFailedError
from agent.mqtt.command_executor import CommandExecutor, ServiceControl
from agent.mqtt.command_journal import CommandJournal
from agent.mqtt.command_keys import CommandKeys
from agent.mqtt.command_systemctl import FakeServiceControl, SystemctlControl
from agent.mqtt.commands import KINDS, CommandParts, Commands
from agent.mqtt.link import Link

NO_MANAGER = "this pole is simulated: there is no service manager to command"


class BellDuties(Protocol):
    """What the bell does for a command, called from the commands' thread.

    Each posts to the bell's inbox and returns at once what was begun, in words; or raises CommandFailedError. `by` is
    the officer who signed.
    """

    def self_test(self, by: str) -> str:
        """Begin the self-test; its result is an inspection."""
        ...

    def bell_test(self, wait_s: int, work_order: str, by: str) -> str:
        """Take the next press within `wait_s` seconds as a test of the button."""
        ...

    def set_mode(self, mode: str, for_s: int, by: str, reason: str) -> str:
        """Go to normal (`for_s` is 0), test or maintenance."""
        ...


class BellActions:
    """The port `PoleActions` over the bell service; `attach` comes before the first command."""

    def __init__(self, pole: str, light: Light, duties: BellDuties, clock: Clock) -> None:
        self._pole = pole
        self._light = light
        self._duties = duties
        self._clock = clock
        self._link: Link | None = None
        self._hurry: Callable[[], None] = lambda: None

    def attach(self, link: Link, hurry: Callable[[], None]) -> None:
        """Name the session, and how a heartbeat is sent at once."""
        self._link, self._hurry = link, hurry

    def rebirth(self) -> str:
        """Publish birth and heartbeat now."""
        session = self._link.health().session if self._link is not None else ""
        birth = encode(Status(pole=self._pole, session=session, state="online", at_us=self._clock.utc_us()))
        if self._link is None or not session or not self._link.publish(topics.up(self._pole, "status"), birth, qos=1):
            raise CommandFailedError("there is no session to be born in")
        self._hurry()
        return f"birth and heartbeat of session {session}"

    def self_test(self, by: str) -> str:
        """Hand it to the bell."""
        return self._duties.self_test(by)

    def bell_test(self, wait_s: int, work_order: str, by: str) -> str:
        """Hand it to the bell."""
        return self._duties.bell_test(wait_s, work_order, by)

    def set_mode(self, mode: str, for_s: int, by: str, reason: str) -> str:
        """Hand it to the bell."""
        return self._duties.set_mode(mode, for_s, by, reason)

    def indicator_test(self, each_s: int) -> str:
        """Show each lamp for `each_s` seconds; a press ends it."""
        self._light.begin_test(float(each_s))
        return f"each lamp is shown for {each_s} s; a press ends it"


class BellCommands:
    """The commands of the bell service: made before the session, which needs their handlers, attached after it."""

    def __init__(
        self,
        config: Config,
        light: Light,
        duties: BellDuties,
        faults: FaultBoard,
        clock: Clock,
        clock_state: Callable[[], ClockState],
    ) -> None:
        services: ServiceControl = FakeServiceControl(broken=NO_MANAGER) if config.bell.simulate else SystemctlControl()
        self._actions = BellActions(config.pole.id, light, duties, clock)
        self.worker = Commands(
            config.pole.id,
            CommandParts(
                keys=CommandKeys(config.center.command_keys_file, config.state_dir / "command-keys"),
                journal=CommandJournal(config.state_dir / "commands.sqlite", clock),
                executor=CommandExecutor(self._actions, services),
                faults=faults,
                clock=clock,
                clock_state=clock_state,
            ),
        )

    def attach(self, link: Link, hurry: Callable[[], None]) -> None:
        """Name the session and how a heartbeat is hurried; before anything runs."""
        self.worker.attach(link)
        self._actions.attach(link, hurry)

    def take(self, topic: str, payload: bytes) -> bool:
        """Hand over a message if it is about commands; return whether it was."""
        ours = topic.rsplit("/", 1)[-1] in KINDS
        if ours:
            self.worker.post(topic, payload)
        return ours


def command_subscriptions(pole: str) -> dict[str, int]:
    """Return the topics of commands with their QoS."""
    return {topics.down(pole, kind): 1 for kind in KINDS}
