"""Who may command a pole: the command keys with their roles, as a signed note that only rises (R-ACCESS).

    pole-agent/command-keys/v1
    serial <n>
    threshold <how many roots must sign the next set>
    root <note verifier key>                                   one line or more
    key <role> <officer> <base64url Ed25519 public key>         any number

Rules:
* the first set is pinned at flash time; it must be signed by `threshold` of its own roots;
* a next set must have a higher serial, be signed by the threshold of the roots *now trusted*, and by its own: so a set
  whose roots nobody holds can never lock a pole out (the rule of The Update Framework, section 5.3);
* taking a key out of the next set revokes it; there is no other revocation;
* one officer may hold several keys (rotation); two officers never share one; roots sign sets, never commands.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from agent.contract.errors import ContractError
from agent.contract.jws import b64url_decode, b64url_encode, key_id, public_key_of
from agent.contract.operations import ROLES, Role
from agent.contract.signed_note import NoteVerifier, open_note

MAGIC = "pole-agent/command-keys/v1"
MAX_BYTES = 65_536
MAX_KEYS = 500
MAX_ROOTS = 10
MAX_SERIAL = 2**53 - 1
OFFICER = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,61}[a-z0-9])?")
_NUMBER = re.compile(r"[1-9][0-9]{0,15}")


@dataclass(frozen=True)
class CommandKey:
    """One officer's key: `public` is the raw 32 bytes, `kid` follows from it."""

    role: Role
    officer: str
    public: bytes

    @property
    def kid(self) -> str:
        """The key's id (RFC 7638 thumbprint)."""
        return key_id(self.public)


@dataclass(frozen=True)
class KeySet:
    """One serial of the set. `roots` are note verifier keys, `keys` go by their ids."""

    serial: int
    threshold: int
    roots: tuple[str, ...]
    keys: Mapping[str, CommandKey]

    def text(self) -> str:
        """Return the text that the roots sign."""
        lines = [MAGIC, f"serial {self.serial}", f"threshold {self.threshold}"]
        lines += [f"root {root}" for root in self.roots]
        lines += [f"key {key.role} {key.officer} {b64url_encode(key.public)}" for key in self.keys.values()]
        return "".join(f"{line}\n" for line in lines)


def make_key_set(serial: int, threshold: int, roots: list[str], keys: list[CommandKey]) -> KeySet:
    """Return a set after checking that a pole would take it.

    Raises:
        ContractError: it would not.
    """
    by_id = {key.kid: key for key in keys}
    if len(by_id) != len(keys):
        raise ContractError("command keys hold a key twice; one key is one officer's in one role")
    return parse_key_set(KeySet(serial, threshold, tuple(roots), by_id).text())


def first_key_set(note: str) -> KeySet:
    """Read the pinned set, trusted because of where it lies; it must be signed by its own roots.

    Raises:
        ContractError: malformed, or its own roots did not sign it.
    """
    found = parse_key_set(_text_of(note))
    return parse_key_set(_require(note, found, "its own"))


def next_key_set(trusted: KeySet, note: str) -> KeySet:
    """Read a set that came over an untrusted path, and say whether it follows `trusted`.

    Raises:
        ContractError: malformed, not newer, or not signed by the trusted and by its own roots.
    """
    found = parse_key_set(_require(note, trusted, "the trusted"))
    if found.serial <= trusted.serial:
        raise ContractError(
            f"command keys have serial {found.serial}, this pole has {trusted.serial}; send a newer set"
        )
    _require(note, found, "its own")
    return found


def parse_key_set(text: str) -> KeySet:
    """Read the text of a set; says nothing about who signed it.

    Raises:
        ContractError: another magic or version, or a line is missing, malformed, double or too many.
    """
    lines = text.split("\n")
    if lines[0] != MAGIC:
        raise ContractError(f"note is no {MAGIC}: its first line is {lines[0][:40]!r}")
    if len(lines) < 5 or lines[-1]:
        raise ContractError("command keys need a serial, a threshold and a root")
    serial, threshold = _number(lines[1], "serial"), _number(lines[2], "threshold")
    body = lines[3:-1]
    roots = tuple(line.removeprefix("root ") for line in body if line.startswith("root "))
    keys = [_key(line) for line in body if not line.startswith("root ")]
    found = KeySet(serial, threshold, roots, {key.kid: key for key in keys})
    _check(found, len(keys))
    if found.text() != text:
        raise ContractError("command keys are not in their one spelling; write them with pole-center")
    return found


def _check(found: KeySet, lines: int) -> None:
    if not 1 <= len(found.roots) <= MAX_ROOTS or len(set(found.roots)) != len(found.roots):
        raise ContractError(f"command keys need 1 to {MAX_ROOTS} different roots, found {len(found.roots)}")
    if not 1 <= found.threshold <= len(found.roots):
        raise ContractError(f"threshold {found.threshold} cannot be met by {len(found.roots)} roots")
    if len(found.keys) != lines or lines > MAX_KEYS:
        raise ContractError(f"command keys hold a key twice, or more than {MAX_KEYS}")
    publics = {NoteVerifier(root).public for root in found.roots}
    if len(publics) != len(found.roots) or publics & {key.public for key in found.keys.values()}:
        raise ContractError("one key stands twice: each root is its own, and no root is a command key")
    if found.serial > MAX_SERIAL:
        raise ContractError(f"serial {found.serial} is too large")


def _require(note: str, roots_of: KeySet, whose: str) -> str:
    """Return the text that enough roots of `roots_of` signed."""
    opened = open_note(note, [NoteVerifier(root) for root in roots_of.roots])
    if len(opened.signers) < roots_of.threshold:
        count = f"{len(opened.signers)} of {whose} roots"
        raise ContractError(f"command keys are signed by {count}, {roots_of.threshold} must")
    return opened.text


def _text_of(note: str) -> str:
    if len(note) > MAX_BYTES:
        raise ContractError(f"command keys are longer than {MAX_BYTES} characters")
    text, separator, _ = note.rpartition("\n\n")
    if not separator:
        raise ContractError("command keys are not a signed note")
    return text + "\n"


def _number(line: str, name: str) -> int:
    word, _, value = line.partition(" ")
    if word != name or _NUMBER.fullmatch(value) is None:
        raise ContractError(f"command keys have a malformed {name} line: {line[:60]!r}")
    return int(value)


def _key(line: str) -> CommandKey:
    words = line.split(" ")
    if len(words) != 4 or words[0] != "key" or OFFICER.fullmatch(words[2]) is None:
        raise ContractError(f"command keys have a malformed line: {line[:60]!r}")
    role = next((known for known in ROLES if known == words[1]), None)
    if role is None:
        raise ContractError(f"command keys name a role {words[1]!r}; one of: {', '.join(ROLES)}")
    public = b64url_decode(words[3])
    public_key_of(public)
    return CommandKey(role, words[2], public)
