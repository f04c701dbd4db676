"""Self-tests and assisted press tests: which bell proved itself when, and what failed (R-INSPECT).

Rules:
* one row per `inspection_id`; the same inspection twice gives the same row, hence the same receipt;
* an inspection passed when no point failed and at least one passed: a test that tested nothing proves nothing; the
  clock is not the bell: its point decides nothing here and has a fault of its own (`agent/bell/self_test.py`);
* `at_us` is when it ended by the pole's clock, or its commit where that clock was not right (not synced, in the
  future, or over two months back): an inspection that waited out an outage counts for its own day;
* a failed point stands in the fault log (source center) until a newer inspection passes that point, or says that the
  part is not fitted; one that comes late, out of order, changes nothing that is newer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from sqlite3 import Row
from typing import Literal

from agent.contract.errors import ContractError
from agent.contract.messages import Fault, Inspection, InspectionPoint
from center.store.database import Database
from center.store.events import Events
from center.store.faults import Faults
from center.store.korean_day import day_span, month_span
from center.store.work_orders import WorkOrders

Kind = Literal["self-test", "press-test"]
LATE_US = 62 * 86_400 * 1_000_000
AHEAD_US = 5_000_000
# What a failed point is called in the fault log, by the beginning of its name.
POINT_FAULTS = {
    "line": "inspection-line-failed",
    "outputs": "inspection-indicator-failed",
    "lamps": "inspection-indicator-failed",
    "round-trip": "inspection-round-trip-failed",
    "center": "inspection-round-trip-failed",
    "press": "inspection-press-failed",
    "contacts": "inspection-press-failed",
}
CLOCK_POINT = "clock"
OTHER_POINT = "inspection-failed"


@dataclass(frozen=True)
class InspectionRow:
    """One inspection; `at_us` is the time it counts for, `committed_at_us` the receipt's."""

    inspection_id: str
    pole: str
    kind: Kind
    at_us: int
    started_at_us: int
    finished_at_us: int
    committed_at_us: int
    passed: bool
    work_order: str
    officer: str
    points: tuple[InspectionPoint, ...]


@dataclass(frozen=True)
class KindCoverage:
    """One kind of test in a span: the newest that passed and the newest that failed."""

    passed_at_us: int | None = None
    failed_at_us: int | None = None

    @property
    def proved(self) -> bool:
        """Whether the newest test passed."""
        return self.passed_at_us is not None and self.passed_at_us > (self.failed_at_us or 0)


@dataclass(frozen=True)
class PoleCoverage:
    """What one pole proved in a span; `failures` counts failed points by name."""

    pole: str
    self_test: KindCoverage
    press_test: KindCoverage
    failures: dict[str, int]

    @property
    def proved(self) -> bool:
        """Whether a test passed, and no kind's newest one failed."""
        kinds = (self.self_test, self.press_test)
        return any(kind.proved for kind in kinds) and all(kind.proved or not kind.failed_at_us for kind in kinds)

    @property
    def proved_at_us(self) -> int | None:
        """When it proved itself last; None when it did not."""
        times = [kind.passed_at_us for kind in (self.self_test, self.press_test) if kind.passed_at_us is not None]
        return max(times) if self.proved else None


@dataclass(frozen=True)
class Coverage:
    """Every known pole in [from_us, to_us), by name."""

    from_us: int
    to_us: int
    poles: tuple[PoleCoverage, ...]

    @property
    def proved(self) -> int:
        """How many poles proved themselves."""
        return sum(pole.proved for pole in self.poles)

    @property
    def total(self) -> int:
        """How many poles there are."""
        return len(self.poles)


class Inspections:
    """The inspection tables."""

    def __init__(
        self, database: Database, events: Events, faults: Faults, orders: WorkOrders, now_us: Callable[[], int]
    ) -> None:
        self._database = database
        self._events = events
        self._faults = faults
        self._orders = orders
        self._now_us = now_us

    def add(self, inspection: Inspection, raw: bytes) -> InspectionRow:
        """Store one inspection durably; when this returns, a receipt may be sent.

        Raises:
            ContractError: its id is known from another pole.
            StoreError: not stored; no receipt may be sent.
        """
        with self._database.transaction():
            known = self.get(inspection.inspection_id)
            if known is not None:
                if known.pole != inspection.pole:
                    raise ContractError(f"inspection {known.inspection_id} belongs to pole {known.pole}")
                return known
            row = inspection_row(inspection, self._now_us())
            self._insert(row, raw)
            self._judge(row)
            if row.kind == "press-test" and row.work_order:
                self._orders.note_test(row.work_order, row.pole, row.inspection_id, row.at_us, passed=row.passed)
            told = {"pole": row.pole, "inspection_id": row.inspection_id, "kind": row.kind, "passed": row.passed}
            self._events.append("inspection", told)
        return row

    def get(self, inspection_id: str) -> InspectionRow | None:
        """Return one inspection, or None."""
        row = self._database.row(f"SELECT {_COLUMNS} FROM inspection WHERE inspection_id = ?", (inspection_id,))  # noqa: S608
        return self._row(row) if row else None

    def of_pole(self, pole: str, from_us: int, to_us: int) -> Sequence[InspectionRow]:
        """Return the inspections of a pole that count for [from_us, to_us), newest first."""
        rows = self._database.rows(
            f"SELECT {_COLUMNS} FROM inspection WHERE pole = ? AND at_us >= ? AND at_us < ?"  # noqa: S608
            " ORDER BY at_us DESC, inspection_id",
            (pole, from_us, to_us),
        )
        return [self._row(row) for row in rows]

    def coverage_day(self, day: date) -> Coverage:
        """Return which bells proved themselves on a Korean day."""
        return self.coverage(*day_span(day))

    def coverage_month(self, month: date) -> Coverage:
        """Return which bells proved themselves in the Korean month that holds `month`."""
        return self.coverage(*month_span(month))

    def coverage(self, from_us: int, to_us: int) -> Coverage:
        """Return which bells proved themselves in [from_us, to_us); a pole that only beat stands there too."""
        span = (from_us, to_us)
        kinds = {
            (row["pole"], row["kind"]): KindCoverage(row["passed_at_us"], row["failed_at_us"])
            for row in self._database.rows(
                "SELECT pole, kind, max(iif(passed, at_us, NULL)) AS passed_at_us,"
                " max(iif(passed, NULL, at_us)) AS failed_at_us FROM inspection INDEXED BY inspection_time"
                " WHERE at_us >= ? AND at_us < ? GROUP BY pole, kind",
                span,
            )
        }
        failures: dict[str, dict[str, int]] = {}
        for row in self._database.rows(
            # the span first: the planner would read every point of every year
            "SELECT i.pole, p.name, count(*) AS times FROM inspection i INDEXED BY inspection_time"
            " CROSS JOIN inspection_point p ON p.inspection_id = i.inspection_id"
            " WHERE i.at_us >= ? AND i.at_us < ? AND p.result = 'fail' GROUP BY i.pole, p.name",
            span,
        ):
            failures.setdefault(row["pole"], {})[row["name"]] = row["times"]
        known = {row["pole"] for row in self._database.rows("SELECT pole FROM pole")} | {pole for pole, _ in kinds}
        return Coverage(from_us, to_us, tuple(_coverage(pole, kinds, failures) for pole in sorted(known)))

    def _insert(self, row: InspectionRow, raw: bytes) -> None:
        values = {name: getattr(row, name) for name in _COLUMNS.split(", ")}
        marks = ", ".join("?" * (len(values) + 1))
        self._database.write(f"INSERT INTO inspection ({_COLUMNS}, raw) VALUES ({marks})", (*values.values(), raw))  # noqa: S608
        for index, point in enumerate(row.points):
            self._database.write(
                "INSERT INTO inspection_point (inspection_id, idx, name, result, value, detail)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (row.inspection_id, index, point.name, point.result, point.value, point.detail),
            )

    def _judge(self, row: InspectionRow) -> None:
        """Open and close the faults of the points, where nothing newer speaks of them."""
        worst: dict[str, InspectionPoint] = {}
        for point in row.points:
            if point.name != CLOCK_POINT and (point.name not in worst or point.result == "fail"):
                worst[point.name] = point
        for name, point in worst.items():
            if self._newer(row, name):
                continue
            code = fault_code(name)
            if point.result == "fail":
                words = " ".join(word for word in (point.value, point.detail) if word)
                fault = Fault(code=code, subject=name, since_us=row.at_us, detail=words)
                self._faults.open(row.pole, fault, "center")
            else:
                self._faults.close(row.pole, code, name, "center")

    def _newer(self, row: InspectionRow, name: str) -> bool:
        found = self._database.row(
            "SELECT 1 FROM inspection i JOIN inspection_point p USING (inspection_id)"
            " WHERE i.pole = ? AND i.at_us > ? AND p.name = ? LIMIT 1",
            (row.pole, row.at_us, name),
        )
        return found is not None

    def _row(self, row: Row) -> InspectionRow:
        points = self._database.rows(
            "SELECT name, result, value, detail FROM inspection_point WHERE inspection_id = ? ORDER BY idx",
            (row["inspection_id"],),
        )
        fields = {**dict(row), "passed": bool(row["passed"])}
        return InspectionRow(**fields, points=tuple(InspectionPoint(**dict(point)) for point in points))


def _coverage(
    pole: str, kinds: dict[tuple[str, str], KindCoverage], failures: dict[str, dict[str, int]]
) -> PoleCoverage:
    none = KindCoverage()
    self_test, press_test = (kinds.get((pole, kind), none) for kind in ("self-test", "press-test"))
    return PoleCoverage(pole, self_test, press_test, failures.get(pole, {}))


def inspection_row(inspection: Inspection, now_us: int) -> InspectionRow:
    """Return the row of an inspection that is committed at `now_us`. Pure."""
    late_us = now_us - inspection.finished_at_us
    right = inspection.clock.synced and -AHEAD_US <= late_us <= LATE_US
    results = [point.result for point in inspection.points if point.name != CLOCK_POINT]
    return InspectionRow(
        inspection_id=inspection.inspection_id,
        pole=inspection.pole,
        kind=inspection.kind,
        at_us=min(inspection.finished_at_us, now_us) if right else now_us,
        started_at_us=inspection.started_at_us,
        finished_at_us=inspection.finished_at_us,
        committed_at_us=now_us,
        passed="fail" not in results and "pass" in results,
        work_order=inspection.work_order,
        officer=inspection.officer,
        points=tuple(inspection.points),
    )


def fault_code(point: str) -> str:
    """Return the catalogue's code for a failed point."""
    return next((code for name, code in POINT_FAULTS.items() if point.startswith(name)), OTHER_POINT)


_COLUMNS = (
    "inspection_id, pole, kind, at_us, started_at_us, finished_at_us, committed_at_us, passed, work_order, officer"
)
