"""Talks to systemd by sd_notify(3): ready, watchdog, stopping.

Rules:
* where NOTIFY_SOCKET is not set there is no service manager, and nothing is sent;
* systemd-python is used where it is installed (extra `[systemd]`); it has no wheel and needs a compiler, so where
  it is missing the same three datagrams are sent by `NotifySocket`: a unit of Type=notify must not fail to start
  for want of an optional package;
* a notice that cannot be sent is logged once and never raised: the watchdog then does its work.
The import is `from systemd import daemon`, never `import systemd`: the folder systemd/ of this project would answer.
"""

import logging
import os
import socket
from collections.abc import Callable, Mapping

from agent.service_manager import NoServiceManager, ServiceManager

try:
    from systemd import daemon
except ImportError:
    daemon = None

log = logging.getLogger(__name__)


class NotifySocket:
    """Sends notices to the datagram socket at `address` ("@" starts an abstract name, as in sd_notify(3))."""

    def __init__(self, address: str) -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address

    def notify(self, state: str) -> bool:
        """Send one notice; return whether it was sent.

        Raises:
            OSError: the socket is gone or refuses.
        """
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.connect(self._address)
            return sender.send(state.encode()) > 0


class SystemdServiceManager:
    """The notices of `ServiceManager` as sd_notify states, sent by `notify`."""

    def __init__(self, notify: Callable[[str], object]) -> None:
        self._notify = notify
        self._failing = False

    def ready(self) -> None:
        """Send READY=1."""
        self._send("READY=1")

    def alive(self) -> None:
        """Send WATCHDOG=1."""
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """Send STOPPING=1."""
        self._send("STOPPING=1")

    def _send(self, state: str) -> None:
        try:
            self._notify(state)
        except OSError as exc:
            if not self._failing:
                log.warning("service manager not reached state=%s error=%s", state, exc)
            self._failing = True
        else:
            self._failing = False


def service_manager_for(environ: Mapping[str, str] = os.environ) -> ServiceManager:
    """Return the service manager that started this process, or `NoServiceManager`."""
    address = environ.get("NOTIFY_SOCKET", "")
    if not address:
        return NoServiceManager()
    return SystemdServiceManager(NotifySocket(address).notify if daemon is None else daemon.notify)
