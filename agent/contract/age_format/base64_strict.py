"""Canonical base64: what decodes must encode to the very same text (else one file would have many names)."""

import base64
import binascii

from agent.contract.age_format.errors import HeaderError


def encode(data: bytes) -> bytes:
    """Return standard base64 without padding."""
    return base64.b64encode(data).rstrip(b"=")


def decode(text: bytes) -> bytes:
    """Return the bytes of unpadded, canonical base64.

    Raises:
        HeaderError: padding, a foreign character, or bits that would be dropped.
    """
    try:
        data = base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except binascii.Error as exc:
        raise HeaderError(f"header holds text that is not base64: {exc}") from exc
    if encode(data) != text:
        raise HeaderError("header holds base64 that is not canonical")
    return data
