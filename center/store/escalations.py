"""What was done so that an unanswered call is not overlooked (R-BELL): one row per call and step.

Rules:
* a step is raised at most once per call (primary key), whatever restarts; a press after the close is another call;
* a step is raised only while its call waits, checked in the same commit: an answer always comes first;
* a hook's attempt is counted before it runs, so that a hook that kills the process is not tried for ever.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from sqlite3 import Row
from typing import Literal

from center.store.database import Database
from center.store.events import Events

Step = Literal["second", "wall", "hook"]
STEPS: tuple[Step, ...] = ("second", "wall", "hook")


@dataclass(frozen=True)
class WaitingCall:
    """A call that nobody has answered; `raised` are the steps taken for it."""

    incident_id: str
    call: int
    called_at_us: int
    raised: frozenset[Step]


@dataclass(frozen=True)
class StepRow:
    """One step of one call. `attempts`, `result` and `finished_at_us` are the hook's; other steps finish at once."""

    incident_id: str
    call: int
    step: Step
    due_at_us: int
    raised_at_us: int
    attempts: int
    result: str
    finished_at_us: int | None


class Escalations:
    """The escalation table."""

    def __init__(self, database: Database, events: Events, now_us: Callable[[], int]) -> None:
        self._database = database
        self._events = events
        self._now_us = now_us

    def waiting(self) -> Sequence[WaitingCall]:
        """Return the calls that nobody has answered, the longest first."""
        rows = self._database.rows(
            "SELECT i.incident_id, i.calls AS call, i.called_at_us, coalesce((SELECT group_concat(e.step)"
            " FROM escalation e WHERE e.incident_id = i.incident_id AND e.call = i.calls), '') AS raised"
            " FROM incident i WHERE i.state != 'closed' AND i.state IN ('open', 'seen') ORDER BY i.called_at_us"
        )
        return [
            WaitingCall(row["incident_id"], row["call"], row["called_at_us"], _steps(row["raised"])) for row in rows
        ]

    def raise_steps(self, due: Sequence[tuple[WaitingCall, Step, int]]) -> int:
        """Raise steps (call, step, when it was due in UTC microseconds) in one commit; return how many were new."""
        if not due:
            return 0
        with self._database.transaction():
            return sum(self._raise(call, step, due_at_us) for call, step, due_at_us in due)

    def of(self, incident_id: str) -> Sequence[StepRow]:
        """Return the steps of an incident, oldest first."""
        rows = self._database.rows(
            "SELECT * FROM escalation WHERE incident_id = ? ORDER BY call, due_at_us", (incident_id,)
        )
        return [_row(row) for row in rows]

    def standing(self) -> dict[str, StepRow]:
        """Return the highest step of each call that still waits, by incident."""
        rows = self._database.rows(
            "SELECT e.* FROM escalation e JOIN incident i ON i.incident_id = e.incident_id AND i.calls = e.call"
            " WHERE i.state != 'closed' AND i.state IN ('open', 'seen')"
        )
        steps = sorted((_row(row) for row in rows), key=lambda row: STEPS.index(row.step))
        return {row.incident_id: row for row in steps}

    def unfinished_hooks(self, limit: int = 100) -> Sequence[StepRow]:
        """Return hooks that have to run; those never tried first, then the oldest."""
        rows = self._database.rows(
            "SELECT * FROM escalation WHERE finished_at_us IS NULL ORDER BY attempts, raised_at_us LIMIT ?", (limit,)
        )
        return [_row(row) for row in rows]

    def begin_attempt(self, hook: StepRow) -> int:
        """Count one more attempt, before it runs; return its number from 1."""
        with self._database.transaction():
            self._database.write(
                "UPDATE escalation SET attempts = attempts + 1, result = 'running'"
                " WHERE incident_id = ? AND call = ? AND step = ?",
                _key(hook),
            )
            row = self._database.row(
                "SELECT attempts FROM escalation WHERE incident_id = ? AND call = ? AND step = ?", _key(hook)
            )
        return int(row["attempts"]) if row else 0

    def note_result(self, hook: StepRow, result: str, *, finished: bool, ok: bool) -> None:
        """Write down what an attempt came to; `finished` ends the step."""
        with self._database.transaction():
            self._database.write(
                "UPDATE escalation SET result = ?, finished_at_us = ? WHERE incident_id = ? AND call = ? AND step = ?",
                (result, self._now_us() if finished else None, *_key(hook)),
            )
            if finished:
                self._events.append("hook", {"incident_id": hook.incident_id, "result": result, "ok": ok})

    def _raise(self, call: WaitingCall, step: Step, due_at_us: int) -> int:
        now_us = self._now_us()
        cursor = self._database.write(
            "INSERT OR IGNORE INTO escalation (incident_id, call, step, due_at_us, raised_at_us, finished_at_us)"
            " SELECT ?1, ?2, ?3, ?4, ?5, ?6 FROM incident"
            " WHERE incident_id = ?1 AND calls = ?2 AND state IN ('open', 'seen')",
            (call.incident_id, call.call, step, due_at_us, now_us, None if step == "hook" else now_us),
        )
        if cursor.rowcount:
            pole = self._database.row("SELECT pole FROM incident WHERE incident_id = ?", (call.incident_id,))
            told = {"incident_id": call.incident_id, "call": call.call, "step": step}
            self._events.append("escalation", {"pole": pole["pole"] if pole else "", **told})
        return cursor.rowcount


def _key(row: StepRow) -> tuple[str, int, str]:
    return row.incident_id, row.call, row.step


def _steps(joined: str) -> frozenset[Step]:
    return frozenset(step for step in STEPS if step in joined.split(","))


def _row(row: Row) -> StepRow:
    return StepRow(**dict(row))
