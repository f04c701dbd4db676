"""The private keys that open segments: one age identity file each, `<zone>-<id>.agekey`, mode 0600.

Rules:
* a key file is what `age-keygen` writes, so any age tool opens a segment with it;
* the private file is on disk before its recipient is listed: nobody can seal to a key that was not kept;
* a key file that others may read is refused: it is not a secret any more;
* no key text ever stands in an error or a log.
"""

import os
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from agent.contract.age_format import (
    Identity,
    generate_identity,
    parse_identity,
    parse_identity_file,
    recipient_id,
)
from agent.contract.age_format.recipients import HybridIdentity, X25519Identity
from center.custodian.recipients import RecipientList, RecipientRow, write_pole_list, write_recipients
from center.errors import SealError
from center.pki import write_new_secret

_ZONE = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")


def _utc_now_us() -> int:
    return time.time_ns() // 1000


class Keyring:
    """The keys in one folder."""

    def __init__(self, key_dir: Path, now_us: Callable[[], int] = _utc_now_us) -> None:
        self._key_dir = key_dir
        self._now_us = now_us
        self._list = RecipientList(key_dir)

    def create(self, zone: str, recipients_file: Path) -> RecipientRow:
        """Make a key for `zone`, list it, and write that zone's list for the poles.

        `recipients_file` is written when `zone` is the zone of the first key; another zone's list stands beside it
        as `<stem>-<zone>.txt`.

        Raises:
            SealError: not a zone's name, or a file cannot be written.
        """
        secret, recipient = generate_identity()
        row = self._keep(zone, secret, recipient)
        rows = self._list.rows()
        beside = recipients_file.with_name(f"{recipients_file.stem}-{zone}{recipients_file.suffix}")
        target = recipients_file if zone == rows[0].zone else beside
        try:
            write_pole_list(target, [each for each in rows if each.zone == zone])
        except OSError as exc:
            raise SealError(f"{target} cannot be written: {exc}") from exc
        return row

    def adopt(self, zone: str, secret: str) -> RecipientRow:
        """Take in a key made elsewhere, so that what was sealed to it opens here.

        The poles of its zone get its recipient with the zone's next list (`create`).

        Raises:
            SealError: not an age X25519 identity, not a zone's name, held already, or it cannot be written.
        """
        recipient = _recipient_of(secret.strip())
        if any(row.recipient == recipient for row in self._list.rows()):
            raise SealError(f"the key of {recipient} is held already")
        return self._keep(zone, secret.strip(), recipient)

    def _keep(self, zone: str, secret: str, recipient: str) -> RecipientRow:
        """Write the key, then list it."""
        if not _ZONE.fullmatch(zone):
            raise SealError(f"{zone!r} is not a zone: lower-case letters, digits and hyphens, at most 32")
        row = RecipientRow(id=recipient_id(recipient), recipient=recipient, zone=zone, created_us=self._now_us())
        head = f"# zone: {zone}\n# id: {row.id}\n# public key: {recipient}\n"
        try:
            self._key_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_new_secret(self._key_dir / f"{zone}-{row.id}.agekey", f"{head}{secret}\n".encode())
            write_recipients(self._key_dir, [*self._list.rows(), row])
        except OSError as exc:
            raise SealError(f"a key for zone {zone} cannot be kept in {self._key_dir}: {exc}") from exc
        return row

    def rows(self) -> Sequence[RecipientRow]:
        """Return the public half of every key, oldest first."""
        return self._list.rows()

    def identities(self) -> list[Identity]:
        """Return every private key.

        Raises:
            SealError: there is none, one is unreadable, or others may read it.
        """
        files = sorted(self._key_dir.glob("*.agekey"))
        if not files:
            raise SealError(f"{self._key_dir} holds no key; make one with `pole-center keys new`")
        return [identity for file in files for identity in _read_key(file)]


def _recipient_of(secret: str) -> str:
    identity = parse_identity(secret)
    if not isinstance(identity, X25519Identity | HybridIdentity):
        raise SealError("this kind of identity has no recipient that a pole could seal to")
    return identity.recipient().text


def _read_key(file: Path) -> list[Identity]:
    try:
        with file.open(encoding="utf-8") as handle:
            if os.fstat(handle.fileno()).st_mode & 0o077:
                raise SealError(f"{file} can be read by others; `chmod 600` it, and think about who has")
            return parse_identity_file(handle.read())
    except (OSError, UnicodeDecodeError) as exc:
        raise SealError(f"{file} cannot be read: {exc}") from exc
