"""X25519, hybrid and passphrase: the three ways to a file key that we write or read.

Rules:
* a stanza of a type we know must be well formed, else the whole file is refused (HeaderError), opened or not;
* a stanza of a type we do not know is passed over;
* scrypt stands alone in a header, and classic and hybrid recipients are never mixed in a file that we write:
  the weaker one would decide.
Sources: C2SP age.md, "X25519 recipient stanza", "scrypt recipient stanza", "mlkem768x25519 recipient stanza".
"""

import hashlib
import re
from collections.abc import Callable, Sequence
from typing import Protocol

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PrivateKey, MLKEM768X25519PublicKey, Suite

from agent.contract.age_format import base64_strict, bech32
from agent.contract.age_format.errors import HeaderError, KeyTextError
from agent.contract.age_format.header import FILE_KEY_BYTES, Stanza
from agent.contract.age_format.hkdf import hkdf_sha256
from agent.contract.errors import SealError

X25519_PREFIX = "age"
HYBRID_PREFIX = "age1pq"
X25519_IDENTITY_PREFIX = "AGE-SECRET-KEY-"
HYBRID_IDENTITY_PREFIX = "AGE-SECRET-KEY-PQ-"
MAX_SCRYPT_LOG_N = 20
"""2**20 takes 1 GiB and some seconds; a header that asks for more is refused before any work is done."""

_TAG_BYTES = 16
_WRAPPED_BYTES = FILE_KEY_BYTES + _TAG_BYTES
_ZERO_NONCE = bytes(12)
_KEY_BYTES = 32
_X25519_INFO = b"age-encryption.org/v1/X25519"
_SCRYPT_INFO = b"age-encryption.org/v1/scrypt"
_SCRYPT_SALT_BYTES = 16
_HYBRID_INFO = b"age-encryption.org/mlkem768x25519"
_HYBRID_SUITE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
_NO_MLKEM = "hybrid key needs ML-KEM-768, which this cryptography build lacks; install cryptography 48 or newer"
_MLKEM_PUBLIC_BYTES = 1184
_MLKEM_SEED_BYTES = 64
_MLKEM_SHARE_BYTES = 1088
_HYBRID_SHARE_BYTES = _MLKEM_SHARE_BYTES + _KEY_BYTES


class Recipient(Protocol):
    """Somebody a file is sealed for. `text` is the public key as written, `family` what it may be mixed with."""

    @property
    def text(self) -> str:
        """The recipient as one writes it: `age1...`."""

    @property
    def family(self) -> str:
        """Recipients of one file share it."""

    def wrap(self, file_key: bytes) -> Stanza:
        """Return the stanza that gives `file_key` to this recipient only."""


class Identity(Protocol):
    """Somebody who may open a file."""

    def unwrap(self, stanzas: Sequence[Stanza]) -> bytes | None:
        """Return the file key, or None when no stanza is ours. Raises HeaderError for a malformed one."""


class X25519Recipient:
    """A classic recipient, `age1...`."""

    family = "classic"

    def __init__(self, public: bytes) -> None:
        self._public = public
        self._key = X25519PublicKey.from_public_bytes(public)
        self.text = bech32.encode(X25519_PREFIX, public)

    def __repr__(self) -> str:
        return f"X25519Recipient({self.text})"

    def wrap(self, file_key: bytes) -> Stanza:
        """Wrap under a fresh ephemeral key. Raises SealError for a point of low order."""
        ephemeral = X25519PrivateKey.generate()
        share = ephemeral.public_key().public_bytes_raw()
        try:
            secret = ephemeral.exchange(self._key)
        except ValueError as exc:
            raise SealError(f"recipient {self.text} is a point of low order; it protects nothing") from exc
        key = hkdf_sha256(secret, salt=share + self._public, info=_X25519_INFO)
        body = ChaCha20Poly1305(key).encrypt(_ZERO_NONCE, file_key, None)
        return Stanza("X25519", (base64_strict.encode(share).decode(),), body)


class X25519Identity:
    """A classic private key, `AGE-SECRET-KEY-1...`."""

    def __init__(self, secret: bytes) -> None:
        self._key = X25519PrivateKey.from_private_bytes(secret)
        self._public = self._key.public_key().public_bytes_raw()

    def __repr__(self) -> str:
        return f"X25519Identity(of {self.recipient().text})"

    def recipient(self) -> X25519Recipient:
        """Return the public half."""
        return X25519Recipient(self._public)

    def unwrap(self, stanzas: Sequence[Stanza]) -> bytes | None:
        """Try every X25519 stanza."""
        return _first_file_key(stanzas, "X25519", self._unwrap_one)

    def _unwrap_one(self, stanza: Stanza) -> bytes | None:
        (share,) = _arguments(stanza, 1)
        share_bytes = _sized(share, _KEY_BYTES)
        _check_body(stanza)
        secret = _x25519_exchange(self._key, share_bytes)
        key = hkdf_sha256(secret, salt=share_bytes + self._public, info=_X25519_INFO)
        return _open_body(key, stanza)


class HybridRecipient:
    """A post-quantum recipient, `age1pq1...`: ML-KEM-768 and X25519 both have to fall."""

    family = "hybrid"

    def __init__(self, public: bytes) -> None:
        try:
            mlkem = MLKEM768PublicKey.from_public_bytes(public[:_MLKEM_PUBLIC_BYTES])
        except ValueError as exc:
            raise KeyTextError("recipient holds no valid ML-KEM-768 key; ask for it again") from exc
        except UnsupportedAlgorithm as exc:
            raise KeyTextError(_NO_MLKEM) from exc
        x25519 = X25519PublicKey.from_public_bytes(public[_MLKEM_PUBLIC_BYTES:])
        self._key = MLKEM768X25519PublicKey(mlkem, x25519)
        self.text = bech32.encode(HYBRID_PREFIX, public)

    def __repr__(self) -> str:
        return f"HybridRecipient({self.text[:24]}...)"

    def wrap(self, file_key: bytes) -> Stanza:
        """Wrap by HPKE in base mode; the library returns the encapsulated key and the ciphertext as one string."""
        sealed = _HYBRID_SUITE.encrypt(file_key, self._key, _HYBRID_INFO)
        share = base64_strict.encode(sealed[:_HYBRID_SHARE_BYTES]).decode()
        return Stanza("mlkem768x25519", (share,), sealed[_HYBRID_SHARE_BYTES:])


class HybridIdentity:
    """A post-quantum private key, `AGE-SECRET-KEY-PQ-1...`: a 32-byte seed, expanded by SHAKE256."""

    def __init__(self, seed: bytes) -> None:
        expanded = hashlib.shake_256(seed).digest(_MLKEM_SEED_BYTES + _KEY_BYTES)
        try:
            self._mlkem = MLKEM768PrivateKey.from_seed_bytes(expanded[:_MLKEM_SEED_BYTES])
        except UnsupportedAlgorithm as exc:
            raise KeyTextError(_NO_MLKEM) from exc
        self._x25519 = X25519PrivateKey.from_private_bytes(expanded[_MLKEM_SEED_BYTES:])
        self._key = MLKEM768X25519PrivateKey(self._mlkem, self._x25519)

    def __repr__(self) -> str:
        return f"HybridIdentity(of {self.recipient().text[:24]}...)"

    def recipient(self) -> HybridRecipient:
        """Return the public half."""
        return HybridRecipient(
            self._mlkem.public_key().public_bytes_raw() + self._x25519.public_key().public_bytes_raw()
        )

    def unwrap(self, stanzas: Sequence[Stanza]) -> bytes | None:
        """Try every hybrid stanza."""
        return _first_file_key(stanzas, "mlkem768x25519", self._unwrap_one)

    def _unwrap_one(self, stanza: Stanza) -> bytes | None:
        (share,) = _arguments(stanza, 1)
        share_bytes = _sized(share, _HYBRID_SHARE_BYTES)
        _check_body(stanza)
        _x25519_exchange(self._x25519, share_bytes[_MLKEM_SHARE_BYTES:])  # the library reports a low order as no match
        try:
            return _HYBRID_SUITE.decrypt(share_bytes + stanza.body, self._key, _HYBRID_INFO)
        except InvalidTag:
            return None


class PassphraseIdentity:
    """A passphrase (`scrypt`): read only, for a case file that somebody sealed by hand. We never write one."""

    def __init__(self, passphrase: str, max_log_n: int = MAX_SCRYPT_LOG_N) -> None:
        self._passphrase = passphrase.encode("utf-8")
        self._max_log_n = max_log_n

    def unwrap(self, stanzas: Sequence[Stanza]) -> bytes | None:
        """Try the scrypt stanza; `check_scrypt_alone` has made sure that there is at most one."""
        for stanza in stanzas:
            if stanza.type == "scrypt":
                return self._unwrap_one(stanza)
        return None

    def _unwrap_one(self, stanza: Stanza) -> bytes | None:
        salt, log_n = _arguments(stanza, 2)
        salt_bytes = _sized(salt, _SCRYPT_SALT_BYTES)
        if re.fullmatch("[1-9][0-9]{0,2}", log_n) is None or int(log_n) > self._max_log_n:
            raise HeaderError(f"header asks for scrypt work factor {log_n[:8]!r}, we allow 1..{self._max_log_n}")
        _check_body(stanza)
        cost = 1 << int(log_n)
        key = hashlib.scrypt(
            self._passphrase, salt=_SCRYPT_INFO + salt_bytes, n=cost, r=8, p=1, maxmem=1024 * (cost + 64), dklen=32
        )
        return _open_body(key, stanza)


def check_scrypt_alone(stanzas: Sequence[Stanza]) -> None:
    """Raise HeaderError when a passphrase stanza stands beside another: the file would lie about who can open it."""
    if len(stanzas) > 1 and any(stanza.type == "scrypt" for stanza in stanzas):
        raise HeaderError("header mixes a passphrase with other recipients")


def _first_file_key(stanzas: Sequence[Stanza], kind: str, unwrap_one: Callable[[Stanza], bytes | None]) -> bytes | None:
    """Return what the first stanza of this kind that opens gives."""
    keys = (unwrap_one(stanza) for stanza in stanzas if stanza.type == kind)
    return next((key for key in keys if key is not None), None)


def _arguments(stanza: Stanza, count: int) -> tuple[str, ...]:
    if len(stanza.arguments) != count:
        raise HeaderError(f"header has a {stanza.type} recipient with {len(stanza.arguments)} arguments, not {count}")
    return stanza.arguments


def _sized(text: str, size: int) -> bytes:
    data = base64_strict.decode(text.encode("ascii"))
    if len(data) != size:
        raise HeaderError(f"header has a recipient argument of {len(data)} bytes, not {size}")
    return data


def _x25519_exchange(key: X25519PrivateKey, share: bytes) -> bytes:
    try:
        return key.exchange(X25519PublicKey.from_public_bytes(share))
    except ValueError as exc:
        raise HeaderError("header holds an X25519 share of low order; treat the file as forged") from exc


def _check_body(stanza: Stanza) -> None:
    # Before decryption: a longer key under the same tag would allow partitioning attacks (C2SP age.md).
    if len(stanza.body) != _WRAPPED_BYTES:
        raise HeaderError(f"header has a {stanza.type} recipient with a body of {len(stanza.body)} bytes, not 32")


def _open_body(key: bytes, stanza: Stanza) -> bytes | None:
    try:
        return ChaCha20Poly1305(key).decrypt(_ZERO_NONCE, stanza.body, None)
    except InvalidTag:
        return None
