"""Whatever happens to the pole between them, no command is obeyed twice and every act is in the book before it."""

import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from support.command_kit import CommandPole, Officer, Staff

STAFF = Staff()
OFFICERS = [STAFF.kim, STAFF.lee, STAFF.oh, STAFF.inv, Officer("kim", "crew")]


class Commanded(RuleBasedStateMachine):
    """Officers and a stranger send, an attacker replays, the clock jumps, the process dies, the center receipts."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.pole = CommandPole(self.directory, STAFF)
        self.sent: list[bytes] = []
        self.seen_jti: list[str] = []
        self.nonce = ""

    @rule(officer=st.sampled_from(OFFICERS), with_nonce=st.booleans())
    def send(self, officer: Officer, with_nonce: bool) -> None:
        self.sent.append(officer.sign(self.pole.now_us, nonce=self.nonce if with_nonce else ""))
        self.deliver(self.sent[-1])

    @precondition(lambda self: self.sent)
    @rule(which=st.integers(0, 100))
    def replay(self, which: int) -> None:
        self.deliver(self.sent[which % len(self.sent)])

    @rule(seconds=st.sampled_from([1, 61, 200, 400]))
    def wait(self, seconds: int) -> None:
        self.pole.clock.advance(seconds)

    @rule(seconds=st.sampled_from([-86_400, -300, 300, 86_400]))
    def jump(self, seconds: int) -> None:
        self.pole.clock.step_utc(seconds)

    @rule(synced=st.booleans())
    def sync(self, synced: bool) -> None:
        self.pole.synced = synced

    @rule()
    def die(self) -> None:
        self.pole.restart()

    @rule()
    def receipts(self) -> None:
        for audit in self.pole.waiting:
            self.pole.receipt(audit.audit_id)

    def deliver(self, signed: bytes) -> None:
        before = len(self.pole.actions.done)
        reply = self.pole.send(signed)
        self.nonce = reply.nonce or self.nonce
        if len(self.pole.actions.done) > before:
            assert reply.status == "done"
            self.seen_jti.append(reply.jti)

    @invariant()
    def nothing_is_obeyed_twice(self) -> None:
        assert len(set(self.seen_jti)) == len(self.seen_jti) == len(self.pole.actions.done)

    def teardown(self) -> None:
        self.pole.journal.close()
        shutil.rmtree(self.directory)


Commanded.TestCase.settings = settings(
    max_examples=15, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
TestCommanded = Commanded.TestCase
