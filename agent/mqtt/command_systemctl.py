"""systemctl and journalctl behind the `ServiceControl` port, and the fake that drills and tests use.

Rules: fixed program and fixed words, the service's name checked by the catalogue's pattern before it gets here; no
shell, an empty environment but PATH, standard input closed; nothing waits longer than `CALL_MAX_S`. Rights come from
the unit and from polkit (docs/design/commands.md): without them systemd refuses and its words go back to the officer.
"""

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field

from agent.mqtt.command_error import CommandFailedError
from agent.mqtt.command_executor import CALL_MAX_S


class SystemctlControl:
    """The machine's service manager. `systemctl` and `journalctl` name the programs."""

    def __init__(self, systemctl: str = "systemctl", journalctl: str = "journalctl") -> None:
        self._systemctl = systemctl
        self._journalctl = journalctl

    def restart(self, service: str) -> None:
        """Queue a restart of the unit; `--no-block`, because the unit may be our own."""
        _run([self._systemctl, "--no-ask-password", "--no-block", "restart", f"pole-{service}.service"])

    def reboot(self) -> None:
        """Ask for an orderly reboot."""
        _run([self._systemctl, "--no-ask-password", "--no-block", "reboot"])

    def journal(self, service: str, lines: int) -> list[str]:
        """Return the newest lines of the unit's journal."""
        words = ["--quiet", "--no-pager", "--output=short-iso", f"--lines={lines}", f"--unit=pole-{service}.service"]
        return _run([self._journalctl, *words]).splitlines()


@dataclass
class FakeServiceControl:
    """Remembers what was asked; `broken` makes every call fail with that sentence."""

    asked: list[tuple[str, ...]] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    broken: str = ""

    def restart(self, service: str) -> None:
        """Remember it."""
        self._ask("restart", service)

    def reboot(self) -> None:
        """Remember it."""
        self._ask("reboot")

    def journal(self, service: str, lines: int) -> list[str]:
        """Return the newest of `log`."""
        self._ask("journal", service)
        return self.log[-lines:]

    def _ask(self, *words: str) -> None:
        if self.broken:
            raise CommandFailedError(self.broken)
        self.asked.append(words)


def _run(words: Sequence[str]) -> str:
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=CALL_MAX_S,
            env={"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C.UTF-8"},
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise CommandFailedError(f"{words[0]} did not run: {exc}") from exc
    if done.returncode != 0:
        told = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise CommandFailedError(f"{words[0]} failed: {told[-1][:200] if told else done.returncode}")
    return done.stdout.decode("utf-8", "replace")
