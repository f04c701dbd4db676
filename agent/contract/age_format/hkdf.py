"""HKDF-SHA256 (RFC 5869) with the one output length that age uses."""

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


def hkdf_sha256(secret: bytes, *, salt: bytes, info: bytes) -> bytes:
    """Return 32 bytes derived from `secret`; an empty salt means 32 zero bytes, as the RFC says."""
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(secret)
