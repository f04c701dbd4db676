"""Issuing and approving commands: checked here by the pole's own rules before anything is signed or stored.

Rules: what a pole would refuse is not signed; a destructive command waits in the store until a second officer has
signed the same bytes; the reason is the officer's and goes with the command to the pole's book.
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from agent.contract.command import LIFE_MAX_S, Command, Context, Refuse, judge
from agent.contract.errors import ContractError
from agent.contract.operations import OPERATIONS
from center.commands.key_folder import KeyFolder
from center.errors import ConflictError
from center.pki import is_pole_name
from center.store.commands import CommandRow, Commands

Arg = str | int


@dataclass(frozen=True)
class Order:
    """What an officer asks: of which pole, which operation, with which arguments, and why."""

    pole: str
    op: str
    args: Mapping[str, Arg]
    reason: str
    nonce: str = ""


class CommandOffice:
    """Signs with the keys of a folder, keeps what it signed in the store."""

    def __init__(self, keys: KeyFolder, store: Commands, now_us: Callable[[], int]) -> None:
        self._keys = keys
        self._store = store
        self._now_us = now_us

    def issue(self, order: Order, officer: str) -> CommandRow:
        """Sign and store a command; it is sent unless it needs a second officer.

        Raises:
            ConflictError: a pole would refuse it; the text says why.
            PkiError: the officer has no key here.
        """
        if not is_pole_name(order.pole):
            raise ConflictError(f"{order.pole!r} is not a pole's name")
        key, signer = self._keys.signer(officer)
        now_us = self._now_us()
        try:
            command = Command(
                iss=signer.kid,
                sub=key.officer,
                role=key.role,
                aud=order.pole,
                iat_us=now_us,
                exp_us=now_us + LIFE_MAX_S * 1_000_000,
                jti=secrets.token_hex(16),
                op=order.op,
                args=dict(order.args),
                reason=order.reason,
                nonce=order.nonce,
            )
            raw = signer.sign(command)
        except ContractError as exc:
            raise ConflictError(f"the command cannot be signed: {exc}") from exc
        wait = order.op in OPERATIONS and OPERATIONS[order.op].destructive
        self._check(raw, order.pole, order.nonce, "second-signature" if wait else "")
        return self._store.issue(command, raw, wait=wait)

    def approve(self, jti: str, officer: str) -> CommandRow:
        """Sign a waiting command as its second officer; it is sent.

        Raises:
            ConflictError: it does not wait, has expired, or the pole would refuse the pair of officers.
            PkiError: the officer has no key here.
        """
        row = self._store.get(jti)
        if row.state != "waiting":
            raise ConflictError(f"command {jti} does not wait for a second officer: it is {row.state}")
        key, signer = self._keys.signer(officer)
        try:
            raw = signer.cosign(row.raw)
        except ContractError as exc:
            raise ConflictError(f"command {jti} cannot be approved: {exc}") from exc
        self._check(raw, row.pole, row.nonce)
        return self._store.approve(jti, raw, key.officer)

    def again(self, row: CommandRow, nonce: str) -> CommandRow:
        """Issue a challenged command anew with the pole's nonce, by the same officer and for the same reason."""
        return self.issue(Order(row.pole, row.op, row.args, row.reason, nonce), row.officer)

    def _check(self, raw: bytes, pole: str, nonce: str, allowed: str = "") -> None:
        """Ask the pole's own judge, with the newest key set and our clock."""
        context = Context(pole, self._keys.current(), self._now_us(), clock_synced=True, nonces={nonce})
        verdict = judge(raw, context)
        if isinstance(verdict, Refuse) and verdict.refusal != allowed:
            raise ConflictError(f"a pole would refuse this ({verdict.refusal}): {verdict.detail}")
