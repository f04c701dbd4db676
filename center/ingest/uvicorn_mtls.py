"""uvicorn with mutual TLS, and the peer's certificate where the application can see it: the only way in.

Rules:
* TLS 1.3 only, a client certificate of our CA is required, no plain HTTP;
* `scope["state"]["peer"]` is a `Peer` (common name and serial of the verified certificate), set per connection;
* a client whose certificate is refused is told why: asyncio (3.11) drops the TLS alert of a failed handshake, so
  the refusal would look like a cut cable; `_TellingSSLObject` lets it out first;
* one client holds at most `CONNECTIONS_PER_NAME` connections: the newest stay, so that neither a mad pole takes the
  places of 3,000 others nor a pole whose link was cut is kept out by its own dead connections;
* a connection that asks nothing within `KEEP_ALIVE_S` is closed;
* the process may open as many files as the machine allows it: the usual 1,024 are about 1,000 poles and no more;
* `SIGTERM` ends in order: no new connection, running requests get `GRACE_S`.
"""

import asyncio
import resource
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

KEEP_ALIVE_S = 75
GRACE_S = 3
HEADER_BYTES = 64 * 1024
CONNECTIONS = 4096
CONNECTIONS_PER_NAME = 8
OPEN_FILES = 65_536


@dataclass(frozen=True)
class Peer:
    """Who is at the other end, as its verified certificate says."""

    common_name: str
    serial: int


class _TellingSSLObject(ssl.SSLObject):
    """Delays a handshake's failure by one round, in which asyncio sends the waiting alert."""

    _failure: ssl.SSLError | None = None

    def do_handshake(self) -> None:
        if self._failure is not None:
            raise self._failure
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as exc:
            self._failure = exc
            raise ssl.SSLWantReadError("the alert goes out first") from exc


class MtlsProtocol(H11Protocol):
    """HTTP/1.1 of one client; its identity rides in every request's state."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the identity from the TLS layer before the first request can be read."""
        super().connection_made(transport)
        self.peer = peer_of(transport.get_extra_info("peercert"))
        self.app_state = {**self.app_state, "peer": self.peer}
        self.made_mono_s = self.loop.time()
        self.timeout_keep_alive_task = self.loop.call_later(KEEP_ALIVE_S, self.timeout_keep_alive_handler)
        self._close_oldest()

    def _close_oldest(self) -> None:
        name = self.peer.common_name if self.peer is not None else ""
        own = [one for one in self.connections if isinstance(one, MtlsProtocol) and one.peer is not None]
        own = [one for one in own if one.peer is not None and one.peer.common_name == name]
        for one in sorted(own, key=lambda one: one.made_mono_s)[:-CONNECTIONS_PER_NAME]:
            one.transport.abort()

    def shutdown(self) -> None:
        """End an idle connection at once: a pole that keeps one open need not answer before we may leave."""
        if self.cycle is None or self.cycle.response_complete:
            self.transport.abort()
        else:
            super().shutdown()


def peer_of(certificate: Any) -> Peer | None:
    """Return who a verified certificate (as `getpeercert()` gives it) speaks for, or None without exactly one CN."""
    if not certificate:
        return None
    names = [value for part in certificate.get("subject", ()) for key, value in part if key == "commonName"]
    if len(names) != 1:
        return None
    return Peer(names[0], int(certificate.get("serialNumber", "0"), 16))


def tls_context(cert_file: Path, key_file: Path, ca_file: Path) -> ssl.SSLContext:
    """Return the server's TLS settings.

    Raises:
        OSError: a file is missing, unreadable, or not a pair (`ssl.SSLError` is one).
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cafile=ca_file)
    context.load_cert_chain(cert_file, key_file)
    context.num_tickets = 0
    context.sslobject_class = _TellingSSLObject
    return context


def serve(app: Any, listener: socket.socket, tls: ssl.SSLContext, ready: Callable[[], object]) -> None:
    """Serve `app` on the bound socket until SIGTERM or SIGINT; `ready` is called once it listens."""
    allow_open_files()
    config = uvicorn.Config(
        app,
        http=MtlsProtocol,
        ws="none",
        loop="asyncio",
        lifespan="on",
        ssl_context_factory=lambda *_: tls,
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
        h11_max_incomplete_event_size=HEADER_BYTES,
        limit_concurrency=CONNECTIONS,
    )
    _Server(config, ready).run(sockets=[listener])


def allow_open_files(wanted: int = OPEN_FILES) -> int:
    """Raise the process's own limit of open files up to `wanted`, or to what it is allowed; return the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft = most
    return soft


class _Server(uvicorn.Server):
    """Says when it listens, and leaves the exit status to us instead of dying of the signal again."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], object]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.started:
            self._ready()

    def handle_exit(self, sig: int, frame: Any) -> None:
        super().handle_exit(sig, frame)
        self._captured_signals.clear()
