"""The folder of command keys at the center: officers' private keys, the root that signs the key set, the set itself.

    root.key                   signs key sets (C2SP signed note, PRIVATE+KEY+...); for a city: on another machine
    command-keys.note          the newest signed set; pinned on poles at flash time, then sent by `command-keys send`
    officers/<officer>.<first 8 of the key id>.jwk     one private key (RFC 8037 JWK)

Rules: private files are 0600 from their first byte and never overwritten; one readable by others is refused; the set
is replaced by rename after its fsync, its serial rises with each change; an officer's key may also be made elsewhere,
then only its public half comes here.
"""

from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.contract.command import CommandSigner
from agent.contract.errors import ContractError
from agent.contract.jws import b64url_decode, b64url_encode
from agent.contract.key_set import OFFICER, CommandKey, KeySet, first_key_set, make_key_set
from agent.contract.operations import ROLES, Role
from agent.contract.signed_note import NoteSigner
from center.custodian.recipients import replace_file
from center.errors import PkiError
from center.pki import write_new_secret

ROOT_FILE = "root.key"
SET_FILE = "command-keys.note"


class _Jwk(msgspec.Struct, frozen=True, kw_only=True):
    kty: str
    crv: str
    x: str
    d: str
    kid: str = ""


class KeyFolder:
    """One folder of command keys."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @property
    def set_file(self) -> Path:
        """The file that is pinned on poles."""
        return self._directory / SET_FILE

    def create(self) -> KeySet:
        """Make the folder with a new root and an empty set of serial 1.

        Raises:
            PkiError: there is a root already, or it cannot be written.
        """
        self._make(self._directory / "officers")
        root = NoteSigner.generate("command-root")
        write_new_secret(self._directory / ROOT_FILE, f"{root.private_text}\n".encode())
        return self._sign(make_key_set(1, 1, [root.verifier_key], []))

    def current(self) -> KeySet:
        """Return the newest set.

        Raises:
            PkiError: there is none, or it is not signed by its root.
        """
        return _checked(self.set_file, self.note())

    def note(self) -> str:
        """Return the signed note of the newest set.

        Raises:
            PkiError: there is none.
        """
        try:
            return self.set_file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as exc:
            told = "begin with `pole-center command-keys init`"
            raise PkiError(f"{self.set_file} cannot be read: {exc}; {told}") from exc

    def add(self, officer: str, role: str, public: str = "") -> CommandKey:
        """Give `officer` a key and sign the next set: a new one, or the `public` half of one made elsewhere.

        Raises:
            PkiError: not an officer's name, not a role, the key stands already, or it cannot be written.
        """
        known = self.current()
        if OFFICER.fullmatch(officer) is None:
            raise PkiError(f"{officer!r} is not an officer's name: lower-case letters, digits, hyphens and dots")
        private_key = None if public else Ed25519PrivateKey.generate()
        try:
            raw = b64url_decode(public) if private_key is None else private_key.public_key().public_bytes_raw()
            key = CommandKey(_role(role), officer, raw)
            found = make_key_set(known.serial + 1, known.threshold, list(known.roots), [*known.keys.values(), key])
        except ContractError as exc:
            raise PkiError(f"no key for {officer}: {exc}") from exc
        if private_key is not None:
            self._keep(key, private_key)
        self._sign(found)
        return key

    def remove(self, kid: str) -> KeySet:
        """Take a key out (its id or the beginning of it) and sign the next set: poles that have it refuse the key.

        Raises:
            PkiError: no such key, or more than one.
        """
        known = self.current()
        gone = [one for one in known.keys if one.startswith(kid)]
        if len(gone) != 1 or not kid:
            raise PkiError(f"{kid!r} names {len(gone)} keys; give more of the key id")
        kept = [key for one, key in known.keys.items() if one != gone[0]]
        return self._sign(make_key_set(known.serial + 1, known.threshold, list(known.roots), kept))

    def signer(self, officer: str) -> tuple[CommandKey, CommandSigner]:
        """Return the officer's key of the newest set whose private half is here.

        Raises:
            PkiError: there is none, or others may read it.
        """
        keys = self.current().keys
        for file in sorted((self._directory / "officers").glob(f"{officer}.*.jwk")):
            signer = _read_jwk(file)
            key = keys.get(signer.kid)
            if key is not None and key.officer == officer:
                return key, signer
        raise PkiError(f"{officer} has no private command key in {self._directory}; `pole-center command-keys add`")

    def _keep(self, key: CommandKey, private_key: Ed25519PrivateKey) -> None:
        secret = b64url_encode(private_key.private_bytes_raw())
        jwk = _Jwk(kty="OKP", crv="Ed25519", x=b64url_encode(key.public), d=secret, kid=key.kid)
        self._make(self._directory / "officers")
        file = self._directory / "officers" / f"{key.officer}.{key.kid[:8]}.jwk"
        write_new_secret(file, msgspec.json.encode(jwk) + b"\n")

    def _sign(self, found: KeySet) -> KeySet:
        """Sign a set with our root and put it in the old one's place."""
        file = self._directory / ROOT_FILE
        try:
            _check_private(file)
            root = NoteSigner.parse(file.read_text(encoding="utf-8"))
            note = root.sign(found.text())
            _checked(file, note)
            replace_file(self.set_file, note.encode())
        except (OSError, ContractError) as exc:
            raise PkiError(f"the key set cannot be signed with {file}: {exc}") from exc
        return found

    def _make(self, directory: Path) -> None:
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as exc:
            raise PkiError(f"{directory} cannot be made: {exc}") from exc


def _checked(file: Path, note: str) -> KeySet:
    try:
        return first_key_set(note)
    except ContractError as exc:
        raise PkiError(f"{file}: {exc}") from exc


def _role(text: str) -> Role:
    role = next((known for known in ROLES if known == text), None)
    if role is None:
        raise PkiError(f"{text!r} is not a role; one of: {', '.join(ROLES)}")
    return role


def _read_jwk(file: Path) -> CommandSigner:
    try:
        _check_private(file)
        jwk = msgspec.json.decode(file.read_bytes(), type=_Jwk)
        if (jwk.kty, jwk.crv) != ("OKP", "Ed25519"):
            raise PkiError(f"{file} is no Ed25519 key")
        signer = CommandSigner(Ed25519PrivateKey.from_private_bytes(b64url_decode(jwk.d)))
    except (OSError, msgspec.DecodeError, ValueError) as exc:
        raise PkiError(f"{file} cannot be read as a key: {exc}") from None
    if b64url_encode(signer.public) != jwk.x:
        raise PkiError(f"{file} holds two halves that do not belong together; restore it from a copy")
    return signer


def _check_private(file: Path) -> None:
    if file.stat().st_mode & 0o077:
        raise PkiError(f"{file} may be read by others; `chmod 600` it, and make a new key if that was so for long")
