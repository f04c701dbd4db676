"""Who may speak to ingest: a pole of our CA whose certificate is not revoked.

Rules:
* the common name is the pole; a name that is not a pole's (the center's own, a person's) is refused;
* the revocation list is read again whenever its file changes; one that is gone or cannot be read refuses everybody,
  because "nobody is revoked" is not a thing to guess.
"""

import logging
from pathlib import Path

from cryptography import x509

from center.ingest.problem import Refusal
from center.ingest.uvicorn_mtls import Peer
from center.pki import is_pole_name

log = logging.getLogger(__name__)


class Gate:
    """Decides per request; `crl_file` None checks no revocation."""

    def __init__(self, crl_file: Path | None) -> None:
        self._crl_file = crl_file
        self._seen: tuple[int, int, int] | None = None
        self._revoked: frozenset[int] | None = None
        self._told = False

    def admit(self, peer: Peer | None) -> str:
        """Return the pole's id.

        Raises:
            Refusal: not a pole, or revoked.
        """
        if peer is None or not is_pole_name(peer.common_name):
            raise Refusal("unknown-pole", "this certificate does not name a pole; use the pole's own")
        revoked = self._read()
        if revoked is None:
            raise Refusal("store-failed", "the list of revoked certificates cannot be read at the center")
        if peer.serial in revoked:
            raise Refusal("certificate-revoked", f"the certificate of {peer.common_name} was revoked; have one issued")
        return peer.common_name

    def _read(self) -> frozenset[int] | None:
        if self._crl_file is None:
            return frozenset()
        try:
            stat = self._crl_file.stat()
        except OSError as exc:
            self._lost(exc)
            return None
        self._told = False
        seen = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        if seen != self._seen:
            self._seen = seen
            self._revoked = _serials(self._crl_file)
        return self._revoked

    def _lost(self, error: OSError) -> None:
        if not self._told:
            log.error("revocation list not readable file=%s reason=%s", self._crl_file, error)
        self._told = True


def _serials(crl_file: Path) -> frozenset[int] | None:
    try:
        listed = x509.load_pem_x509_crl(crl_file.read_bytes())
    except (OSError, ValueError) as exc:
        log.error("revocation list not readable file=%s reason=%s", crl_file, exc)
        return None
    return frozenset(entry.serial_number for entry in listed)
