"""The poles as the center last saw them.

Rules:
* `seen_at_us` is the center's clock at the last message of any kind; the pole's own times are only shown;
* an `offline` counts only for the session that is the newest known, because a will can overtake a birth; a birth
  of a session that has ended is the one that was overtaken, and counts for nothing; a heartbeat proves life;
* a pole is silent when it is offline, or when its next heartbeat is overdue by more than `silent_after_s`: the
  interval is what its own heartbeats kept, so a pole that beats every 30 s is not silent at 20 s.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from sqlite3 import Row
from typing import Literal

import msgspec

from agent.contract.messages import Fault, Heartbeat, Status
from center.store.database import Database
from center.store.events import Events
from center.store.faults import FaultRow, Faults

SILENT = "pole-silent"
FIRST_INTERVAL_US = 30_000_000
_LEAST_INTERVAL_US = 1_000_000
_MOST_INTERVAL_US = 300_000_000


@dataclass(frozen=True)
class PoleRow:
    """One pole; `heartbeat` is the last one (None before the first), `faults` what stands, the center's included."""

    pole: str
    state: Literal["online", "offline"]
    session: str
    seen_at_us: int
    interval_us: int
    heartbeat_at_us: int | None
    heartbeat: Heartbeat | None
    raw: bytes
    faults: tuple[FaultRow, ...] = ()

    @property
    def silent(self) -> bool:
        """Whether the center counts this pole as silent."""
        return any(fault.code == SILENT and fault.source == "center" for fault in self.faults)


class Poles:
    """The pole table."""

    def __init__(self, database: Database, events: Events, faults: Faults, now_us: Callable[[], int]) -> None:
        self._database = database
        self._events = events
        self._faults = faults
        self._now_us = now_us

    def note_status(self, status: Status) -> bool:
        """Take a birth or a will; return whether it counted."""
        with self._database.transaction():
            row = self._row(status.pole)
            session, ended = (row["session"], row["ended_session"]) if row else ("", "")
            if status.state == "offline":
                if row is None:
                    self._see(status.pole, "offline", "", FIRST_INTERVAL_US)
                if session not in ("", status.session):
                    return False
                self._set(status.pole, "offline", status.session, status.session)
                self._silence(status.pole, "the broker reported it gone")
                return True
            if status.session == ended:
                return False
            self._see(status.pole, "online", status.session, row["interval_us"] if row else FIRST_INTERVAL_US)
            if row is None or row["state"] == "offline":
                self._tell(status.pole, "online")
            self._faults.close(status.pole, SILENT, "", "center")
            return True

    def note_heartbeat(self, heartbeat: Heartbeat, raw: bytes) -> None:
        """Take a heartbeat: last value, and the fault log of what changed in it."""
        with self._database.transaction():
            row = self._row(heartbeat.pole)
            now_us = self._now_us()
            interval_us = _interval(row, heartbeat, now_us)
            self._see(heartbeat.pole, "online", heartbeat.session, interval_us)
            self._database.write(
                "UPDATE pole SET heartbeat_at_us = ?, heartbeat = ?, seq = ? WHERE pole = ?",
                (now_us, raw, heartbeat.seq, heartbeat.pole),
            )
            if row is None or row["state"] == "offline":
                self._tell(heartbeat.pole, "online")
            self._faults.note(heartbeat.pole, heartbeat.faults)
            self._faults.close(heartbeat.pole, SILENT, "", "center")

    def list(self, *, decode: bool = True) -> Sequence[PoleRow]:
        """Return every pole, by name; without `decode` heartbeats stay `raw` (see `decoded`): a city has thousands."""
        faults: dict[str, list[FaultRow]] = {}
        for fault in self._faults.standing():
            faults.setdefault(fault.pole, []).append(fault)
        rows = self._database.rows("SELECT * FROM pole ORDER BY pole")
        return [_pole(row, tuple(faults.get(row["pole"], ())), decode=decode) for row in rows]

    def get(self, pole: str) -> PoleRow | None:
        """Return one pole, or None."""
        row = self._row(pole)
        return _pole(row, tuple(self._faults.standing(pole))) if row else None

    def newest_heartbeat_us(self) -> int | None:
        """Return when the newest heartbeat of any pole came in, None before the first."""
        row = self._database.row("SELECT max(heartbeat_at_us) FROM pole")
        return None if row is None or row[0] is None else int(row[0])

    def silent(self, after_s: float, watching_since_us: int = 0) -> Sequence[str]:
        """Return the poles that are silent; before `watching_since_us` the center itself did not listen."""
        rows = self._database.rows(
            "SELECT pole FROM pole WHERE state = 'offline' OR max(seen_at_us, ?) + interval_us + ? < ? ORDER BY pole",
            (watching_since_us, round(after_s * 1e6), self._now_us()),
        )
        return [row["pole"] for row in rows]

    def raise_silent(self, after_s: float, watching_since_us: int = 0) -> int:
        """Open the fault `pole-silent` for every silent pole without one; return how many were opened."""
        standing = {fault.pole for fault in self._faults.standing() if fault.code == SILENT}
        fresh = [pole for pole in self.silent(after_s, watching_since_us) if pole not in standing]
        if not fresh:
            return 0
        with self._database.transaction():
            return sum(self._silence(pole, "no message within its time") for pole in fresh)

    def _silence(self, pole: str, detail: str) -> bool:
        row = self._row(pole)
        fault = Fault(code=SILENT, since_us=row["seen_at_us"] if row else self._now_us(), detail=detail)
        opened = self._faults.open(pole, fault, "center")
        if opened:
            self._tell(pole, "silent")
        return opened

    def _row(self, pole: str) -> Row | None:
        return self._database.row("SELECT * FROM pole WHERE pole = ?", (pole,))

    def _see(self, pole: str, state: str, session: str, interval_us: int) -> None:
        self._database.write(
            "INSERT INTO pole (pole, state, session, seen_at_us, interval_us) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET state = excluded.state, session = excluded.session,"
            " seen_at_us = excluded.seen_at_us, interval_us = excluded.interval_us",
            (pole, state, session, self._now_us(), interval_us),
        )

    def _set(self, pole: str, state: str, session: str, ended: str) -> None:
        self._database.write(
            "UPDATE pole SET state = ?, session = ?, ended_session = ? WHERE pole = ?", (state, session, ended, pole)
        )

    def _tell(self, pole: str, state: str) -> None:
        self._events.append("pole", {"pole": pole, "state": state})


def _interval(row: Row | None, heartbeat: Heartbeat, now_us: int) -> int:
    """Return the time between the pole's heartbeats: as the center saw two that follow each other in one session."""
    if row is None:
        return FIRST_INTERVAL_US
    if row["heartbeat_at_us"] is None or (row["session"], row["seq"] + 1) != (heartbeat.session, heartbeat.seq):
        return int(row["interval_us"])
    seen_us = now_us - int(row["heartbeat_at_us"])
    return max(_LEAST_INTERVAL_US, min(_MOST_INTERVAL_US, seen_us))


def _heartbeat(raw: bytes) -> Heartbeat | None:
    """Return the stored heartbeat; None when there is none, or an older program stored what we no longer read."""
    try:
        return msgspec.json.decode(raw, type=Heartbeat) if raw else None
    except msgspec.DecodeError:
        return None


def decoded(row: PoleRow) -> PoleRow:
    """Return the pole with its heartbeat read."""
    return replace(row, heartbeat=_heartbeat(row.raw))


def _pole(row: Row, faults: tuple[FaultRow, ...], *, decode: bool = True) -> PoleRow:
    raw = bytes(row["heartbeat"] or b"")
    return PoleRow(
        pole=row["pole"],
        state=row["state"],
        session=row["session"],
        seen_at_us=row["seen_at_us"],
        interval_us=row["interval_us"],
        heartbeat_at_us=row["heartbeat_at_us"],
        heartbeat=_heartbeat(raw) if decode else None,
        raw=raw,
        faults=faults,
    )
