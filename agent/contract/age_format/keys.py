"""Texts of keys: `age1...` for whom to seal, `AGE-SECRET-KEY-1...` to open. A secret's text never enters an error."""

import hashlib
import secrets

from agent.contract.age_format import bech32
from agent.contract.age_format.errors import KeyTextError
from agent.contract.age_format.recipients import (
    HYBRID_IDENTITY_PREFIX,
    HYBRID_PREFIX,
    X25519_IDENTITY_PREFIX,
    X25519_PREFIX,
    HybridIdentity,
    HybridRecipient,
    Identity,
    Recipient,
    X25519Identity,
    X25519Recipient,
)

_KEY_BYTES = 32
_HYBRID_PUBLIC_BYTES = 1216


def parse_recipient(text: str) -> Recipient:
    """Read `age1...` (X25519) or `age1pq1...` (hybrid).

    Raises:
        KeyTextError: malformed, or of a kind that we do not know; the text names what is wrong.
    """
    if text.startswith(X25519_IDENTITY_PREFIX):
        raise KeyTextError("recipient is a secret key: it must not be on a pole; replace it, and revoke this key")
    human, data = bech32.decode(text)
    if human == X25519_PREFIX and len(data) == _KEY_BYTES:
        return X25519Recipient(data)
    if human == HYBRID_PREFIX and len(data) == _HYBRID_PUBLIC_BYTES:
        return HybridRecipient(data)
    raise KeyTextError(f"recipient of kind {human!r} with {len(data)} bytes is unknown; we take age1... and age1pq1...")


def parse_identity(text: str) -> Identity:
    """Read `AGE-SECRET-KEY-1...` (X25519) or `AGE-SECRET-KEY-PQ-1...` (hybrid).

    Raises:
        KeyTextError: malformed or of a kind that we do not know.
    """
    human, data = bech32.decode(text)
    if human == X25519_IDENTITY_PREFIX and len(data) == _KEY_BYTES:
        return X25519Identity(data)
    if human == HYBRID_IDENTITY_PREFIX and len(data) == _KEY_BYTES:
        return HybridIdentity(data)
    raise KeyTextError("identity is of an unknown kind; we take AGE-SECRET-KEY-1... and AGE-SECRET-KEY-PQ-1...")


def parse_identity_file(text: str) -> list[Identity]:
    """Read the text of a key file as `age-keygen` writes it: one identity per line, `#` starts a comment line.

    Raises:
        KeyTextError: a line is no identity (its number is named), or there is none.
    """
    identities = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            identities.append(parse_identity(line.strip()))
        except KeyTextError as exc:
            raise KeyTextError(f"line {number}: {exc}") from exc
    if not identities:
        raise KeyTextError("key file holds no identity; make one with age-keygen")
    return identities


def recipient_id(text: str) -> str:
    """Return the short name of a recipient: the first 16 hexadecimal digits of its text's SHA-256.

    Raises:
        KeyTextError: the text is no recipient.
    """
    return hashlib.sha256(parse_recipient(text).text.encode("ascii")).hexdigest()[:16]


def generate_identity() -> tuple[str, str]:
    """Return a new X25519 pair (`AGE-SECRET-KEY-1...`, `age1...`)."""
    secret = secrets.token_bytes(_KEY_BYTES)
    return bech32.encode(X25519_IDENTITY_PREFIX.lower(), secret).upper(), X25519Identity(secret).recipient().text


def generate_hybrid_identity() -> tuple[str, str]:
    """Return a new hybrid pair (`AGE-SECRET-KEY-PQ-1...`, `age1pq1...`)."""
    seed = secrets.token_bytes(_KEY_BYTES)
    return bech32.encode(HYBRID_IDENTITY_PREFIX.lower(), seed).upper(), HybridIdentity(seed).recipient().text
