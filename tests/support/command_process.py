"""A pole that dies by SIGKILL in the middle of a command: `python -m support.command_process DIR COMMAND STEP`.

STEP is `begun` (the jti is on disk, nothing was done yet) or `acted` (it was done, its end is not on disk yet).
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

from agent.clock import SimulatedClock
from agent.contract import topics
from agent.contract.messages import ClockState
from agent.fault_board import FaultBoard
from agent.mqtt.command_executor import CommandExecutor
from agent.mqtt.command_journal import CommandJournal
from agent.mqtt.command_keys import CommandKeys
from agent.mqtt.command_systemctl import FakeServiceControl
from agent.mqtt.commands import CommandParts, Commands
from support.command_kit import POLE, FakeActions


class DeadlyActions(FakeActions):
    def __init__(self, directory: Path, step: str) -> None:
        super().__init__()
        self._directory = directory
        self._step = step

    def _do(self, *what: Any) -> str:
        if self._step == "acted":
            with (self._directory / "acts").open("a") as handle:
                handle.write(f"{what}\n")
        os.kill(os.getpid(), signal.SIGKILL)
        return ""


def main() -> None:
    directory, signed, step, now_us = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    clock = SimulatedClock(utc_us=now_us)
    parts = CommandParts(
        CommandKeys(directory / "etc" / "command-keys.note", directory / "state" / "command-keys"),
        CommandJournal(directory / "state" / "commands.sqlite", clock),
        CommandExecutor(DeadlyActions(directory, step), FakeServiceControl()),
        FaultBoard(clock),
        clock,
        lambda: ClockState(synced=True, source="ntp", error_us=0),
    )
    commands = Commands(POLE, parts)
    commands.begin()
    commands.handle(topics.down(POLE, "command"), signed.read_bytes())


if __name__ == "__main__":
    main()
