"""Bells and what was done about them (R-BELL).

Rules:
* one row per `alarm_id`; the same alarm twice gives the same row, and so the same receipt, twice;
* an incident belongs to the pole that opened it; another pole's press on it is refused (ContractError);
* what may happen to an incident is decided in `incident.py`; here it is read, written, told and queued in one commit:
  the row, its act, its event and the word to the pole;
* a test press has its own table and never enters an incident, a list or a count; one that names an incident of real
  presses is counted there, for in doubt it is real.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from sqlite3 import Row
from typing import Any, Literal

from agent.contract.errors import ContractError
from agent.contract.messages import Alarm, AlarmUpdate
from center.errors import ConflictError
from center.store.answer_times import AnswerTimes, Call, summary
from center.store.database import Database
from center.store.down_queue import DownQueue, DownRow
from center.store.events import Events
from center.store.incident import REASONS as REASONS
from center.store.incident import IncidentRow, opened
from center.store.incident import Reason as Reason

Act = Literal["opened", "pressed", "seen", "answered", "taken-over", "dispatched", "closed"]


@dataclass(frozen=True)
class AlarmRow:
    """One press, committed at `committed_at_us` (the receipt's time)."""

    alarm_id: str
    incident_id: str
    pole: str
    press_number: int
    pressed_at_us: int
    line: str
    committed_at_us: int
    mode: str = "normal"


@dataclass(frozen=True)
class TestPressRow:
    """One press in test mode: a trace for the inspection, never an alarm."""

    __test__ = False  # pytest would take it for a test

    alarm_id: str
    incident_id: str
    pole: str
    press_number: int
    pressed_at_us: int
    line: str
    committed_at_us: int


@dataclass(frozen=True)
class ActRow:
    """One thing that happened to an incident in its `call`; `detail` is who was sent, the reason or the alarm's id."""

    id: int
    incident_id: str
    call: int
    act: Act
    at_us: int
    by: str
    detail: str


class Alarms:
    """Alarms, incidents and the messages that go back to the poles."""

    def __init__(self, database: Database, events: Events, now_us: Callable[[], int]) -> None:
        self._database = database
        self._events = events
        self._now_us = now_us
        self._down = DownQueue(database, now_us)

    # --- presses ---

    def commit(self, alarm: Alarm, raw: bytes) -> AlarmRow:
        """Store one press durably; when this returns, a receipt may be sent.

        Raises:
            ContractError: the alarm or incident is known from another pole.
            StoreError: not stored; no receipt may be sent.
        """
        with self._database.transaction():
            known = self._alarm(alarm)
            if known is not None:
                return known
            incident = self._press(alarm)
            row = AlarmRow(
                alarm_id=alarm.alarm_id,
                incident_id=alarm.incident_id,
                pole=alarm.pole,
                press_number=alarm.press_number,
                pressed_at_us=alarm.pressed_at_us,
                line=alarm.line,
                committed_at_us=incident.changed_at_us,
                mode=alarm.mode,
            )
            self._insert("alarm", {**vars(row), "raw": raw})
            told = {"pole": alarm.pole, "incident_id": alarm.incident_id, "alarm_id": alarm.alarm_id}
            more = {"press_number": alarm.press_number, "simulated": alarm.simulated, "mode": alarm.mode}
            self._events.append("alarm", {**told, **more})
        return row

    def commit_test(self, alarm: Alarm, raw: bytes) -> TestPressRow | AlarmRow:
        """Store one press in test mode durably; one on an incident of real presses is committed as real.

        Raises:
            ContractError: the alarm is known from another pole.
            StoreError: not stored; no receipt may be sent.
        """
        with self._database.transaction():
            known = self._alarm(alarm) or self._test_press(alarm)
            if known is not None:
                return known
            if self.get(alarm.incident_id) is not None:
                return self.commit(alarm, raw)
            row = TestPressRow(
                alarm_id=alarm.alarm_id,
                incident_id=alarm.incident_id,
                pole=alarm.pole,
                press_number=alarm.press_number,
                pressed_at_us=alarm.pressed_at_us,
                line=alarm.line,
                committed_at_us=self._now_us(),
            )
            self._insert("test_press", {**vars(row), "raw": raw})
            self._events.append("test-press", {"pole": alarm.pole, "alarm_id": alarm.alarm_id})
        return row

    def holds(self, alarm_id: str) -> bool:
        """Return whether a real press with this id is stored."""
        return self._database.row("SELECT 1 FROM alarm WHERE alarm_id = ?", (alarm_id,)) is not None

    def presses(self, incident_id: str) -> Sequence[AlarmRow]:
        """Return the presses of an incident in the order of their commit."""
        rows = self._database.rows(
            f"SELECT {_ALARM} FROM alarm WHERE incident_id = ? ORDER BY committed_at_us, press_number",  # noqa: S608
            (incident_id,),
        )
        return [AlarmRow(**dict(row)) for row in rows]

    def test_presses(self, since_us: int = 0, limit: int = 200) -> Sequence[TestPressRow]:
        """Return the test presses committed since `since_us`, newest first."""
        rows = self._database.rows(
            f"SELECT {_TEST} FROM test_press WHERE committed_at_us >= ?"  # noqa: S608
            " ORDER BY committed_at_us DESC, alarm_id LIMIT ?",
            (since_us, limit),
        )
        return [TestPressRow(**dict(row)) for row in rows]

    # --- incidents ---

    def get(self, incident_id: str) -> IncidentRow | None:
        """Return one incident, or None."""
        row = self._database.row("SELECT * FROM incident WHERE incident_id = ?", (incident_id,))
        return _incident(row) if row else None

    def incidents(self, which: Literal["open", "all"] = "open", limit: int = 500) -> Sequence[IncidentRow]:
        """Return incidents, newest first; `open` means all that are not closed, however many."""
        if which == "open":
            rows = self._database.rows("SELECT * FROM incident WHERE state != 'closed' ORDER BY opened_at_us DESC")
        else:
            rows = self._database.rows("SELECT * FROM incident ORDER BY opened_at_us DESC LIMIT ?", (limit,))
        return [_incident(row) for row in rows]

    def acts(self, incident_id: str) -> Sequence[ActRow]:
        """Return what happened to an incident, in order."""
        rows = self._database.rows("SELECT * FROM incident_act WHERE incident_id = ? ORDER BY id", (incident_id,))
        return [ActRow(**dict(row)) for row in rows]

    def seen(self, incident_id: str, by: str) -> IncidentRow:
        """Note that its card was on `by`'s screen; only the first time changes anything.

        Raises:
            ConflictError: no such incident.
        """
        return self._change(incident_id, "seen", by, lambda row: row.seen(by, self._now_us()))

    def answer(self, incident_id: str, by: str) -> IncidentRow:
        """Give the incident to `by`; the owner's second answer changes nothing.

        Raises:
            ConflictError: no such incident, it is closed, or another owns it (named, with since when).
        """
        return self._change(incident_id, "answered", by, lambda row: row.answered(by, self._now_us()))

    def take_over(self, incident_id: str, by: str) -> IncidentRow:
        """Give an answered incident to another person, who asked for it.

        Raises:
            ConflictError: no such incident, it is closed, or nobody has answered it.
        """
        return self._change(incident_id, "taken-over", by, lambda row: row.taken_over(by, self._now_us()))

    def dispatch(self, incident_id: str, by: str, who: str) -> IncidentRow:
        """Note that its owner sent `who` (in words).

        Raises:
            ConflictError: no such incident, it is closed, unanswered or another's, or `who` is empty.
        """
        return self._change(incident_id, "dispatched", by, lambda row: row.dispatched(by, who, self._now_us()), who)

    def close(self, incident_id: str, by: str, reason: Reason) -> IncidentRow:
        """Close an incident for `reason`; closing twice keeps the first.

        Raises:
            ConflictError: no such incident, or an unknown reason.
        """
        return self._change(incident_id, "closed", by, lambda row: row.closed(by, reason, self._now_us()), reason)

    def answer_times(self, from_us: int, to_us: int, *, simulated: bool = False) -> AnswerTimes:
        """Return how fast the calls that began in [from_us, to_us) were answered; tests never, simulated ones if asked.

        A press after the close begins a call of its own: somebody waited again.
        """
        rows = self._database.rows(
            "SELECT o.at_us AS called_at_us, a.at_us AS answered_at_us, c.at_us AS closed_at_us"
            " FROM incident_act o JOIN incident i ON i.incident_id = o.incident_id"
            " LEFT JOIN incident_act a ON (a.incident_id, a.call, a.act) = (o.incident_id, o.call, 'answered')"
            " LEFT JOIN incident_act c ON (c.incident_id, c.call, c.act) = (o.incident_id, o.call, 'closed')"
            " WHERE o.act = 'opened' AND o.at_us >= ? AND o.at_us < ? AND (? OR NOT i.simulated) ORDER BY o.at_us",
            (from_us, to_us, simulated),
        )
        return summary([Call(**dict(row)) for row in rows])

    # --- words to the poles ---

    def down_queue(self, limit: int = 500) -> Sequence[DownRow]:
        """Return what waits to be published, oldest first."""
        return self._down.waiting(limit)

    def published(self, row_id: int) -> None:
        """Note that the broker acknowledged the message."""
        self._down.published(row_id)

    def requeue(self, since_us: int, pole: str | None = None) -> int:
        """Queue again the newest word on each incident since `since_us`; return how many (see `DownQueue`)."""
        return self._down.requeue(since_us, pole)

    # --- inside ---

    def _press(self, alarm: Alarm) -> IncidentRow:
        """Open the incident, or count the press in it; a closed one opens again."""
        known = self.get(alarm.incident_id)
        if known is not None and known.pole != alarm.pole:
            raise ContractError(f"incident {alarm.incident_id} belongs to pole {known.pole}, not {alarm.pole}")
        row = opened(alarm, self._now_us()) if known is None else known.pressed(alarm, self._now_us())
        if known is None:
            self._insert("incident", vars(row))
        else:
            self._update(row)
        again = known is not None and known.calls == row.calls
        self._note(row, "pressed" if again else "opened", "", alarm.alarm_id)
        return row

    def _change(
        self, incident_id: str, act: Act, by: str, event: Callable[[IncidentRow], IncidentRow], detail: str = ""
    ) -> IncidentRow:
        """Let `event` happen to the incident; what it changed is stored, told and queued in one commit."""
        with self._database.transaction():
            known = self.get(incident_id)
            if known is None:
                raise ConflictError(f"there is no incident {incident_id}")
            row = event(known)
            if row is known:
                return known
            self._update(row)
            self._note(row, act, by, detail)
            self._tell(row, act, by)
        return row

    def _tell(self, row: IncidentRow, act: Act, by: str) -> None:
        """Queue the word to the pole and tell the console; a change of owner repeats the state with the new name."""
        assert row.state != "open", "a person's act leaves no incident open"
        update = AlarmUpdate(
            incident_id=row.incident_id,
            state=row.state,
            at_us=row.changed_at_us,
            by=by,
            reason=next((reason for reason in REASONS if reason == row.reason), ""),
        )
        self._down.add(row.pole, row.calls, update)
        told = {"pole": row.pole, "incident_id": row.incident_id, "state": row.state, "act": act}
        self._events.append("incident", {**told, "by": by, "reason": row.reason})

    def _note(self, row: IncidentRow, act: Act, by: str, detail: str) -> None:
        self._database.write(
            "INSERT INTO incident_act (incident_id, call, act, at_us, by, detail) VALUES (?, ?, ?, ?, ?, ?)",
            (row.incident_id, row.calls, act, row.changed_at_us, by, detail),
        )

    def _insert(self, table: str, values: dict[str, Any]) -> None:
        names, marks = ", ".join(values), ", ".join("?" * len(values))
        self._database.write(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(values.values()))  # noqa: S608

    def _update(self, row: IncidentRow) -> None:
        self._database.write(_UPDATE, (*(getattr(row, name) for name in _CHANGING), row.incident_id))

    def _alarm(self, alarm: Alarm) -> AlarmRow | None:
        row = self._database.row(f"SELECT {_ALARM} FROM alarm WHERE alarm_id = ?", (alarm.alarm_id,))  # noqa: S608
        known = AlarmRow(**dict(row)) if row else None
        _same_pole(alarm, known)
        return known

    def _test_press(self, alarm: Alarm) -> TestPressRow | None:
        row = self._database.row(f"SELECT {_TEST} FROM test_press WHERE alarm_id = ?", (alarm.alarm_id,))  # noqa: S608
        known = TestPressRow(**dict(row)) if row else None
        _same_pole(alarm, known)
        return known


def _same_pole(alarm: Alarm, known: AlarmRow | TestPressRow | None) -> None:
    if known is not None and known.pole != alarm.pole:
        raise ContractError(f"alarm {alarm.alarm_id} belongs to pole {known.pole}, not {alarm.pole}")


_ALARM = ", ".join(field.name for field in fields(AlarmRow))
_TEST = ", ".join(field.name for field in fields(TestPressRow))
_CHANGING = [field.name for field in fields(IncidentRow) if field.name not in ("incident_id", "pole", "opened_at_us")]
_UPDATE = f"UPDATE incident SET {', '.join(f'{name} = ?' for name in _CHANGING)} WHERE incident_id = ?"  # noqa: S608


def _incident(row: Row) -> IncidentRow:
    return IncidentRow(**{**dict(row), "simulated": bool(row["simulated"])})
