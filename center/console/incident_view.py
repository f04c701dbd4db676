"""One incident as the desk, the wall and its own page show it. Pure.

Rules:
* `called_us` is when help was called: the pole's word where its clock can be right, else the center's commit; a press
  after the close calls anew, and the old answer is not shown as this call's;
* `rev` changes exactly when something on the card changed, so that a page exchanges no card for nothing;
* the chain names each state once, in order, with its time and person, reached or not.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from center.console.footage import CameraClips
from center.console.places import Spot
from center.console.status_strip import STEP_ORDER
from center.store import IncidentRow
from center.store.escalations import StepRow

PRESS_LATE_US = 24 * 3600 * 1_000_000
PRESS_AHEAD_US = 5_000_000
STATES = ("open", "seen", "answered", "dispatched", "closed")


@dataclass(frozen=True)
class Link:
    """One state of the chain; `at_us` None while it is not reached (or was passed over)."""

    state: str
    at_us: int | None
    who: str
    is_now: bool


@dataclass(frozen=True)
class Escalation:
    """One step of this call; `raised_at_us` None before it. `result` is the hook's."""

    step: str
    raised_at_us: int | None
    attempts: int = 0
    result: str = ""
    finished: bool = False


@dataclass(frozen=True)
class Previous:
    """The pole's incident before this one."""

    id: str
    called_us: int
    reason: str


@dataclass(frozen=True)
class Around:
    """What surrounds an incident: the words and point of its place, clips, steps, and the incident before it."""

    place: str = ""
    spot: Spot | None = None
    cameras: tuple[CameraClips, ...] = ()
    steps: tuple[StepRow, ...] = ()
    step: str = ""
    previous: Previous | None = None
    pressed_us: int | None = None


@dataclass(frozen=True)
class IncidentView:
    """One incident on a page. `pressed_us` is the press on the pole's own clock, by which its footage is named."""

    id: str
    key: str
    pole: str
    place: str
    spot: Spot | None
    state: str
    waiting: bool
    presses: int
    priority: int
    calls: int
    line: str
    simulated: bool
    mode: str
    called_us: int
    pressed_us: int
    last_pressed_us: int
    clock_odd: bool
    owner: str
    owned_since_us: int | None
    mine: bool
    answered_by: str
    answered_after_s: float | None
    dispatched_who: str
    dispatched_by: str
    dispatched_at_us: int | None
    closed_by: str
    reason: str
    chain: tuple[Link, ...]
    step: str
    escalation: tuple[Escalation, ...]
    cameras: tuple[CameraClips, ...]
    previous: Previous | None
    rev: str = ""


def commit_us(row: IncidentRow) -> int:
    """Return the commit of the press that opened this call: what answer times are counted from."""
    return row.called_at_us or row.opened_at_us


def called_at_us(row: IncidentRow) -> int:
    """Return when help was called: the pole's word, unless its clock cannot be right (a boot without RTC or link)."""
    if row.calls > 1:
        return commit_us(row)
    late_us = row.opened_at_us - row.first_pressed_at_us
    return row.first_pressed_at_us if -PRESS_AHEAD_US <= late_us <= PRESS_LATE_US else row.opened_at_us


def clock_is_odd(row: IncidentRow) -> bool:
    """Whether the time of arrival is shown because the pole's clock cannot be right."""
    return row.calls == 1 and called_at_us(row) != row.first_pressed_at_us


def answered_after_s(row: IncidentRow) -> float | None:
    """Return the seconds from this call's commit to its answer, None without one."""
    return None if row.answered_at_us is None else max(0, row.answered_at_us - commit_us(row)) / 1_000_000


def chain_of(row: IncidentRow) -> tuple[Link, ...]:
    """Return the five states of this call."""
    reached = {
        "open": (called_at_us(row), ""),
        "seen": (row.seen_at_us, row.seen_by),
        "answered": (row.answered_at_us, row.answered_by),
        "dispatched": (row.dispatched_at_us, row.dispatched_by),
        "closed": (row.closed_at_us, row.closed_by),
    }
    return tuple(Link(state, *reached[state], is_now=state == row.state) for state in STATES)


def escalation_of(steps: Sequence[StepRow], call: int) -> tuple[Escalation, ...]:
    """Return every step of a call in order, those not raised too."""
    raised = {row.step: row for row in steps if row.call == call}
    views = []
    for name in STEP_ORDER:
        row = next((row for step, row in raised.items() if step == name), None)
        if row is None:
            views.append(Escalation(name, None))
        else:
            views.append(Escalation(name, row.raised_at_us, row.attempts, row.result, row.finished_at_us is not None))
    return tuple(views)


def card_key(incident_id: str) -> str:
    """Return a name for the card's elements that any incident id may have."""
    return hashlib.sha256(incident_id.encode()).hexdigest()[:12]


def incident_view(row: IncidentRow, around: Around, officer: str, language: str) -> IncidentView:
    """Return an incident for `officer`'s page."""
    pressed_us = around.pressed_us if around.pressed_us is not None else row.first_pressed_at_us
    view = IncidentView(
        id=row.incident_id,
        key=card_key(row.incident_id),
        pole=row.pole,
        place=around.place,
        spot=around.spot,
        state=row.state,
        waiting=row.waiting,
        presses=row.presses,
        priority=row.priority,
        calls=row.calls,
        line=row.line,
        simulated=row.simulated,
        mode=row.mode,
        called_us=called_at_us(row),
        pressed_us=pressed_us,
        last_pressed_us=row.last_pressed_at_us,
        clock_odd=clock_is_odd(row),
        owner=row.owner,
        owned_since_us=row.owned_since_us,
        mine=bool(row.owner) and row.owner == officer,
        answered_by=row.answered_by,
        answered_after_s=answered_after_s(row),
        dispatched_who=row.dispatched_who,
        dispatched_by=row.dispatched_by,
        dispatched_at_us=row.dispatched_at_us,
        closed_by=row.closed_by,
        reason=row.reason,
        chain=chain_of(row),
        step=around.step,
        escalation=escalation_of(around.steps, row.calls),
        cameras=around.cameras,
        previous=around.previous,
    )
    return replace(view, rev=hashlib.sha256(f"{view!r}{language}".encode()).hexdigest()[:16])


def by_urgency(row: IncidentRow) -> tuple[bool, int, int]:
    """Sort key: unanswered first, among them the most pressed, among those the one who waits longest."""
    return not row.waiting, -row.priority if row.waiting else 0, called_at_us(row)
