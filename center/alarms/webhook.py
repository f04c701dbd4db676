"""The hook as an HTTPS POST of the notice.

Rules:
* https only; certificate and name are verified, against `ca_file` where the town has its own authority;
* no redirect is followed and no proxy of the environment is used: the notice goes where the configuration says;
* 2xx is success; the answer's body is not read;
* the whole attempt has one time limit, also against a server that drips; a thread of its own sends, so that the name
  look-up, which nothing can interrupt, holds nobody up.
"""

import contextlib
import http.client
import socket
import ssl
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

from center.alarms.hook import HookResult, short
from center.errors import ConfigError

POLL_S = 0.05


class Webhook:
    """Posts to `url`, for at most `timeout_s`; `token_file` holds a bearer token."""

    def __init__(self, url: str, timeout_s: float, ca_file: Path | None = None, token_file: Path | None = None) -> None:
        """Read the files.

        Raises:
            ConfigError: `ca_file` or `token_file` cannot be used.
        """
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 443
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._timeout_s = timeout_s
        self._tls = _tls(ca_file)
        self._headers = {"Content-Type": "application/json", "User-Agent": "pole-center"}
        if token_file is not None:
            self._headers["Authorization"] = f"Bearer {_token(token_file)}"

    def run(self, payload: bytes, stop: threading.Event) -> HookResult:
        """Post `payload` once."""
        connection = http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout_s, context=self._tls)
        outcome: list[HookResult] = []
        sender = threading.Thread(
            target=lambda: outcome.append(self._post(connection, payload)), name="webhook", daemon=True
        )
        sender.start()
        deadline = time.monotonic() + self._timeout_s
        while sender.is_alive():
            if stop.is_set():
                return _abandon(connection, HookResult(False, "the service stopped", stopped=True))
            if time.monotonic() >= deadline:
                return _abandon(connection, self._late())
            sender.join(POLL_S)
        return outcome[0] if outcome else HookResult(False, "the request failed")

    def _post(self, connection: http.client.HTTPSConnection, payload: bytes) -> HookResult:
        try:
            connection.request("POST", self._target, payload, self._headers)
            answer = connection.getresponse()
        except TimeoutError:
            return self._late()
        except (OSError, http.client.HTTPException, ValueError) as exc:
            return HookResult(False, short(f"{type(exc).__name__}: {exc}"))
        finally:
            connection.close()
        return HookResult(200 <= answer.status < 300, f"status {answer.status}")

    def _late(self) -> HookResult:
        return HookResult(False, f"no answer within {self._timeout_s:g} s")


def _abandon(connection: http.client.HTTPSConnection, result: HookResult) -> HookResult:
    """Cut the connection under the sender, whose thread then ends, and return `result`."""
    link = connection.sock
    if link is not None:
        with contextlib.suppress(OSError):  # it ended just now
            link.shutdown(socket.SHUT_RDWR)
    return result


def _tls(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except (OSError, ssl.SSLError) as exc:
        raise ConfigError([f"escalation.hook_ca_file: {ca_file} cannot be used ({exc})"]) from exc


def _token(file: Path) -> str:
    try:
        token = file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError([f"escalation.hook_token_file: {file} cannot be read ({exc})"]) from exc
    if not token or len(token.split()) != 1:
        raise ConfigError([f"escalation.hook_token_file: {file} must hold one token and nothing else"])
    return token
