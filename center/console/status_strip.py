"""The strip on top of every page: three ages that move while all is well, what waits for a person, and what is a test.

Rules:
* an age that stopped moving is the fault (DESIGN 12);
* a step of the escalation counts when it was raised, and also when it is `STEP_LATE_S` overdue: the process that
  raises steps may be the one that is down, and then the second desk must ring all the same.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from center.console.feed import Feed
from center.console.mode_board import ModeBoard, PoleMode
from center.console.places import Places
from center.store import IncidentRow, Store
from center.store.alarms import TestPressRow

ALARMS_LATE_US = 90_000_000
INGEST_LATE_US = 120_000_000
TEST_SHOWN_US = 120_000_000
STEP_LATE_S = 5.0
STEP_ORDER = ("second", "wall", "hook")


@dataclass(frozen=True)
class Waiting:
    """Calls that nobody answered: all of them, and those that have come to the second desk and to the wall."""

    all: int
    second: int
    wall: int


@dataclass(frozen=True)
class Strip:
    """What the strip and the banner below it show."""

    alarms_state: str
    heartbeat_us: int | None
    ingest_state: str
    stored_us: int | None
    event_us: int | None
    waiting: Waiting
    answered: int
    modes: tuple[PoleMode, ...]
    places: dict[str, str]
    test_press: TestPressRow | None


def freshness(at_us: int | None, now_us: int, late_us: int) -> str:
    """Return the mark of an age: a number that moves is health, a number that stopped is not (DESIGN 12)."""
    if at_us is None:
        return "unknown"
    return "ok" if now_us - at_us <= late_us else "warning"


@dataclass(frozen=True)
class StepClock:
    """After how many seconds without an answer a call comes to the second desk and to the wall."""

    second_s: float = 15.0
    wall_s: float = 30.0

    def step_of(self, row: IncidentRow, raised: str, now_us: int) -> str:
        """Return the step of a waiting call, "" before the first: the raised one, or the one that is overdue."""
        waited_s = (now_us - (row.called_at_us or row.opened_at_us)) / 1_000_000 - STEP_LATE_S
        overdue = "wall" if waited_s >= self.wall_s else "second" if waited_s >= self.second_s else ""
        return max(raised, overdue, key=lambda step: STEP_ORDER.index(step) if step in STEP_ORDER else -1)


def count_waiting(steps: Sequence[str]) -> Waiting:
    """Count the steps of the waiting calls; a call on the wall is also the second desk's."""
    on_wall = sum(step in ("wall", "hook") for step in steps)
    return Waiting(len(steps), on_wall + list(steps).count("second"), on_wall)


class StatusStrip:
    """Reads the strip's numbers."""

    def __init__(
        self,
        store: Store,
        feed: Feed,
        modes: ModeBoard,
        places: Places,
        now_us: Callable[[], int],
        clock: StepClock | None = None,
    ) -> None:
        self._store = store
        self._feed = feed
        self._modes = modes
        self._places = places
        self._now_us = now_us
        self._clock = clock or StepClock()

    def steps(self, rows: Sequence[IncidentRow]) -> dict[str, str]:
        """Return the step of each waiting call by incident, "" before the first."""
        raised = self._store.escalations.standing()
        now_us = self._now_us()
        found: dict[str, str] = {}
        for row in rows:
            if row.waiting:
                step = raised.get(row.incident_id)
                found[row.incident_id] = self._clock.step_of(row, step.step if step else "", now_us)
        return found

    def read(self) -> Strip:
        """Return the strip as of now."""
        now_us = self._now_us()
        heartbeat_us = self._store.poles.newest_heartbeat_us()
        stored_us = self._feed.latest_us("object")
        rows = self._store.alarms.incidents("open")
        modes = self._modes.read()
        presses = self._store.alarms.test_presses(now_us - TEST_SHOWN_US, 1)
        named = {mode.pole for mode in modes} | {press.pole for press in presses}
        return Strip(
            alarms_state=freshness(heartbeat_us, now_us, ALARMS_LATE_US),
            heartbeat_us=heartbeat_us,
            ingest_state=freshness(stored_us, now_us, INGEST_LATE_US),
            stored_us=stored_us,
            event_us=self._feed.latest_us(),
            waiting=count_waiting(list(self.steps(rows).values())),
            answered=sum(not row.waiting for row in rows),
            modes=modes,
            places={pole: self._places.of(pole) for pole in named},
            test_press=presses[0] if presses else None,
        )
