"""What the pole says about commands: audit rows (durable, until the center's receipt) and replies (once).

Rules:
* a row goes to the journal first, then out; rows about acts (`write`) are tried again until the disk takes them, rows
  about refusals (`note`) go out once even where they cannot be kept;
* rows without a receipt go out again at every new session and every `RESEND_S`;
* a reply that finds no session waits in memory, the newest `REPLIES` of them: the row says the same and is durable.
"""

import uuid
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

from agent.clock import Clock
from agent.contract import topics
from agent.contract.command import Command
from agent.contract.key_set import CommandKey
from agent.contract.messages import (
    AuditPhase,
    ClockState,
    CommandAudit,
    CommandReply,
    Message,
    ReplyStatus,
    encode,
)
from agent.fault_board import FaultBoard
from agent.mqtt.command_error import CommandStoreError
from agent.mqtt.command_journal import CommandJournal
from agent.mqtt.link import Link

RESEND_S = 30.0
REPLIES = 32
UNWRITTEN = 100
DETAIL_MAX = 300
UNWRITABLE = "command-journal-unwritable"


@dataclass(frozen=True)
class Subject:
    """What a row or reply is about: the digest of the bytes, and the command and signers once they verified."""

    payload_sha256: str
    command: Command | None = None
    signers: tuple[CommandKey, ...] = ()


class CommandBook:
    """Writes and sends. Used by the one thread that serves commands."""

    def __init__(
        self,
        pole: str,
        journal: CommandJournal,
        faults: FaultBoard,
        clock: Clock,
        clock_state: Callable[[], ClockState],
    ) -> None:
        self._pole = pole
        self._journal = journal
        self._faults = faults
        self._clock = clock
        self._clock_state = clock_state
        self._link: Link | None = None
        self._unwritten: deque[CommandAudit] = deque(maxlen=UNWRITTEN)
        self._replies: deque[CommandReply] = deque(maxlen=REPLIES)
        self._resend_mono_s = clock.mono_s()
        self.suppressed = 0
        self.counts: Counter[str] = Counter()

    def attach(self, link: Link) -> None:
        """Name the link to publish on."""
        self._link = link

    def row(self, subject: Subject, phase: AuditPhase, code: str = "", detail: str = "") -> CommandAudit:
        """Return a new audit row; it takes over the count of suppressed refusals."""
        suppressed, self.suppressed = self.suppressed, 0
        command, signers = subject.command, subject.signers
        return CommandAudit(
            audit_id=uuid.uuid4().hex,
            pole=self._pole,
            at_us=self._clock.utc_us(),
            clock=self._clock_state(),
            phase=phase,
            payload_sha256=subject.payload_sha256,
            code=code,
            detail=plain(detail),
            jti=command.jti if command else "",
            op=command.op if command else "",
            officer=signers[0].officer if signers else "",
            approver=signers[1].officer if len(signers) > 1 else "",
            role=signers[0].role if signers else "",
            kid=signers[0].kid if signers else "",
            reason=command.reason if command else "",
            suppressed=suppressed,
        )

    def write(self, audit: CommandAudit) -> None:
        """Commit a row that must not be lost, and send it."""
        self._unwritten.append(audit)
        self.rewrite()
        self.send(audit)

    def note(self, audit: CommandAudit) -> None:
        """Commit a row about something not obeyed if there is room, and send it."""
        try:
            if not self._journal.note(audit):
                self.counts["not-kept"] += 1
        except CommandStoreError as error:
            self.failed(error)
        self.send(audit)

    def send(self, audit: CommandAudit) -> None:
        """Send a row once; it goes out again until its receipt if it was written."""
        self._publish("audit", audit)

    def reply(
        self,
        subject: Subject,
        status: ReplyStatus,
        code: str = "",
        detail: str = "",
        nonce: str = "",
        lines: tuple[str, ...] = (),
    ) -> None:
        """Send a reply, or keep it for the next session."""
        reply = CommandReply(
            pole=self._pole,
            jti=subject.command.jti if subject.command else "",
            payload_sha256=subject.payload_sha256,
            status=status,
            at_us=self._clock.utc_us(),
            code=code,
            detail=plain(detail),
            nonce=nonce,
            lines=list(lines),
        )
        if not self._publish("reply", reply):
            self._replies.append(reply)

    def receipted(self, audit_id: str) -> None:
        """Let go of a row that the center holds."""
        try:
            self._journal.receipted(audit_id)
        except CommandStoreError as error:
            self.failed(error)

    def failed(self, error: CommandStoreError) -> None:
        """Let the fault of the journal stand."""
        self._faults.report(UNWRITABLE, str(error))

    def rewrite(self) -> bool:
        """Write what waits to be written; return whether nothing waits any more."""
        try:
            while self._unwritten:
                self._journal.finish(self._unwritten[0])
                self._unwritten.popleft()
        except CommandStoreError as error:
            self.failed(error)
            return False
        return True

    def resend_now(self) -> None:
        """Say that a new session stands."""
        self._resend_mono_s = self._clock.mono_s()

    def resend(self) -> None:
        """Send again what is due."""
        now = self._clock.mono_s()
        if now < self._resend_mono_s or self._link is None or not self._link.health().session:
            return
        self._resend_mono_s = now + RESEND_S
        try:
            rows = self._journal.waiting()
        except CommandStoreError as error:
            self.failed(error)
            return
        for payload in rows:
            self._link.publish(topics.up(self._pole, "audit"), payload, qos=1)
        for _ in range(len(self._replies)):
            reply = self._replies.popleft()
            if not self._publish("reply", reply):
                self._replies.append(reply)

    def _publish(self, kind: str, message: Message) -> bool:
        return self._link is not None and self._link.publish(topics.up(self._pole, kind), encode(message), qos=1)


def plain(text: str) -> str:
    """Return text that may hold a stranger's bytes, fit for a log line: printable, at most `DETAIL_MAX` characters."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:DETAIL_MAX])
