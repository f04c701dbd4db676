"""Who may use the console (ADR 0002).

Rules:
* a person enters by the one-time entry link (loopback only) or by a certificate of the center's CA;
* the link's token lives in one file, mode 0600, and in no log; using it makes a new one at once;
* a pole's certificate is of the same CA and never opens the console;
* every session has its own CSRF token; a session ends after `SESSION_S`, or with the process.
"""

import hashlib
import hmac
import os
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from center.ingest.uvicorn_mtls import Peer

SESSION_COOKIE = "__Host-console"
SESSION_S = 12 * 3600.0
MAX_SESSIONS = 200
MAX_NAME = 60
PERSON_PREFIX = "person."  # center.pki: a person's CN begins so, and no other's
ENTRY_LINK_FILE = "console-entry-link"


@dataclass(frozen=True)
class Session:
    """One person at the console. `id` binds openings to it and is a secret, like `csrf`."""

    id: str
    officer: str
    csrf: str
    by_certificate: bool
    started_mono_s: float


class EntryLink:
    """The one-time link: written to a file that only the console's user can read."""

    def __init__(self, state_dir: Path, base_url: str) -> None:
        self.path = state_dir / ENTRY_LINK_FILE
        self._base_url = base_url
        self._lock = threading.Lock()
        self._token = ""
        self._renew()

    @property
    def url(self) -> str:
        """The link as it stands in the file."""
        return f"{self._base_url}/enter?token={self._token}"

    def fits(self, token: str) -> bool:
        """Whether the token is the current one; it stays valid."""
        return hmac.compare_digest(token.encode(), self._token.encode())

    def use(self, token: str) -> bool:
        """Spend the token: True once, and the file then holds a new link."""
        with self._lock:
            if not self.fits(token):
                return False
            self._renew()
            return True

    def _renew(self) -> None:
        self._token = secrets.token_urlsafe(32)
        fresh = self.path.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(self.url + "\n")
        fresh.rename(self.path)


class Sessions:
    """The open sessions, in memory only: a restart of the console asks everybody to enter again."""

    def __init__(self, mono_s: Callable[[], float] = time.monotonic) -> None:
        self._mono_s = mono_s
        self._lock = threading.Lock()
        self._sessions: dict[str, Session] = {}
        self._secret = secrets.token_bytes(32)

    def start(self, officer: str) -> Session:
        """Open a session for a named officer; the oldest gives way when there are too many."""
        session = Session(secrets.token_urlsafe(32), officer, secrets.token_urlsafe(32), False, self._mono_s())
        with self._lock:
            if len(self._sessions) >= MAX_SESSIONS:
                self._sessions.pop(next(iter(self._sessions)))
            self._sessions[session.id] = session
        return session

    def get(self, session_id: str | None) -> Session | None:
        """Return the session of a cookie, or None when it is unknown or too old."""
        with self._lock:
            session = self._sessions.get(session_id or "")
            if session and self._mono_s() - session.started_mono_s > SESSION_S:
                del self._sessions[session.id]
                return None
        return session

    def end(self, session_id: str) -> None:
        """Close a session; unknown ones are ignored."""
        with self._lock:
            self._sessions.pop(session_id, None)

    def of_person(self, person: str) -> Session:
        """Return the session of a certificate's holder; it needs no cookie and has a CSRF token of its own."""
        derived = [
            hmac.new(self._secret, f"{use}:{person}".encode(), hashlib.sha256).hexdigest() for use in ("id", "csrf")
        ]
        return Session(derived[0], person, derived[1], True, self._mono_s())


def clean_name(text: str) -> str | None:
    """Return an officer's name with white space put in order, or None when it cannot be one."""
    name = " ".join(text.split())
    if not 1 <= len(name) <= MAX_NAME or not name.isprintable():
        return None
    return name


def person_of(peer: Peer | None) -> str | None:
    """Return the person of a verified certificate, None for a pole's, a center process's or none at all."""
    if peer is None or not peer.common_name.startswith(PERSON_PREFIX):
        return None
    return peer.common_name.removeprefix(PERSON_PREFIX) or None
