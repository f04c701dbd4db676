"""Work orders for the monthly assisted press test: one per pole and month (R-INSPECT: Anyang 12 and form 1, Osan 26).

Rules:
* its id is made of month and pole (`wo-202611-pole-1`), so that making it twice makes it once;
* it is done by an inspection of kind press-test that names it, comes from its pole and passed; a failed one is noted
  and leaves it open, for the bell has not proved itself;
* an inspection that arrived before its order (made on paper, or the database was restored) counts all the same.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

from center.store.database import Database
from center.store.events import Events
from center.store.korean_day import month_name


@dataclass(frozen=True)
class WorkOrderRow:
    """One order. `failed_at_us` is the newest failed test, `inspection_id` the test that did it."""

    work_order: str
    pole: str
    month: str
    created_at_us: int
    created_by: str
    failed_at_us: int | None
    done_at_us: int | None
    inspection_id: str


class WorkOrders:
    """The work_order table."""

    def __init__(self, database: Database, events: Events, now_us: Callable[[], int]) -> None:
        self._database = database
        self._events = events
        self._now_us = now_us

    def create(self, pole: str, month: date, by: str) -> WorkOrderRow:
        """Make the order of `pole` for the month that holds `month`, or return the one there is."""
        number = f"wo-{month_name(month).replace('-', '')}-{pole}"
        with self._database.transaction():
            known = self.get(number)
            if known is not None:
                return known
            self._database.write(
                "INSERT INTO work_order (work_order, pole, month, created_at_us, created_by) VALUES (?, ?, ?, ?, ?)",
                (number, pole, month_name(month), self._now_us(), by),
            )
            self._tell(number, pole, "created")
            self._find_early(number, pole)
            made = self.get(number)
        assert made is not None
        return made

    def create_all(self, month: date, by: str) -> Sequence[WorkOrderRow]:
        """Make the orders of every pole that has none for the month; return the new ones."""
        with self._database.transaction():
            rows = self._database.rows(
                "SELECT pole FROM pole WHERE pole NOT IN (SELECT pole FROM work_order WHERE month = ?) ORDER BY pole",
                (month_name(month),),
            )
            return [self.create(row["pole"], month, by) for row in rows]

    def get(self, work_order: str) -> WorkOrderRow | None:
        """Return one order, or None."""
        row = self._database.row("SELECT * FROM work_order WHERE work_order = ?", (work_order,))
        return WorkOrderRow(**dict(row)) if row else None

    def open(self, month: date | None = None) -> Sequence[WorkOrderRow]:
        """Return the orders that are not done, of one month or of all, the oldest month first."""
        rows = self._database.rows(
            "SELECT * FROM work_order WHERE done_at_us IS NULL AND (?1 IS NULL OR month = ?1) ORDER BY month, pole",
            (None if month is None else month_name(month),),
        )
        return [WorkOrderRow(**dict(row)) for row in rows]

    def all(self, month: date) -> Sequence[WorkOrderRow]:
        """Return every order of a month, by pole."""
        rows = self._database.rows("SELECT * FROM work_order WHERE month = ? ORDER BY pole", (month_name(month),))
        return [WorkOrderRow(**dict(row)) for row in rows]

    def note_test(self, work_order: str, pole: str, inspection_id: str, at_us: int, *, passed: bool) -> None:
        """Take a press test that names an order; one that names none of this pole changes nothing."""
        with self._database.transaction():
            known = self.get(work_order)
            if known is None or known.pole != pole or known.done_at_us is not None:
                return
            if passed:
                self._database.write(
                    "UPDATE work_order SET done_at_us = ?, inspection_id = ? WHERE work_order = ?",
                    (at_us, inspection_id, work_order),
                )
            else:
                self._database.write(
                    "UPDATE work_order SET failed_at_us = max(coalesce(failed_at_us, 0), ?) WHERE work_order = ?",
                    (at_us, work_order),
                )
            self._tell(work_order, pole, "done" if passed else "failed")

    def _find_early(self, work_order: str, pole: str) -> None:
        rows = self._database.rows(
            "SELECT inspection_id, at_us, passed FROM inspection WHERE work_order = ? AND pole = ?"
            " AND kind = 'press-test' ORDER BY at_us",
            (work_order, pole),
        )
        for row in rows:
            self.note_test(work_order, pole, row["inspection_id"], row["at_us"], passed=bool(row["passed"]))

    def _tell(self, work_order: str, pole: str, state: str) -> None:
        self._events.append("work-order", {"work_order": work_order, "pole": pole, "state": state})
