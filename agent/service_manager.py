"""What a service tells the machine's service manager (systemd): ready, alive, stopping.

`NoServiceManager` is used where there is none; `systemd_service_manager.py` is the real one.
"""

import os
from typing import Protocol


class ServiceManager(Protocol):
    """The notices of sd_notify(3) that we send."""

    def ready(self) -> None:
        """Say that the service does its job from now on."""
        ...

    def alive(self) -> None:
        """Feed the watchdog."""
        ...

    def stopping(self) -> None:
        """Say that the service ends in order."""
        ...


class NoServiceManager:
    """No service manager: nothing to tell."""

    def ready(self) -> None:
        """Do nothing."""

    def alive(self) -> None:
        """Do nothing."""

    def stopping(self) -> None:
        """Do nothing."""


def watchdog_interval_s(environ: "os._Environ[str] | dict[str, str]" = os.environ) -> float | None:
    """Return the watchdog's limit in seconds (WATCHDOG_USEC, sd_watchdog_enabled(3)), or None without one."""
    usec = environ.get("WATCHDOG_USEC", "")
    meant_for = environ.get("WATCHDOG_PID", "")
    if not usec.isdigit() or (meant_for and meant_for != str(os.getpid())):
        return None
    return int(usec) / 1_000_000
