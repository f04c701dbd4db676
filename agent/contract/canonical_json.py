"""Canonical JSON (RFC 8785) for everything that is hashed or signed.

Rules: integers only (no floats: two encoders may print one float differently); keys sorted by UTF-16;
UTF-8 without escapes. The library `rfc8785` does it; this module only fixes our types around it.
"""

import hashlib
from typing import Any

import msgspec
import rfc8785


def canonical_bytes(value: Any) -> bytes:
    """Return the RFC 8785 form of a message, record, dict or list.

    Raises:
        rfc8785.CanonicalizationError: a value has no canonical form (integer over 2**53, NaN).
    """
    return rfc8785.dumps(msgspec.to_builtins(value))


def sha256_hex(data: bytes) -> str:
    """Return the SHA-256 of `data` as 64 lower-case hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()
