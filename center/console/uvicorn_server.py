"""Runs the console's application under uvicorn with TLS (ADR 0002).

Rules:
* there is no port without TLS; on any address but loopback the handshake itself demands a client certificate;
* a certificate counts only when our CA signed it and `crl_file` does not revoke it (read at start);
* no access log: the entry token travels in a URL.
"""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from center.ingest.uvicorn_mtls import GRACE_S, MtlsProtocol, tls_context

HEADER_BYTES = 32 * 1024
STREAMS_END_S = 0.1


@dataclass(frozen=True)
class Listen:
    """Where and with what to listen."""

    host: str
    port: int
    cert_file: Path
    key_file: Path
    ca_file: Path
    crl_file: Path | None = None

    @property
    def is_local(self) -> bool:
        """Whether only this machine can connect; a name other than localhost counts as reachable."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def console_tls(listen: Listen) -> ssl.SSLContext:
    """Return the server's TLS settings: a client certificate is required unless only this machine can connect.

    Raises:
        OSError: a file is missing, unreadable, or not a pair.
    """
    context = tls_context(listen.cert_file, listen.key_file, listen.ca_file)
    if listen.crl_file is not None:
        context.load_verify_locations(listen.crl_file)
        context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF
    if listen.is_local:
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def bind(listen: Listen) -> socket.socket:
    """Return the listening socket.

    Raises:
        OSError: the address cannot be had.
    """
    host = "127.0.0.1" if listen.host == "localhost" else listen.host
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, listen.port), family=family)
    # inherited by every connection; asyncio itself sets it only where `proto` says TCP, and each answer took 40 ms more
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


class ConsoleServer(uvicorn.Server):
    """Ends the open event streams before it waits for the connections, and leaves the exit status to us.

    The signal handler only notes the signal: it may interrupt itself, and a lock taken there would never be free again.
    """

    def __init__(self, config: uvicorn.Config, on_exit: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_exit = on_exit

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handle SIGTERM and SIGINT."""
        super().handle_exit(sig, frame)
        self._captured_signals.clear()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams, give them a moment to say so, then end everything else."""
        self._on_exit()
        await asyncio.sleep(STREAMS_END_S)
        await super().shutdown(sockets)


def make_server(app: ASGIApp, tls: ssl.SSLContext, on_exit: Callable[[], None]) -> ConsoleServer:
    """Return the server; `run(sockets=[...])` blocks until a signal or `should_exit`."""
    config = uvicorn.Config(
        app,
        http=MtlsProtocol,
        ws="none",
        loop="asyncio",
        lifespan="off",
        ssl_context_factory=lambda *_: tls,
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
        h11_max_incomplete_event_size=HEADER_BYTES,
    )
    return ConsoleServer(config, on_exit)
