"""A signed command, and the pure decision whether a pole obeys it. docs/contract/command.md is its page.

A command is a JWS (`agent.contract.jws`) whose payload is a `Command` in canonical JSON: compact with one signature,
general JSON with two. `judge` decides in this order, and the first refusal counts:

    1 decode   2 signature of every signer   3 audience   4 life, nonce, clock   5 replay   6 arguments and role
    7 second officer   8 rate

Rules:
* `alg` is EdDSA and nothing else; the header is exactly {alg, kid, typ}, so no header can bring a key, an algorithm, or
  a critical extension that we would have to understand; `kid` only chooses among the pinned keys;
* officer and role are those of the pinned key; a payload that claims others is refused;
* the payload is decoded after its signatures verified, must be the canonical bytes, and an unknown field is refused:
  an order that is understood only in part is not carried out;
* a command lives at most `LIFE_MAX_S`; times are compared with the pole's clock only while that is synced and the
  pole's memory reaches back that far; else the answer is a challenge, and the command signed again with its nonce;
* `judge` has no I/O, no clock and no state, and raises nothing, whatever the bytes are.
"""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.contract.canonical_json import canonical_bytes
from agent.contract.errors import ContractError
from agent.contract.jws import Jws, JwsSignature, cosign_jws, key_id, parse_jws, public_key_of, sign_jws
from agent.contract.key_set import CommandKey, KeySet
from agent.contract.operations import OPERATIONS, AnyArgs, Operation, Role, read_args
from agent.contract.refusals import Refusal

ALGORITHM = "EdDSA"
TYPE = "pole-command"
LIFE_MAX_S = 300
SKEW_MAX_S = 30

_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
_Instant = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
_Small = Annotated[int, msgspec.Meta(ge=0, le=2**31)]
_Word = Annotated[str, msgspec.Meta(max_length=200)]


class Command(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The payload. `iss` key id, `sub` officer, `aud` pole id; `jti` is random; `nonce` answers a challenge."""

    v: Literal[1] = 1
    iss: _Text
    sub: _Text
    role: Role
    aud: _Text
    iat_us: _Instant
    exp_us: _Instant
    jti: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}$", max_length=32)]
    op: _Text
    args: dict[_Text, _Small | _Word] = {}
    reason: Annotated[str, msgspec.Meta(pattern=r"\S", max_length=500)]
    nonce: Annotated[str, msgspec.Meta(max_length=64)] = ""


class _Header(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    alg: str
    kid: str
    typ: str


class CommandSigner:
    """One officer's private key at work. It says nothing about role or right: the pole's key set does."""

    def __init__(self, private_key: Ed25519PrivateKey) -> None:
        self._private_key = private_key
        self.public = private_key.public_key().public_bytes_raw()
        self.kid = key_id(self.public)

    def sign(self, command: Command) -> bytes:
        """Return the compact JWS.

        Raises:
            ContractError: the command has no canonical form.
        """
        return sign_jws(self._header(), canonical_bytes(command), self._private_key)

    def cosign(self, signed: bytes) -> bytes:
        """Return the general JWS with our signature after the issuer's.

        Raises:
            ContractError: `signed` is no command of one signature.
        """
        return cosign_jws(signed, self._header(), self._private_key)

    def _header(self) -> bytes:
        return canonical_bytes(_Header(alg=ALGORITHM, kid=self.kid, typ=TYPE))


@dataclass(frozen=True)
class Context:
    """What the pole knows at this instant; values only.

    `seen` holds the jti of every command already judged good, `floor_us` is up to which expiry it may have forgotten
    some; `nonces` are the challenges still open; `recent_us` says when each operation was accepted lately.
    """

    pole: str
    keys: KeySet | None
    now_us: int
    clock_synced: bool
    seen: Container[str] = frozenset()
    floor_us: int = 0
    nonces: Container[str] = frozenset()
    recent_us: Mapping[str, Sequence[int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Accept:
    """Obey: the first of `signers` issued it, the second (if any) approved it."""

    command: Command
    args: AnyArgs
    operation: Operation
    signers: tuple[CommandKey, ...]


@dataclass(frozen=True)
class Challenge:
    """Rightly signed, but its age cannot be known: answer with a nonce."""

    command: Command
    signers: tuple[CommandKey, ...]
    detail: str


@dataclass(frozen=True)
class Refuse:
    """Do not obey. `command` is None until its signatures verified: what it claims before that is nobody's word."""

    refusal: Refusal
    detail: str
    command: Command | None = None
    signers: tuple[CommandKey, ...] = ()


Verdict = Accept | Challenge | Refuse


class _RefusedError(ContractError):
    """Carries a refusal out of a step; never leaves this module but through `verify_command`."""

    def __init__(self, refusal: Refusal, detail: str) -> None:
        self.refusal = refusal
        super().__init__(detail)


def judge(data: bytes, context: Context) -> Verdict:
    """Decide on the bytes of a command."""
    try:
        command, signers = verify_command(data, context.keys)
    except _RefusedError as refused:
        return Refuse(refused.refusal, str(refused))
    try:
        _check_audience(command, context)
        doubt = _check_time(command, context)
        if doubt:
            return Challenge(command, signers, doubt)
        _check_replay(command, context)
        operation, args = _check_right(command, signers)
        _check_officers(operation, signers)
        _check_rate(operation, context)
    except _RefusedError as refused:
        return Refuse(refused.refusal, str(refused), command, signers)
    return Accept(command, args, operation, signers)


def verify_command(data: bytes, keys: KeySet | None) -> tuple[Command, tuple[CommandKey, ...]]:
    """Return the command and the pinned keys that signed it, issuer first: steps 1 and 2.

    Raises:
        ContractError: malformed, or not signed by pinned keys.
    """
    jws = _parse(data)
    if keys is None:
        raise _RefusedError("no-keys", "this pole has no command keys; install a signed key set")
    signers = tuple(_signer(signature, keys) for signature in jws.signatures)
    try:
        command = msgspec.json.decode(jws.payload, type=Command)
        canonical = canonical_bytes(command)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ContractError) as exc:
        raise _RefusedError("malformed", f"payload is not a command: {exc}") from exc
    if canonical != jws.payload:
        raise _RefusedError("malformed", "payload is not canonical json")
    _check_issuer(command, signers[0])
    return command, signers


def _parse(data: bytes) -> Jws:
    try:
        return parse_jws(data)
    except ContractError as exc:
        raise _RefusedError("malformed", str(exc)) from exc


def _signer(signature: JwsSignature, keys: KeySet) -> CommandKey:
    try:
        header = msgspec.json.decode(signature.header, type=_Header)
        canonical = canonical_bytes(header)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ContractError) as exc:
        raise _RefusedError("header", f"header is not exactly alg, kid and typ: {exc}") from exc
    if header.alg != ALGORITHM:
        raise _RefusedError("algorithm", f"alg {header.alg[:20]!r} is not {ALGORITHM}")
    if header.typ != TYPE or canonical != signature.header:
        raise _RefusedError("header", f"header is not the canonical one of typ {TYPE}")
    key = keys.keys.get(header.kid)
    if key is None:
        raise _RefusedError("key-unknown", f"key {header.kid[:43]} is not in key set {keys.serial}")
    if not signature.verifies(public_key_of(key.public)):
        raise _RefusedError("signature", f"the signature is not that of {key.officer}'s key; treat it as forged")
    return key


def _check_issuer(command: Command, key: CommandKey) -> None:
    claimed = (command.iss, command.sub, command.role)
    if claimed != (key.kid, key.officer, key.role):
        raise _RefusedError(
            "issuer", f"it claims {command.sub} ({command.role}), the key is {key.officer}'s ({key.role})"
        )


def _check_audience(command: Command, context: Context) -> None:
    if command.aud != context.pole:
        raise _RefusedError("audience", f"it is for {command.aud}, this is {context.pole}")


def _check_time(command: Command, context: Context) -> str:
    """Return "" when it is fresh, or why only a challenge can tell."""
    life_us = command.exp_us - command.iat_us
    if not 0 < life_us <= LIFE_MAX_S * 1_000_000:
        raise _RefusedError("life", f"it lives {life_us / 1e6:.0f} s, at most {LIFE_MAX_S} s are allowed")
    if command.nonce:
        if command.nonce not in context.nonces:
            raise _RefusedError("nonce", "its nonce is not open here; ask for a new challenge")
        return ""
    if not context.clock_synced:
        return "this pole's clock is not synced"
    if context.now_us >= command.exp_us:
        raise _RefusedError("expired", f"it expired {(context.now_us - command.exp_us) / 1e6:.0f} s ago")
    if command.iat_us > context.now_us + SKEW_MAX_S * 1_000_000:
        ahead_s = (command.iat_us - context.now_us) / 1e6
        raise _RefusedError("future", f"it was issued {ahead_s:.0f} s ahead of this pole's clock; compare the clocks")
    return "this pole's memory of commands is younger" if command.exp_us <= context.floor_us else ""


def _check_replay(command: Command, context: Context) -> None:
    if command.jti in context.seen:
        raise _RefusedError("replayed", f"command {command.jti} was judged before; nothing was done again")


def _check_right(command: Command, signers: Sequence[CommandKey]) -> tuple[Operation, AnyArgs]:
    operation = OPERATIONS.get(command.op)
    if operation is None:
        raise _RefusedError("operation", f"there is no operation {command.op!r}; one of: {', '.join(OPERATIONS)}")
    try:
        args = read_args(operation, command.args)
    except ContractError as exc:
        raise _RefusedError("arguments", str(exc)) from exc
    for key in signers:
        if key.role not in operation.roles:
            allowed = ", ".join(sorted(operation.roles))
            raise _RefusedError("role", f"{key.officer} is {key.role}; {operation.name} is for: {allowed}")
    return operation, args


def _check_officers(operation: Operation, signers: Sequence[CommandKey]) -> None:
    if not operation.destructive:
        return
    if len(signers) < 2:
        raise _RefusedError("second-signature", f"{operation.name} needs a second officer's signature")
    if len({key.officer for key in signers}) < 2:
        raise _RefusedError("same-officer", f"both signatures are {signers[0].officer}'s; another officer must approve")


def _check_rate(operation: Operation, context: Context) -> None:
    recent = [at for at in context.recent_us.get(operation.name, ()) if _within(at, context.now_us, operation.window_s)]
    if len(recent) >= operation.most:
        per = f"{operation.most} in {operation.window_s} s"
        raise _RefusedError("rate", f"{operation.name} may happen {per}; wait, or go to the pole")


def _within(at_us: int, now_us: int, window_s: int) -> bool:
    """A clock that was stepped back must not open the gate, one that was years ahead must not close it for years."""
    return abs(now_us - at_us) < window_s * 1_000_000
