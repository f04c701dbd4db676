"""The port to the pole's one MQTT session. Pure of any library.

Rules:
* `publish` never blocks and never queues while the session is down: the durable queue is the outbox;
* callbacks come from the link's thread; they must only hand over (the link guards them all the same);
* a session is up (`on_up`, `publish`) once its subscriptions stand: nothing sent to us after that is missed;
* a session has an id of its own; its will and its birth carry it, because a will can overtake a birth;
* health is the age of the last PUBACK, never a library's `is_connected` (FACTS: it stays True on a dead loop);
* every refusal or failure becomes one sentence that says what to do: `link_failure`.
"""

import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from agent.errors import LinkError, LinkRefusedError
from agent.supervise import WorkerContext

BACKOFF_MIN_S = 1.0
BACKOFF_MAX_S = 15.0


@dataclass(frozen=True)
class LinkSettings:
    """Where the broker is and who we are; the files are read again for every connection."""

    host: str
    port: int
    ca_file: Path
    cert_file: Path
    key_file: Path
    client_id: str
    keepalive_s: int = 10
    session_expiry_s: int = 86_400


@dataclass(frozen=True)
class Will:
    """The retained words about this session: `birth` after connecting, `death` from the broker when we are lost."""

    topic: str
    birth: bytes
    death: bytes


@dataclass(frozen=True)
class LinkHandlers:
    """Whom the link tells; called from its thread."""

    on_up: Callable[[], None]
    on_down: Callable[[], None]
    on_message: Callable[[str, bytes], None]


@dataclass(frozen=True)
class LinkHealth:
    """`session` is "" while there is none; `last_puback_mono_s` is None before the first one."""

    session: str
    last_puback_mono_s: float | None


class Link(Protocol):
    """The session with the broker."""

    def run(self, context: WorkerContext) -> None:
        """Keep the session up until the service stops (a worker)."""
        ...

    def publish(self, topic: str, payload: bytes, *, qos: int) -> bool:
        """Hand a message to the session; return False when there is none or its queue is full."""
        ...

    def hurry(self) -> None:
        """Try to connect at once instead of waiting out the back-off; returns at once."""
        ...

    def health(self) -> LinkHealth:
        """Return what is known of the session."""
        ...


def backoff_s(failures: int) -> float:
    """Return how long to wait after `failures` failed attempts in a row: 1, 2, 4, 8, 15, 15..."""
    return min(BACKOFF_MIN_S * 2.0 ** min(max(failures - 1, 0), 10), BACKOFF_MAX_S)


_ALERTS = {
    "certificate_expired": "the broker says that this pole's certificate has expired; install a new one",
    "certificate expired": "the broker says that this pole's certificate has expired; install a new one",
    "certificate_revoked": "the broker says that this pole's certificate is revoked; have the center issue a new one",
    "certificate revoked": "the broker says that this pole's certificate is revoked; have the center issue a new one",
    "unknown_ca": "the broker does not know the authority of this pole's certificate; have the center issue one",
    "unknown ca": "the broker does not know the authority of this pole's certificate; have the center issue one",
    "certificate_required": "the broker asks for a certificate and got none; check cert_file and key_file",
    "certificate required": "the broker asks for a certificate and got none; check cert_file and key_file",
    "bad_certificate": "the broker refuses this pole's certificate; compare it with the center's authority",
    "bad certificate": "the broker refuses this pole's certificate; compare it with the center's authority",
    "key values mismatch": "key_file does not belong to cert_file; install both from one issue",
    "key_values_mismatch": "key_file does not belong to cert_file; install both from one issue",
}

_VERIFY = {
    9: "the broker's certificate is not valid yet; check this pole's clock",
    10: "the broker's certificate has expired; renew it at the center",
    18: "the broker's certificate is signed by itself, not by ca_file; compare ca_file with the center's authority",
    19: "the broker's certificate is of another authority; compare ca_file with the center's authority",
    20: "the broker's certificate is of another authority; compare ca_file with the center's authority",
    62: "the broker's certificate is for another host name; compare broker_host with the certificate",
    64: "the broker's certificate is for another address; compare broker_host with the certificate",
}


def link_failure(cause: Exception | str, where: str) -> LinkError:
    """Return the error in words for a failed attempt or a lost session; `where` is host:port."""
    if isinstance(cause, ssl.SSLCertVerificationError):
        told = _VERIFY.get(cause.verify_code, f"the broker's certificate does not verify: {cause.verify_message}")
        return LinkRefusedError(f"{where}: {told}")
    if isinstance(cause, ssl.SSLError | str):
        return _tls_failure(str(cause), where)
    if isinstance(cause, FileNotFoundError | PermissionError) and cause.filename:
        return LinkRefusedError(f"{cause.filename} cannot be read ({cause.strerror}); install the pole's certificates")
    return LinkError(f"{where}: {_unreached(cause)}")


def _tls_failure(text: str, where: str) -> LinkError:
    lower = text.lower()
    for word, told in _ALERTS.items():
        if word in lower:
            return LinkRefusedError(f"{where}: {told}")
    if "alert" in lower or "pem" in lower or "certificate" in lower:
        return LinkRefusedError(f"{where}: tls was refused ({text}); check the certificates on both sides")
    return LinkError(f"{where}: the session was lost ({text or 'closed by the broker'}); connecting again")


def _unreached(cause: Exception) -> str:
    if isinstance(cause, socket.gaierror):
        return "the host name is unknown; check broker_host and the name server"
    if isinstance(cause, ConnectionRefusedError):
        return "nothing listens there; is the broker running?"
    if isinstance(cause, TimeoutError):
        return "no answer in time; check the dedicated link"
    return f"not reached ({cause}); check the dedicated link"


_REASONS = {
    0x85: "the broker refuses this client id; it must equal the certificate's name",
    0x86: "the broker refuses this certificate's name; is the pole enrolled?",
    0x87: "the broker does not allow this; check its access list for this pole",
    0x8A: "the broker has banned this pole; ask the center",
    0x8C: "the broker refuses the way of authentication; it must take client certificates",
    0x8E: "another client took over this pole's session; is its certificate copied?",
}


def reason_failure(code: int, name: str, where: str) -> LinkError:
    """Return the error in words for an MQTT 5 reason code of 0x80 or more (MQTT 5.0, 2.4)."""
    if code in _REASONS:
        return LinkRefusedError(f"{where}: {_REASONS[code]} (0x{code:02x})")
    return LinkError(f"{where}: the broker said {name} (0x{code:02x}); connecting again")
