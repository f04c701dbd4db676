"""Officers with keys, a key set of theirs, and signed commands: real keys, real signatures, a clock in our hand."""

import json
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.clock import SimulatedClock
from agent.contract import topics
from agent.contract.canonical_json import canonical_bytes
from agent.contract.command import Command, CommandSigner, Context
from agent.contract.jws import b64url_decode, b64url_encode
from agent.contract.key_set import CommandKey, KeySet, make_key_set
from agent.contract.messages import AuditReceipt, ClockState, CommandAudit, CommandReply, decode, encode
from agent.contract.signed_note import NoteSigner
from agent.fault_board import FaultBoard
from agent.mqtt.command_error import CommandFailedError
from agent.mqtt.command_executor import CommandExecutor
from agent.mqtt.command_journal import CommandJournal
from agent.mqtt.command_keys import CommandKeys
from agent.mqtt.command_systemctl import FakeServiceControl
from agent.mqtt.commands import CommandParts, Commands
from agent.mqtt.link import LinkHandlers
from agent.mqtt.memory_link import MemoryLink

POLE = "pole-1"


class Officer:
    """One person with one key; `again()` is the same person with another key."""

    def __init__(self, name: str, role: str) -> None:
        self.name = name
        self.role = role
        self.private_key = Ed25519PrivateKey.generate()
        self.signer = CommandSigner(self.private_key)

    @property
    def key(self) -> CommandKey:
        return CommandKey(self.role, self.name, self.signer.public)  # type: ignore[arg-type]

    def again(self) -> "Officer":
        return Officer(self.name, self.role)

    def command(self, now_us: int, op: str = "rebirth", **told: Any) -> Command:
        values = {
            "iss": self.signer.kid,
            "sub": self.name,
            "role": self.role,
            "aud": POLE,
            "iat_us": now_us,
            "exp_us": now_us + 300_000_000,
            "jti": secrets.token_hex(16),
            "op": op,
            "reason": "월례 점검",
        }
        return Command(**(values | told))

    def sign(self, now_us: int, op: str = "rebirth", **told: Any) -> bytes:
        return self.signer.sign(self.command(now_us, op, **told))


@dataclass
class Staff:
    """Everybody in the pinned set, and its root."""

    root: NoteSigner = field(default_factory=lambda: NoteSigner.generate("root-1"))
    kim: Officer = field(default_factory=lambda: Officer("kim", "crew"))
    lee: Officer = field(default_factory=lambda: Officer("lee", "supervisor"))
    oh: Officer = field(default_factory=lambda: Officer("oh", "operator"))
    inv: Officer = field(default_factory=lambda: Officer("inv", "investigator"))

    def __post_init__(self) -> None:
        self.kim_again = self.kim.again()

    @property
    def officers(self) -> list[Officer]:
        return [self.kim, self.kim_again, self.lee, self.oh, self.inv]

    def key_set(self, serial: int = 1, without: Officer | None = None) -> KeySet:
        keys = [officer.key for officer in self.officers if officer is not without]
        return make_key_set(serial, 1, [self.root.verifier_key], keys)

    def note(self, serial: int = 1, without: Officer | None = None) -> str:
        return self.root.sign(self.key_set(serial, without).text())

    def context(self, now_us: int, **told: Any) -> Context:
        return Context(**({"pole": POLE, "keys": self.key_set(), "now_us": now_us, "clock_synced": True} | told))


class FakeActions:
    """What the bell service would do, remembered."""

    def __init__(self) -> None:
        self.done: list[tuple[Any, ...]] = []
        self.broken = ""

    def _do(self, *what: Any) -> str:
        if self.broken:
            raise CommandFailedError(self.broken)
        self.done.append(what)
        return f"{what[0]} done"

    def rebirth(self) -> str:
        return self._do("rebirth")

    def self_test(self, by: str) -> str:
        return self._do("self-test", by)

    def bell_test(self, wait_s: int, work_order: str, by: str) -> str:
        return self._do("bell-test", wait_s, work_order, by)

    def set_mode(self, mode: str, for_s: int, by: str, reason: str) -> str:
        return self._do("mode", mode, for_s, by, reason)

    def indicator_test(self, each_s: int) -> str:
        return self._do("indicator-test", each_s)


class CommandPole:
    """The pole's command service with real disk and real signatures; the link is the shipped one without a broker.

    Its first life is `AGE_S` old, so that its memory reaches back as far as a command can live.
    """

    AGE_S = 400

    def __init__(self, directory: Path, staff: Staff, clock: SimulatedClock | None = None) -> None:
        self.directory = directory
        self.staff = staff
        self.clock = clock or SimulatedClock()
        self.synced = True
        self.pinned = directory / "etc" / "command-keys.note"
        if not self.pinned.exists():
            self.pinned.parent.mkdir(parents=True)
            self.pinned.write_text(staff.note(), encoding="utf-8")
        self.actions = FakeActions()
        self.services = FakeServiceControl()
        self.start()
        self.clock.advance(self.AGE_S)

    def start(self) -> None:
        """Begin a life of the process; the one before is simply gone."""
        self.faults = FaultBoard(self.clock)
        self.journal = CommandJournal(self.directory / "state" / "commands.sqlite", self.clock)
        keys = CommandKeys(self.pinned, self.directory / "state" / "command-keys")
        executor = CommandExecutor(self.actions, self.services)
        parts = CommandParts(keys, self.journal, executor, self.faults, self.clock, self.clock_state)
        self.commands = Commands(POLE, parts)
        handlers = LinkHandlers(lambda: None, lambda: None, lambda topic, payload: None)
        self.link = MemoryLink(handlers, self.clock)
        self.link.connect()
        self.commands.attach(self.link)
        self.commands.begin()

    def restart(self) -> None:
        self.journal.close()
        self.start()

    def clock_state(self) -> ClockState:
        return ClockState(synced=self.synced, source="ntp" if self.synced else "free-running", error_us=0)

    def send(self, payload: bytes) -> CommandReply:
        """Deliver a command and return the reply to it."""
        before = len(self.replies)
        self.commands.handle(topics.down(POLE, "command"), payload)
        (reply,) = self.replies[before:]
        return reply

    def send_keys(self, note: str | bytes) -> None:
        self.commands.handle(topics.down(POLE, "command-keys"), note if isinstance(note, bytes) else note.encode())

    def receipt(self, audit_id: str) -> None:
        self.commands.handle(
            topics.down(POLE, "audit-receipt"), encode(AuditReceipt(audit_id=audit_id, committed_at_us=1))
        )

    @property
    def now_us(self) -> int:
        return self.clock.utc_us()

    @property
    def replies(self) -> list[CommandReply]:
        return [decode(one.payload, CommandReply) for one in self.link.published if one.topic.endswith("/up/reply")]

    @property
    def audits(self) -> list[CommandAudit]:
        return [decode(one.payload, CommandAudit) for one in self.link.published if one.topic.endswith("/up/audit")]

    @property
    def waiting(self) -> list[CommandAudit]:
        return [decode(payload, CommandAudit) for payload in self.journal.waiting()]


def payload_of(command: Command) -> bytes:
    return canonical_bytes(command)


def with_payload(signed: bytes, **changes: Any) -> bytes:
    """Change fields of a compact command and keep its signature."""
    header, payload, signature = signed.decode().split(".")
    changed = json.loads(b64url_decode(payload)) | changes
    return f"{header}.{b64url_encode(canonical_bytes(changed))}.{signature}".encode()


def with_header(signed: bytes, **changes: Any) -> bytes:
    """Change the header of a compact command and keep its signature."""
    header, payload, signature = signed.decode().split(".")
    changed = json.loads(b64url_decode(header)) | changes
    return f"{b64url_encode(canonical_bytes(changed))}.{payload}.{signature}".encode()
