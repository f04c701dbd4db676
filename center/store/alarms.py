"""Bells and what was done about them (R-BELL).

Rules:
* one row per `alarm_id`; the same alarm twice gives the same row, and so the same receipt, twice;
* an incident belongs to the pole that opened it; another pole's press on it is refused (ContractError);
* a press after the close opens the incident again: somebody stands at the pole, whatever was clicked before;
* what a person did is queued in the same commit (`down_queue`), so an answer that the page showed is sent.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from sqlite3 import Row
from typing import Literal

from agent.contract.errors import ContractError
from agent.contract.messages import Alarm, AlarmUpdate, encode
from center.errors import ConflictError
from center.store.database import Database
from center.store.events import Events

Reason = Literal["real", "malfunction", "mistake", "prank", "inspection", "other"]
REASONS: tuple[Reason, ...] = ("real", "malfunction", "mistake", "prank", "inspection", "other")


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


@dataclass(frozen=True)
class IncidentRow:
    """Presses that belong together. `state` is open (nobody answered), answered or closed."""

    incident_id: str
    pole: str
    state: Literal["open", "answered", "closed"]
    presses: int
    line: str
    simulated: bool
    first_pressed_at_us: int
    last_pressed_at_us: int
    opened_at_us: int
    answered_at_us: int | None
    answered_by: str
    closed_at_us: int | None
    closed_by: str
    reason: str


@dataclass(frozen=True)
class DownRow:
    """One message that waits to be published to `down/<kind>` of `pole`."""

    id: int
    pole: str
    kind: str
    payload: bytes


class Alarms:
    """Alarms, incidents and the messages that go back to the poles."""

    def __init__(self, database: Database, events: Events, now_us: Callable[[], int]) -> None:
        self._database = database
        self._events = events
        self._now_us = now_us

    def commit(self, alarm: Alarm, raw: bytes) -> AlarmRow:
        """Store one press durably; when this returns, a receipt may be sent.

        Raises:
            ContractError: the alarm or incident is known from another pole.
            StoreError: not stored; no receipt may be sent.
        """
        with self._database.transaction():
            known = self._alarm(alarm.alarm_id)
            if known is not None:
                if known.pole != alarm.pole:
                    raise ContractError(f"alarm {alarm.alarm_id} belongs to pole {known.pole}, not {alarm.pole}")
                return known
            self._press(alarm)
            row = AlarmRow(
                alarm.alarm_id,
                alarm.incident_id,
                alarm.pole,
                alarm.press_number,
                alarm.pressed_at_us,
                alarm.line,
                self._now_us(),
            )
            self._database.write(
                "INSERT INTO alarm VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (*(getattr(row, name) for name in AlarmRow.__dataclass_fields__), raw),
            )
            told = {"pole": alarm.pole, "incident_id": alarm.incident_id, "alarm_id": alarm.alarm_id}
            self._events.append("alarm", {**told, "press_number": alarm.press_number, "simulated": alarm.simulated})
        return row

    def _press(self, alarm: Alarm) -> None:
        """Open the incident, or count the press in it; a closed one opens again."""
        known = self.get(alarm.incident_id)
        if known is None:
            self._database.write(
                "INSERT INTO incident (incident_id, pole, state, presses, line, simulated, first_pressed_at_us,"
                " last_pressed_at_us, opened_at_us) VALUES (?, ?, 'open', 1, ?, ?, ?, ?, ?)",
                (
                    alarm.incident_id,
                    alarm.pole,
                    alarm.line,
                    alarm.simulated,
                    alarm.pressed_at_us,
                    alarm.pressed_at_us,
                    self._now_us(),
                ),
            )
            return
        if known.pole != alarm.pole:
            raise ContractError(f"incident {alarm.incident_id} belongs to pole {known.pole}, not {alarm.pole}")
        self._database.write(
            "UPDATE incident SET presses = presses + 1, state = iif(state = 'closed', 'open', state),"
            " simulated = simulated AND ?, first_pressed_at_us = min(first_pressed_at_us, ?),"
            " last_pressed_at_us = max(last_pressed_at_us, ?) WHERE incident_id = ?",
            (alarm.simulated, alarm.pressed_at_us, alarm.pressed_at_us, alarm.incident_id),
        )

    def presses(self, incident_id: str) -> Sequence[AlarmRow]:
        """Return the presses of an incident in the order of their commit."""
        rows = self._database.rows(
            f"SELECT {_ALARM} FROM alarm WHERE incident_id = ? ORDER BY committed_at_us, press_number",  # noqa: S608
            (incident_id,),
        )
        return [AlarmRow(**dict(row)) for row in rows]

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

    def answer(self, incident_id: str, by: str) -> IncidentRow:
        """Note that `by` answered and queue the word to the pole; answering twice changes nothing.

        Raises:
            ConflictError: no such incident, or it is closed.
        """
        with self._database.transaction():
            known = self._known(incident_id)
            if known.state == "answered":
                return known
            if known.state == "closed":
                raise ConflictError(f"incident {incident_id} is closed already by {known.closed_by}")
            at_us = self._now_us()
            self._database.write(
                "UPDATE incident SET state = 'answered', answered_at_us = ?, answered_by = ? WHERE incident_id = ?",
                (at_us, by, incident_id),
            )
            self._queue(known.pole, AlarmUpdate(incident_id=incident_id, state="answered", at_us=at_us, by=by))
            return self._known(incident_id)

    def close(self, incident_id: str, by: str, reason: Reason) -> IncidentRow:
        """Close an incident for `reason` and queue the word to the pole; closing twice changes nothing.

        Raises:
            ConflictError: no such incident, or an unknown reason.
        """
        if reason not in REASONS:
            raise ConflictError(f"{reason!r} is no reason to close an incident; one of: {', '.join(REASONS)}")
        with self._database.transaction():
            known = self._known(incident_id)
            if known.state == "closed":
                return known
            at_us = self._now_us()
            self._database.write(
                "UPDATE incident SET state = 'closed', closed_at_us = ?, closed_by = ?, reason = ?"
                " WHERE incident_id = ?",
                (at_us, by, reason, incident_id),
            )
            update = AlarmUpdate(incident_id=incident_id, state="closed", at_us=at_us, by=by, reason=reason)
            self._queue(known.pole, update)
            return self._known(incident_id)

    def down_queue(self, limit: int = 500) -> Sequence[DownRow]:
        """Return what waits to be published, oldest first."""
        rows = self._database.rows(
            "SELECT id, pole, kind, payload FROM down_queue WHERE published_at_us IS NULL ORDER BY id LIMIT ?", (limit,)
        )
        return [DownRow(**dict(row)) for row in rows]

    def published(self, row_id: int) -> None:
        """Note that the broker acknowledged the message."""
        with self._database.transaction():
            self._database.write("UPDATE down_queue SET published_at_us = ? WHERE id = ?", (self._now_us(), row_id))

    def requeue(self, since_us: int, pole: str | None = None) -> int:
        """Queue again the newest word on each incident since `since_us`; return how many.

        A broker that dies forgets what it acknowledged (FACTS), and a pole that reads a word twice does nothing.
        """
        with self._database.transaction():
            cursor = self._database.write(
                "UPDATE down_queue SET published_at_us = NULL WHERE published_at_us IS NOT NULL AND id IN"
                " (SELECT max(id) FROM down_queue WHERE created_at_us >= ? AND (?2 IS NULL OR pole = ?2)"
                " GROUP BY incident_id)",
                (since_us, pole),
            )
        return cursor.rowcount

    def _queue(self, pole: str, update: AlarmUpdate) -> None:
        self._database.write(
            "INSERT INTO down_queue (pole, incident_id, kind, payload, created_at_us) VALUES (?, ?, 'answer', ?, ?)",
            (pole, update.incident_id, encode(update), update.at_us),
        )
        told = {"pole": pole, "incident_id": update.incident_id, "state": update.state}
        self._events.append("incident", {**told, "by": update.by, "reason": update.reason})

    def _known(self, incident_id: str) -> IncidentRow:
        known = self.get(incident_id)
        if known is None:
            raise ConflictError(f"there is no incident {incident_id}")
        return known

    def _alarm(self, alarm_id: str) -> AlarmRow | None:
        row = self._database.row(f"SELECT {_ALARM} FROM alarm WHERE alarm_id = ?", (alarm_id,))  # noqa: S608
        return AlarmRow(**dict(row)) if row else None


_ALARM = ", ".join(AlarmRow.__dataclass_fields__)


def _incident(row: Row) -> IncidentRow:
    return IncidentRow(**{**dict(row), "simulated": bool(row["simulated"])})
