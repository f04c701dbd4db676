"""The poles' records, in each pole's own order, without holes (R-INTEGRITY).

Rules:
* record `idx` of a pole is written once; the same bytes again change nothing, other bytes are refused: a pole
  that rewrites its history is shown, not followed;
* a batch that begins beyond the next index stores nothing; its sender is told where to begin;
* a record of an unknown kind is stored and has a place; one that is not JSON is refused;
* a pole whose spool was made anew (a new disk) counts from 0 in a new log, named by the spool's random id: both logs
  stand side by side, none is changed. The log of a pole that names none is "".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from agent.contract.errors import ContractError
from center.errors import ConflictError
from center.store.database import Database

_SPANS = ("segment", "torn", "gap")
LOGS_PER_POLE = 1000  # a bound against a mad pole; a pole that is given a new disk each month has 1,000 in 83 years


@dataclass(frozen=True)
class TimelineSpan:
    """One span [start_us, end_us) of a camera; `stored` says whether the center holds the segment's bytes."""

    kind: Literal["segment", "torn", "gap"]
    start_us: int
    end_us: int
    segment: str = ""
    cause: str = ""
    stored: bool = False


@dataclass(frozen=True)
class RecordLog:
    """One log of a pole: the id that its spool gave it ("" when the pole names none), and since when we know it."""

    log_id: str
    begun_at_us: int


class Records:
    """The record table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def logs(self, pole: str) -> Sequence[RecordLog]:
        """Return the pole's logs in the order in which they began."""
        rows = self._database.rows("SELECT log_id, begun_at_us FROM record_log WHERE pole = ? ORDER BY log", (pole,))
        return [RecordLog(row["log_id"], row["begun_at_us"]) for row in rows]

    def begin_log(self, pole: str, log: str, now_us: int) -> bool:
        """Let a log of `pole` begin unless it has; return whether it began now beside an older one.

        Raises:
            ConflictError: the pole has `LOGS_PER_POLE` logs already.
        """
        with self._database.transaction():
            known = [one.log_id for one in self.logs(pole)]
            if log in known:
                return False
            if len(known) >= LOGS_PER_POLE:
                raise ConflictError(
                    f"pole {pole} began {len(known)} logs of records; a new disk each time is not honest"
                )
            self._database.write("INSERT INTO record_log VALUES (?, ?, ?, ?)", (pole, len(known), log, now_us))
            return bool(known)

    def next_record(self, pole: str, log: str = "") -> int:
        """Return the index of the first record of a log that the center does not have."""
        number = self._number(pole, log)
        row = self._database.row("SELECT max(idx) FROM record WHERE pole = ? AND log = ?", (pole, number))
        return 0 if row is None or row[0] is None else int(row[0]) + 1

    def add_records(self, pole: str, first: int, records: Sequence[bytes], log: str = "") -> int:
        """Store records `first`, `first` + 1, ... of a log of `pole`; return the next index expected.

        Raises:
            ContractError: a record is not a JSON object, or names another pole.
            ConflictError: an index holds other bytes already; nothing of the batch is stored.
        """
        with self._database.transaction():
            self.begin_log(pole, log, 0)
            number = self._number(pole, log)
            expected = self.next_record(pole, log)
            if first > expected:
                return expected
            for index, raw in enumerate(records, first):
                if index < expected:
                    self._compare(pole, number, index, raw)
                else:
                    self._add(pole, number, index, raw)
            return max(expected, first + len(records))

    def raw(self, pole: str, first: int = 0, limit: int = 1000) -> Sequence[bytes]:
        """Return the records of a pole as they came, log after log, each from index `first` on."""
        rows = self._database.rows(
            "SELECT raw FROM record WHERE pole = ? AND idx >= ? ORDER BY log, idx LIMIT ?", (pole, first, limit)
        )
        return [bytes(row["raw"]) for row in rows]

    def timeline(self, pole: str, camera: str, from_us: int, to_us: int) -> Sequence[TimelineSpan]:
        """Return what the pole states of a camera's time in [from_us, to_us) in any of its logs, oldest first."""
        rows = self._database.rows(
            "SELECT r.kind, r.start_us, r.end_us, r.segment, r.cause, o.segment IS NOT NULL AS stored"
            " FROM record r LEFT JOIN object o ON r.segment != '' AND o.segment = r.segment AND o.pole = r.pole"
            " WHERE r.pole = ? AND r.camera = ? AND r.start_us < ? AND r.end_us > ?"
            " AND r.kind IN ('segment', 'torn', 'gap') ORDER BY r.start_us, r.log, r.idx",
            (pole, camera, to_us, from_us),
        )
        return [TimelineSpan(**{**dict(row), "stored": bool(row["stored"])}) for row in rows]

    def cameras(self, pole: str) -> Sequence[str]:
        """Return the cameras that a pole ever stated time for, by name."""
        rows = self._database.rows(
            "SELECT DISTINCT camera FROM record WHERE pole = ? AND start_us IS NOT NULL AND camera != ''"
            " ORDER BY camera",
            (pole,),
        )
        return [row["camera"] for row in rows]

    def _number(self, pole: str, log: str) -> int:
        row = self._database.row("SELECT log FROM record_log WHERE pole = ? AND log_id = ?", (pole, log))
        return -1 if row is None else int(row[0])

    def _compare(self, pole: str, log: int, index: int, raw: bytes) -> None:
        row = self._database.row("SELECT raw FROM record WHERE pole = ? AND log = ? AND idx = ?", (pole, log, index))
        if row is None or bytes(row["raw"]) != raw:
            raise ConflictError(f"record {index} of pole {pole} differs from the one stored: its history was rewritten")

    def _add(self, pole: str, log: int, index: int, raw: bytes) -> None:
        fields = _fields(raw)
        if fields.get("pole") != pole:
            raise ContractError(f"record {index} names pole {fields.get('pole')!r}, it was sent by {pole}")
        self._database.write(
            "INSERT INTO record VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                pole,
                log,
                index,
                _text(fields, "kind"),
                _text(fields, "camera"),
                _text(fields, "segment"),
                _text(fields, "cause"),
                _time(fields, "start_us"),
                _time(fields, "end_us"),
                raw,
            ),
        )


def _fields(raw: bytes) -> dict[str, Any]:
    try:
        fields = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise ContractError(f"record is not readable: {exc}") from exc
    if not isinstance(fields, dict):
        raise ContractError("record is not a JSON object")
    return fields


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) else ""


def _time(fields: dict[str, Any], name: str) -> int | None:
    value = fields.get(name)
    fits = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63
    return value if fits else None
