"""Random lives of incidents against the real store: what people and poles do in any order, and what must still hold."""

import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from support.center_alarms import make_alarm
from support.center_store import CenterClock, open_store

from agent.contract.messages import AlarmUpdate, decode, encode
from center.errors import ConflictError
from center.store import IncidentRow
from center.store.alarms import REASONS

ORDER = ("open", "seen", "answered", "dispatched", "closed")
PEOPLE = st.sampled_from(["kim", "lee", "park"])
NAMES = st.sampled_from(["i1", "i2", "i3"])
Word = tuple[str, str, str]


class IncidentLife(RuleBasedStateMachine):
    """The model is a dictionary of states and owners, and the list of words that each act must have queued."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.clock = CenterClock()
        self.store = open_store(self.directory, self.clock, durable=False)
        self.state: dict[str, str] = {}
        self.owner: dict[str, str] = {}
        self.presses: dict[str, int] = {}
        self.tests = 0
        self.words: list[Word] = []
        self.sent: list[str] = []

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.directory)

    @rule(seconds=st.sampled_from([1.0, 60.0, 86_400.0, -86_400.0]))
    def the_clock_moves(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(name=NAMES)
    def a_press(self, name: str) -> None:
        alarm = make_alarm(alarm_id=f"a{len(self.sent)}", incident_id=name)
        self.sent.append(name)
        before = self.store.alarms.get(name)
        row = self.store.alarms.commit(alarm, encode(alarm))
        assert before is None or row.committed_at_us >= before.changed_at_us
        if before is not None and before.state == "closed":
            assert row.committed_at_us > (before.closed_at_us or 0), "the pole would take the old close for a new one"
        if self.state.get(name, "closed") == "closed":
            self.state[name], self.owner[name] = "open", ""
        self.presses[name] = self.presses.get(name, 0) + 1

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def a_press_sent_again(self, data: st.DataObject) -> None:
        number = data.draw(st.integers(0, len(self.sent) - 1))
        before = self._all()
        alarm = make_alarm(alarm_id=f"a{number}", incident_id=self.sent[number])
        self.store.alarms.commit(alarm, encode(alarm))
        assert self._all() == before

    @rule(name=NAMES)
    def a_test_press(self, name: str) -> None:
        alarm = make_alarm(alarm_id=f"t{self.tests}", incident_id=f"test-{name}", mode="test")
        self.tests += 1
        self.store.alarms.commit_test(alarm, encode(alarm))

    @rule(name=NAMES, by=PEOPLE)
    def seen(self, name: str, by: str) -> None:
        allowed = name in self.state
        changed = self.state.get(name) == "open"
        self._do(name, by, "seen", lambda: self.store.alarms.seen(name, by), allowed, changed)

    @rule(name=NAMES, by=PEOPLE)
    def answer(self, name: str, by: str) -> None:
        waiting = self.state.get(name) in ("open", "seen")
        mine = self.state.get(name) in ("answered", "dispatched") and self.owner[name] == by
        self._do(name, by, "answered", lambda: self.store.alarms.answer(name, by), waiting or mine, waiting)
        if waiting:
            self.owner[name] = by

    @rule(name=NAMES, by=PEOPLE)
    def take_over(self, name: str, by: str) -> None:
        state = self.state.get(name, "")
        allowed = state in ("answered", "dispatched")
        changed = allowed and self.owner[name] != by
        self._do(name, by, state, lambda: self.store.alarms.take_over(name, by), allowed, changed)
        if changed:
            self.owner[name] = by

    @rule(name=NAMES, by=PEOPLE, who=st.sampled_from(["patrol 3", "119"]))
    def dispatch(self, name: str, by: str, who: str) -> None:
        row = self.store.alarms.get(name)
        allowed = self.state.get(name) in ("answered", "dispatched") and self.owner[name] == by
        changed = allowed and (row is None or row.dispatched_who != who)
        self._do(name, by, "dispatched", lambda: self.store.alarms.dispatch(name, by, who), allowed, changed)

    @rule(name=NAMES, by=PEOPLE, reason=st.sampled_from(REASONS))
    def close(self, name: str, by: str, reason: str) -> None:
        allowed = name in self.state
        changed = allowed and self.state[name] != "closed"
        self._do(name, by, "closed", lambda: self.store.alarms.close(name, by, reason), allowed, changed)  # type: ignore[arg-type]

    def _do(self, name: str, by: str, state: str, act: object, allowed: bool, changed: bool) -> None:
        """Act; then the states went forwards only, or nothing moved at all."""
        before = self._all()
        try:
            assert callable(act)
            row = act()
        except ConflictError:
            assert not allowed, f"{state} by {by} should have been allowed"
            assert self._all() == before
            return
        assert allowed, f"{state} by {by} should have been refused"
        if not changed:
            assert self._all() == before
            return
        known = before[name]
        assert ORDER.index(row.state) >= ORDER.index(known.state)
        assert row.changed_at_us >= known.changed_at_us
        self.state[name] = state
        self.words.append((name, state, by))

    @invariant()
    def the_store_says_what_the_model_says(self) -> None:
        rows = self._all()
        assert {name: row.state for name, row in rows.items()} == self.state
        assert {name: row.presses for name, row in rows.items()} == self.presses
        open_rows = {row.incident_id for row in self.store.alarms.incidents("open")}
        assert open_rows == {name for name, state in self.state.items() if state != "closed"}
        for row in rows.values():
            assert row.owner == self.owner[row.incident_id]
            assert (row.owner == "") == (row.answered_at_us is None)
            assert row.waiting == (row.state in ("open", "seen"))

    @invariant()
    def the_down_queue_says_exactly_what_happened(self) -> None:
        words = [decode(row.payload, AlarmUpdate) for row in self.store.alarms.down_queue(10_000)]
        assert [(word.incident_id, word.state, word.by) for word in words] == self.words
        times: dict[str, int] = {}
        for word in words:
            assert word.at_us >= times.get(word.incident_id, 0), "a pole would read a word older than the last"
            times[word.incident_id] = word.at_us

    @invariant()
    def every_call_has_one_opening_and_at_most_one_answer(self) -> None:
        for name, row in self._all().items():
            acts = [(act.call, act.act) for act in self.store.alarms.acts(name)]
            for call in range(1, row.calls + 1):
                assert acts.count((call, "opened")) == 1
                assert acts.count((call, "answered")) <= 1
                assert acts.count((call, "closed")) == (1 if call < row.calls or row.state == "closed" else 0)

    @invariant()
    def tests_stay_apart(self) -> None:
        assert len(self.store.alarms.test_presses(0, 10_000)) == self.tests
        times = self.store.alarms.answer_times(0, 2**62)
        assert times.count == sum(row.calls for row in self._all().values())

    def _all(self) -> dict[str, IncidentRow]:
        return {row.incident_id: row for row in self.store.alarms.incidents("all")}


TestIncidentLife = IncidentLife.TestCase
TestIncidentLife.settings = settings(
    max_examples=100, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
