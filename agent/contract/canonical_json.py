"""Canonical JSON (RFC 8785) for everything that is hashed or signed.

Rules: integers only (no floats: two encoders may print one float differently); keys sorted by UTF-16;
UTF-8 without escapes. The library `rfc8785` does it; this module only fixes our types and our errors around it.
"""

import base64
import hashlib
from typing import Any

import msgspec
import rfc8785

from agent.contract.errors import ContractError


def canonical_bytes(value: Any) -> bytes:
    """Return the RFC 8785 form of a message, record, dict or list.

    Raises:
        ContractError: a value has no canonical form here (a float, an integer over 2**53 - 1, a lone surrogate).
    """
    builtins = msgspec.to_builtins(value)
    if _holds_float(builtins):
        raise ContractError("value holds a float, which has no canonical form here; use an integer of a smaller unit")
    try:
        return rfc8785.dumps(builtins)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError) as exc:
        raise ContractError(f"value has no canonical form: {exc}") from exc


def sha256_hex(data: bytes) -> str:
    """Return the SHA-256 of `data` as 64 lower-case hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def sha256_base64url(data: bytes) -> str:
    """Return the SHA-256 of `data` as 43 base64url characters without padding."""
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def _holds_float(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_float, value.values()))
    if isinstance(value, list):
        return any(map(_holds_float, value))
    return isinstance(value, float)
