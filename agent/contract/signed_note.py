"""Signed notes (C2SP signed-note) with Ed25519: text, an empty line, then one line per signature.

    <text, ends in a newline>
                                        (an empty line)
    — <key name> <base64(key hash || signature)>

Rules:
* the text is UTF-8 without control characters but the newline; a key name has no white space and no `+`;
* a signature by a key we do not know is passed over; one by a key we know must verify, or the note is refused;
* at least one known key must have signed; how many are needed beyond that is the caller's policy (`signers`);
* key hash = first 4 bytes of SHA-256(name || "\\n" || 0x01 || public key).
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from agent.contract.errors import ContractError

_ED25519 = b"\x01"
_KEY_BYTES = 32
_HASH_BYTES = 4
_MAX_NOTE_BYTES = 1_000_000
_MAX_SIGNATURES = 100
_NAME = re.compile(r"[^\s+\x00-\x1f\x7f]+")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_KEY_TEXT = re.compile(r"([^+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)")
_SIGNATURE_LINE = re.compile(r"— (\S+) ([A-Za-z0-9+/]+={0,2})")
_PRIVATE = "PRIVATE+KEY+"


class NoteSigner:
    """Signs notes as `name`. Its private text is `PRIVATE+KEY+name+hash+base64(0x01 || seed)`."""

    def __init__(self, name: str, private_key: Ed25519PrivateKey) -> None:
        _check_name(name)
        self.name = name
        self._private_key = private_key
        self._public = private_key.public_key().public_bytes_raw()

    @classmethod
    def parse(cls, text: str) -> "NoteSigner":
        """Read the content of a key file (surrounding white space is ignored).

        Raises:
            ContractError: malformed, or the hash is another key's. The text never stands in the error.
        """
        if not text.strip().startswith(_PRIVATE):
            raise ContractError("note signing key does not start with PRIVATE+KEY+; is this the public half?")
        name, key_hash, seed = _parse_key_text(text.strip().removeprefix(_PRIVATE), "note signing key")
        signer = cls(name, Ed25519PrivateKey.from_private_bytes(seed))
        if _key_hash(name, signer._public) != key_hash:
            raise ContractError(f"note signing key of {name} does not fit its hash; copy it again")
        return signer

    @classmethod
    def generate(cls, name: str) -> "NoteSigner":
        """Return a signer with a new key."""
        return cls(name, Ed25519PrivateKey.generate())

    def __repr__(self) -> str:
        return f"NoteSigner({self.verifier_key})"

    @property
    def verifier_key(self) -> str:
        """The public half: `name+hash+base64(0x01 || public key)`."""
        return _key_text(self.name, self._public, self._public)

    @property
    def private_text(self) -> str:
        """The secret as a key file holds it; never log it."""
        return _PRIVATE + _key_text(self.name, self._public, self._private_key.private_bytes_raw())

    def sign(self, text: str) -> str:
        """Return a note: `text` (must end in a newline) with one signature.

        Raises:
            ContractError: the text cannot be a note.
        """
        _check_text(text)
        return f"{text}\n{self._signature_line(text)}"

    def cosign(self, note: str) -> str:
        """Return `note` with our signature added. Signatures already there are kept, not checked: open it first."""
        text, _ = _split(note)
        return note + self._signature_line(text)

    def _signature_line(self, text: str) -> str:
        signature = _key_hash(self.name, self._public) + self._private_key.sign(text.encode("utf-8"))
        return f"— {self.name} {base64.b64encode(signature).decode()}\n"


@dataclass(frozen=True)
class OpenedNote:
    """A verified note; `signers` holds each verifier key that signed it once, in the order they were asked for."""

    text: str
    signers: tuple[str, ...]


class NoteVerifier:
    """Verifies notes of one key, `name+hash+base64(0x01 || public key)`.

    Raises:
        ContractError: the key text is malformed, or of another algorithm.
    """

    def __init__(self, verifier_key: str) -> None:
        self.verifier_key = verifier_key.strip()
        self.name, self.key_hash, public = _parse_key_text(self.verifier_key, "note verifier key")
        if _key_hash(self.name, public) != self.key_hash:
            raise ContractError(f"note verifier key of {self.name} does not fit its hash; copy it again")
        self._public_key = Ed25519PublicKey.from_public_bytes(public)

    def __repr__(self) -> str:
        return f"NoteVerifier({self.verifier_key})"

    @property
    def public(self) -> bytes:
        """The raw public key, 32 bytes."""
        return self._public_key.public_bytes_raw()

    def open(self, note: str) -> str:
        """Return the text of a note signed by this key.

        Raises:
            ContractError: malformed, not signed by this key, or the signature is wrong.
        """
        return open_note(note, [self]).text

    def verifies(self, text: str, signature: bytes) -> bool:
        """Say whether `signature` (64 bytes) is this key's over `text`."""
        try:
            self._public_key.verify(signature, text.encode("utf-8"))
        except InvalidSignature:
            return False
        return True


def open_note(note: str, verifiers: Sequence[NoteVerifier]) -> OpenedNote:
    """Return the text of a note and who of `verifiers` signed it (at least one).

    Raises:
        ContractError: malformed, no known signer, or a known signer's signature is wrong.
    """
    text, signatures = _split(note)
    signers = dict.fromkeys(key.verifier_key for key in verifiers if _has_signed(key, text, signatures))
    if not signers:
        raise ContractError("note carries no signature of a known key; check which key was pinned")
    return OpenedNote(text, tuple(signers))


def _has_signed(verifier: NoteVerifier, text: str, signatures: Sequence[tuple[str, bytes]]) -> bool:
    ours = [
        raw[_HASH_BYTES:]
        for name, raw in signatures
        if name == verifier.name and raw[:_HASH_BYTES] == verifier.key_hash
    ]
    if not all(verifier.verifies(text, signature) for signature in ours):
        raise ContractError(f"note carries a wrong signature of {verifier.name}; treat it as forged")
    return bool(ours)


def _split(note: str) -> tuple[str, list[tuple[str, bytes]]]:
    if len(note) > _MAX_NOTE_BYTES:
        raise ContractError(f"note is longer than {_MAX_NOTE_BYTES} characters")
    text, separator, tail = note.rpartition("\n\n")
    if not separator or not tail.endswith("\n"):
        raise ContractError("note has no signature block after an empty line")
    text += "\n"
    _check_text(text)
    lines = tail[:-1].split("\n")
    if len(lines) > _MAX_SIGNATURES:
        raise ContractError(f"note carries more than {_MAX_SIGNATURES} signatures")
    return text, [_parse_signature(line) for line in lines]


def _parse_signature(line: str) -> tuple[str, bytes]:
    match = _SIGNATURE_LINE.fullmatch(line)
    if match is None or _NAME.fullmatch(match[1]) is None:
        raise ContractError("note has a malformed signature line")
    raw = _decode_base64(match[2], "note signature")
    if len(raw) <= _HASH_BYTES:
        raise ContractError("note has a signature that is too short")
    return match[1], raw


def _check_text(text: str) -> None:
    if not text.endswith("\n"):
        raise ContractError("note text does not end in a newline")
    if _CONTROL.search(text) is not None:
        raise ContractError("note text holds a control character")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as exc:
        raise ContractError("note text is not valid unicode") from exc


def _check_name(name: str) -> None:
    if _NAME.fullmatch(name) is None:
        raise ContractError(f"note key name {name!r} is empty or holds white space or '+'; choose another")


def _parse_key_text(text: str, what: str) -> tuple[str, bytes, bytes]:
    match = _KEY_TEXT.fullmatch(text)
    if match is None:
        raise ContractError(f"{what} is malformed; copy it again")
    _check_name(match[1])
    key = _decode_base64(match[3], what)
    if key[:1] != _ED25519 or len(key) != 1 + _KEY_BYTES:
        raise ContractError(f"{what} of {match[1]} is not an Ed25519 key")
    return match[1], bytes.fromhex(match[2]), key[1:]


def _decode_base64(text: str, what: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error as exc:
        raise ContractError(f"{what} is not base64: {exc}") from exc
    if base64.b64encode(data).decode() != text:
        raise ContractError(f"{what} is not canonical base64")
    return data


def _key_text(name: str, public: bytes, key: bytes) -> str:
    return f"{name}+{_key_hash(name, public).hex()}+{base64.b64encode(_ED25519 + key).decode()}"


def _key_hash(name: str, public: bytes) -> bytes:
    return hashlib.sha256(name.encode("utf-8") + b"\n" + _ED25519 + public).digest()[:_HASH_BYTES]
