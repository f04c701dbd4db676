"""Recordings that a named person opened for a stated reason (R-LEDGER, R-ACCESS).

Rules:
* the custodian commits the ledger row before the first byte is decrypted; no row, no byte;
* an opening belongs to one session and ends after `KEEP_S`; nobody else's request sees that it exists;
* clear bytes are made anew for each request, in memory only; nothing clear is kept or written.
"""

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from center.console.access import Session
from center.custodian.opening import Custodian, Request
from center.custodian.opening import Opening as Permitted
from center.errors import OpeningRefusedError

KEEP_S = 900.0
MAX_OPENINGS = 500
MAX_CLEAR_BYTES = 256 << 20


@dataclass(frozen=True)
class Opening:
    """One opened recording; `id` is in its address, `permitted` is the custodian's word."""

    id: str
    session_id: str
    purpose: str
    permitted: Permitted
    opened_mono_s: float

    def content(self) -> bytes:
        """Return the clear bytes; of a torn recording its prefix.

        Raises:
            SealError: the file was altered or exchanged since.
        """
        return b"".join(self.permitted.chunks())


class Openings:
    """The openings of this console process."""

    def __init__(self, custodian: Custodian, mono_s: Callable[[], float] = time.monotonic) -> None:
        self._custodian = custodian
        self._mono_s = mono_s
        self._lock = threading.Lock()
        self._openings: dict[str, Opening] = {}

    def open(self, segment: str, session: Session, purpose: str) -> Opening:
        """Open a recording for this session.

        Raises:
            OpeningRefusedError, SealError, StoreError: as `Custodian.open_segment`; nothing clear was given out.
        """
        permitted = self._custodian.open_segment(segment, Request(session.officer, purpose))
        if permitted.clear_bytes > MAX_CLEAR_BYTES:
            raise OpeningRefusedError(f"{segment} is too large to play here; use `pole-center open`")
        opening = Opening(secrets.token_urlsafe(16), session.id, purpose, permitted, self._mono_s())
        with self._lock:
            self._forget_old()
            if len(self._openings) >= MAX_OPENINGS:
                del self._openings[next(iter(self._openings))]
            self._openings[opening.id] = opening
        return opening

    def get(self, opening_id: str, session: Session) -> Opening | None:
        """Return an opening of this session, None when it is over or another's."""
        with self._lock:
            self._forget_old()
            opening = self._openings.get(opening_id)
        return opening if opening and opening.session_id == session.id else None

    def close_session(self, session_id: str) -> None:
        """End what a session opened; it has left."""
        with self._lock:
            self._openings = {key: held for key, held in self._openings.items() if held.session_id != session_id}

    def _forget_old(self) -> None:
        oldest_mono_s = self._mono_s() - KEEP_S
        self._openings = {key: held for key, held in self._openings.items() if held.opened_mono_s > oldest_mono_s}
