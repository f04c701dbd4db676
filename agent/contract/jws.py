"""JSON Web Signatures (RFC 7515) with Ed25519 (RFC 8037), the two serialisations we use and nothing else.

    compact:  BASE64URL(header) . BASE64URL(payload) . BASE64URL(signature)
    general:  {"payload": "...", "signatures": [{"protected": "...", "signature": "..."}, ...]}   (RFC 8785 bytes)

Why our own: a general library has to choose algorithms, keys and headers at run time, and that choice is where JWS
libraries failed (`none`, HMAC with a public key, `jwk`/`jku` in the header). Here nothing can be chosen: these pages
only cut bytes and verify Ed25519; which header is allowed and which key counts is said by `agent.contract.command`.

Rules:
* at most `MAX_BYTES`, at most `MAX_SIGNATURES`; signed data has one spelling: base64url without padding and without
  stray bits, the general form in canonical JSON without members of ours unknown (an unprotected header is refused);
* nothing is decoded beyond that before a signature was verified.
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from agent.contract.canonical_json import canonical_bytes, sha256_base64url
from agent.contract.errors import ContractError

MAX_BYTES = 16_384
MAX_SIGNATURES = 2
SIGNATURE_BYTES = 64


@dataclass(frozen=True)
class JwsSignature:
    """One signature: the decoded header, the exact bytes that were signed, and the 64 bytes of the signature."""

    header: bytes
    signed: bytes
    signature: bytes

    def verifies(self, public_key: Ed25519PublicKey) -> bool:
        """Say whether it is this key's."""
        try:
            public_key.verify(self.signature, self.signed)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True)
class Jws:
    """What was parsed, nothing of it verified yet."""

    payload: bytes
    signatures: tuple[JwsSignature, ...]


class _GeneralSignature(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    protected: str
    signature: str


class _General(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    payload: str
    signatures: list[_GeneralSignature]


def sign_jws(header: bytes, payload: bytes, private_key: Ed25519PrivateKey) -> bytes:
    """Return the compact serialisation."""
    signed = _signed(b64url_encode(header), b64url_encode(payload))
    return signed + b"." + b64url_encode(private_key.sign(signed)).encode()


def cosign_jws(jws: bytes, header: bytes, private_key: Ed25519PrivateKey) -> bytes:
    """Return the general serialisation of `jws` with one more signature over the same payload.

    Raises:
        ContractError: `jws` cannot be parsed, or has all signatures it may have.
    """
    parsed = parse_jws(jws)
    if len(parsed.signatures) >= MAX_SIGNATURES:
        raise ContractError(f"command has {MAX_SIGNATURES} signatures already")
    payload = b64url_encode(parsed.payload)
    added = private_key.sign(_signed(b64url_encode(header), payload))
    pairs = [(one.header, one.signature) for one in parsed.signatures] + [(header, added)]
    signatures = [
        _GeneralSignature(protected=b64url_encode(protected), signature=b64url_encode(signature))
        for protected, signature in pairs
    ]
    return canonical_bytes(_General(payload=payload, signatures=signatures))


def parse_jws(data: bytes) -> Jws:
    """Cut a JWS into its parts; `data` is untrusted.

    Raises:
        ContractError: too long, neither of our serialisations, or spelt another way than ours.
    """
    if len(data) > MAX_BYTES:
        raise ContractError(f"jws is longer than {MAX_BYTES} bytes")
    payload, pairs = _general(data) if data.startswith(b"{") else _compact(data)
    if not 1 <= len(pairs) <= MAX_SIGNATURES:
        raise ContractError(f"jws carries {len(pairs)} signatures, 1 to {MAX_SIGNATURES} are read")
    return Jws(b64url_decode(payload), tuple(_signature(protected, payload, raw) for protected, raw in pairs))


def public_key_of(raw: bytes) -> Ed25519PublicKey:
    """Return the key of 32 raw bytes.

    Raises:
        ContractError: not 32 bytes.
    """
    if len(raw) != 32:
        raise ContractError(f"an Ed25519 public key has 32 bytes, not {len(raw)}")
    return Ed25519PublicKey.from_public_bytes(raw)


def key_id(public_raw: bytes) -> str:
    """Return the key's id: its RFC 7638 thumbprint (SHA-256, base64url), as in RFC 8037 appendix A.3."""
    return sha256_base64url(canonical_bytes({"crv": "Ed25519", "kty": "OKP", "x": b64url_encode(public_raw)}))


def b64url_encode(data: bytes) -> str:
    """Return base64url without padding (RFC 7515, section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def b64url_decode(text: str) -> bytes:
    """Read base64url without padding, in its one canonical spelling.

    Raises:
        ContractError: another alphabet, padding, or stray bits at the end.
    """
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as exc:
        raise ContractError(f"not base64url: {exc}") from exc
    if b64url_encode(data) != text:
        raise ContractError("base64url is not in its canonical spelling")
    return data


def _compact(data: bytes) -> tuple[str, Sequence[tuple[str, str]]]:
    try:
        parts = data.decode("ascii").split(".")
    except UnicodeDecodeError as exc:
        raise ContractError("jws is not ascii") from exc
    if len(parts) != 3:
        raise ContractError(f"compact jws has {len(parts)} parts, not 3")
    return parts[1], [(parts[0], parts[2])]


def _general(data: bytes) -> tuple[str, Sequence[tuple[str, str]]]:
    try:
        general = msgspec.json.decode(data, type=_General)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise ContractError(f"jws is not a general serialisation: {exc}") from exc
    if canonical_bytes(general) != data:
        raise ContractError("general jws is not canonical json")
    return general.payload, [(one.protected, one.signature) for one in general.signatures]


def _signature(protected: str, payload: str, signature: str) -> JwsSignature:
    raw = b64url_decode(signature)
    if len(raw) != SIGNATURE_BYTES:
        raise ContractError(f"an Ed25519 signature has {SIGNATURE_BYTES} bytes, not {len(raw)}")
    return JwsSignature(b64url_decode(protected), _signed(protected, payload), raw)


def _signed(protected: str, payload: str) -> bytes:
    return f"{protected}.{payload}".encode("ascii")
