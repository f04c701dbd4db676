"""Serves signed commands: one thread that judges, writes down, acts, writes down, replies.

For each command, in this order: `judge` (pure, agent.contract.command) -> audit row `before` with the jti, one commit
(fsync) -> act -> audit row `after` -> reply on `up/reply`. Rules:
* every refusal has its code, is counted, gets an audit row on `up/audit` and a reply; beyond `REFUSALS_PER_MIN` a
  minute (of strangers, and of officers) it is only counted, and the next row says how many were (`suppressed`): a flood
  must not wear the disk that the bell commits on;
* what cannot be written down is not done (refusal `memory`), and the fault `command-journal-unwritable` stands;
* bytes from outside never raise out of `handle`; the inbox is `INBOX` deep, beyond it they are dropped and counted;
* a new key set comes on `down/command-keys` over the same untrusted path; its roots sign it, its serial rises.
"""

import logging
import queue
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import msgspec

from agent.clock import Clock
from agent.contract.canonical_json import sha256_hex
from agent.contract.command import Accept, Challenge, Context, Refuse, judge
from agent.contract.errors import ContractError, PoleAgentError
from agent.contract.messages import AuditReceipt, ClockState, CommandAudit, decode
from agent.contract.refusals import Refusal
from agent.fault_board import FaultBoard
from agent.mqtt.command_book import DETAIL_MAX, UNWRITABLE, CommandBook, Subject, plain
from agent.mqtt.command_error import CommandStoreError
from agent.mqtt.command_executor import CommandExecutor
from agent.mqtt.command_journal import CommandJournal, Remembered
from agent.mqtt.command_keys import CommandKeys
from agent.mqtt.command_nonces import Nonces
from agent.mqtt.link import Link
from agent.supervise import WorkerContext

log = logging.getLogger(__name__)

COMMAND, KEYS, RECEIPT = "command", "command-keys", "audit-receipt"
KINDS = (COMMAND, KEYS, RECEIPT)
INBOX = 32
TICK_S = 1.0
RETRY_S = 5.0
REFUSALS_PER_MIN = 30
KEYS_INVALID = "command-keys-invalid"
Ending = Literal["done", "failed"]


@dataclass(frozen=True)
class CommandParts:
    """What `Commands` works with."""

    keys: CommandKeys
    journal: CommandJournal
    executor: CommandExecutor
    faults: FaultBoard
    clock: Clock
    clock_state: Callable[[], ClockState]


class Commands:
    """The worker. `post` and `linked` may be called from any thread; the rest belongs to `run`."""

    def __init__(self, pole: str, parts: CommandParts) -> None:
        self._pole = pole
        self._keys, self._journal, self._executor = parts.keys, parts.journal, parts.executor
        self._faults, self._clock, self._clock_state = parts.faults, parts.clock, parts.clock_state
        self._book = CommandBook(pole, parts.journal, parts.faults, parts.clock, parts.clock_state)
        self._nonces = Nonces(parts.clock)
        self._inbox: queue.SimpleQueue[tuple[str, bytes] | None] = queue.SimpleQueue()
        self._memory: Remembered | None = None
        self._stranger = _Budget(parts.clock)
        self._officer = _Budget(parts.clock)
        self._retry_mono_s = parts.clock.mono_s()

    @property
    def counts(self) -> Counter[str]:
        """Events since the start: each refusal code, done, failed, challenged, interrupted, suppressed, dropped."""
        return self._book.counts

    def attach(self, link: Link) -> None:
        """Name the link to publish on; before `run`."""
        self._book.attach(link)

    def post(self, topic: str, payload: bytes) -> None:
        """Hand over a message of one of `KINDS`; returns at once."""
        if self._inbox.qsize() >= INBOX:
            self.counts["dropped"] += 1
            log.warning("command message dropped, too many wait topic=%s", topic)
            return
        self._inbox.put((topic, payload))

    def linked(self) -> None:
        """Say that a session stands: what waits goes out."""
        self._inbox.put(None)

    def run(self, context: WorkerContext) -> None:
        """Serve the inbox until the service stops."""
        self.begin()
        while not context.stopping:
            context.beat()
            try:
                event = self._inbox.get(timeout=TICK_S)
            except queue.Empty:
                self.tend()
                continue
            if event is None:
                self._book.resend_now()
            else:
                self.handle(*event)
            self.tend()
        self._journal.close()

    def begin(self) -> None:
        """Read keys and journal; report what a death of the process, or of this worker, left unfinished."""
        self._memory = None
        self._load_keys()
        self._recall()

    def handle(self, topic: str, payload: bytes) -> None:
        """Serve one message; whatever its bytes are, nothing is raised."""
        kind = topic.rsplit("/", 1)[-1]
        if kind == COMMAND:
            self._command(payload)
        elif kind == KEYS:
            self._install(payload)
        elif kind == RECEIPT:
            self._receipted(payload)

    def tend(self) -> None:
        """Do what is due: read or write the journal again after a failure, send again what has no receipt."""
        now = self._clock.mono_s()
        if now >= self._retry_mono_s:
            self._retry_mono_s = now + RETRY_S
            self._recall()
            if self._book.rewrite() and self._memory is not None:
                self._faults.clear(UNWRITABLE)
        self._book.resend()

    def _command(self, payload: bytes) -> None:
        subject = Subject(sha256_hex(payload))
        memory = self._memory
        if memory is None:
            self._refuse(subject, "memory", "the journal of commands cannot be read; check the disk")
            return
        verdict = judge(payload, self._context(memory))
        subject = Subject(subject.payload_sha256, verdict.command, verdict.signers)
        if verdict.command is not None:
            self._nonces.spend(verdict.command.nonce)
        if isinstance(verdict, Refuse):
            self._refuse(subject, verdict.refusal, verdict.detail)
        elif isinstance(verdict, Challenge):
            self._challenge(subject, verdict)
        else:
            self._obey(subject, verdict, memory)

    def _context(self, memory: Remembered) -> Context:
        return Context(
            pole=self._pole,
            keys=self._keys.current,
            now_us=self._clock.utc_us(),
            clock_synced=self._clock_state().synced,
            seen=memory.cache.seen,
            floor_us=memory.cache.floor_us,
            nonces=self._nonces.open(),
            recent_us=memory.recent_us,
        )

    def _obey(self, subject: Subject, accepted: Accept, memory: Remembered) -> None:
        command = accepted.command
        before = self._book.row(subject, "before")
        cache = memory.cache.remember(command.jti, command.exp_us, before.at_us)
        try:
            self._journal.begin(before, cache)
        except CommandStoreError as error:
            self._book.failed(error)
            self._refuse(subject, "memory", str(error))
            return
        times = (*memory.recent_us.get(command.op, ()), before.at_us)[-accepted.operation.most :]
        self._memory = Remembered(cache, {**memory.recent_us, command.op: times}, ())
        self._book.send(before)
        log.warning("command begun op=%s officer=%s jti=%s", command.op, command.sub, command.jti)
        outcome = self._executor.run(accepted)
        status: Ending = "done" if outcome.done else "failed"
        self.counts[status] += 1
        self._book.write(self._book.row(subject, "after", status, outcome.detail))
        self._book.reply(subject, status, detail=outcome.detail, lines=outcome.lines)

    def _challenge(self, subject: Subject, verdict: Challenge) -> None:
        self.counts["challenged"] += 1
        if self._within_budget(subject):
            self._book.note(self._book.row(subject, "challenged", "", verdict.detail))
            self._book.reply(subject, "challenge", detail=verdict.detail, nonce=self._nonces.issue())

    def _refuse(self, subject: Subject, refusal: Refusal, detail: str) -> None:
        self.counts[refusal] += 1
        if self._within_budget(subject):
            log.warning("command refused code=%s detail=%s", refusal, plain(detail))
            self._book.note(self._book.row(subject, "refused", refusal, detail))
            self._book.reply(subject, "refused", refusal, detail)

    def _within_budget(self, subject: Subject) -> bool:
        """Say whether this one gets a row; strangers and officers have a budget each: none starves the other."""
        if (self._officer if subject.command else self._stranger).spend():
            return True
        self._book.suppressed += 1
        self.counts["suppressed"] += 1
        return False

    def _load_keys(self) -> None:
        try:
            self._keys.load()
        except PoleAgentError as error:
            self._faults.report(KEYS_INVALID, str(error))
            return
        if self._keys.damaged:
            self._faults.report(KEYS_INVALID, f"passed over: {'; '.join(self._keys.damaged)}"[:DETAIL_MAX])

    def _install(self, note: bytes) -> None:
        subject = Subject(sha256_hex(note))
        try:
            found = self._keys.install(note)
        except CommandStoreError as error:
            self._book.failed(error)
            self._refuse(subject, "memory", str(error))
        except ContractError as error:
            self._refuse(subject, "key-set", str(error))
        else:
            self._faults.clear(KEYS_INVALID)
            log.warning("command keys installed serial=%d keys=%d", found.serial, len(found.keys))
            told = f"key set {found.serial} is in use: {len(found.keys)} keys"
            self._book.write(self._book.row(subject, "keys", "", told))

    def _receipted(self, payload: bytes) -> None:
        try:
            receipt = decode(payload, AuditReceipt)
        except ContractError as error:
            self._faults.report_error(error, RECEIPT)
            return
        self._faults.clear("message-invalid", RECEIPT)
        self._book.receipted(receipt.audit_id)

    def _recall(self) -> None:
        if self._memory is not None:
            return
        try:
            self._memory = self._journal.load()
        except CommandStoreError as error:
            self._book.failed(error)
            return
        for before in self._memory.unfinished:
            self.counts["interrupted"] += 1
            self._book.write(self._interrupted(before))

    def _interrupted(self, before: CommandAudit) -> CommandAudit:
        told = "the service ended between the beginning and the end; whether it was done is not known"
        fresh = self._book.row(Subject(before.payload_sha256), "after", "interrupted", told)
        same = {name: getattr(before, name) for name in ("jti", "op", "officer", "approver", "role", "kid", "reason")}
        return msgspec.structs.replace(fresh, **same)


class _Budget:
    """At most `REFUSALS_PER_MIN` in any minute."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._mono_s: deque[float] = deque(maxlen=REFUSALS_PER_MIN)

    def spend(self) -> bool:
        """Take one; return whether there was one."""
        now = self._clock.mono_s()
        if len(self._mono_s) == REFUSALS_PER_MIN and now - self._mono_s[0] < 60:
            return False
        self._mono_s.append(now)
        return True
