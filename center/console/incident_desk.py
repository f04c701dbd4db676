"""Reads incidents with what surrounds them, and does what an officer asks: one door for pages and programs.

Rules: what an officer does is committed before the answer is shown; a refusal says in the visitor's language who has
the incident and since when; a dispatch says who was sent, a close says why.
"""

from collections.abc import Callable, Mapping, Sequence

from starlette.exceptions import HTTPException

from center.console.catalogue import Catalogue
from center.console.footage import Footage
from center.console.incident_view import Around, IncidentView, Previous, by_urgency, called_at_us, incident_view
from center.console.places import Places
from center.console.rendering import clock_time
from center.console.status_strip import StatusStrip
from center.errors import ConflictError
from center.store import IncidentRow, Store
from center.store.alarms import REASONS

MOST_WHO = 200
FULL_CARDS = 20  # cards with clips; beyond that the desk must stay fast, and the incident's own page shows them


def typed_who(fields: Mapping[str, str]) -> str | None:
    """Return who was sent, white space put in order, None when nobody is named."""
    who = " ".join(fields.get("who", "").split())
    return who if 1 <= len(who) <= MOST_WHO and who.isprintable() else None


def refusal_text(row: IncidentRow | None, officer: str, words: Catalogue, detail: str) -> str:
    """Return why the store refused an act on `row`, in the officer's language."""
    if row is None:
        return words.text("conflict.unknown")
    if row.state == "closed":
        return words.text("conflict.closed", who=row.closed_by, time=clock_time(row.closed_at_us or 0))
    if row.owner and row.owner != officer:
        return words.text("conflict.owned", who=row.owner, time=clock_time(row.owned_since_us or 0))
    if row.waiting:
        return words.text("conflict.unanswered")
    return detail


class IncidentDesk:
    """Incidents for people."""

    def __init__(
        self, store: Store, strip: StatusStrip, places: Places, footage: Footage, now_us: Callable[[], int]
    ) -> None:
        self._store = store
        self._strip = strip
        self._places = places
        self._footage = footage
        self._now_us = now_us

    def standing(self, officer: str, language: str) -> list[IncidentView]:
        """Return the incidents that are not closed, the most urgent first."""
        rows = sorted(self._store.alarms.incidents("open"), key=by_urgency)
        steps = self._strip.steps(rows)
        return [
            self._view(row, officer, language, steps.get(row.incident_id, ""), with_clips=number < FULL_CARDS)
            for number, row in enumerate(rows)
        ]

    def waiting(self, language: str) -> list[IncidentView]:
        """Return the calls that nobody answered, without clips: for the wall."""
        rows = sorted((row for row in self._store.alarms.incidents("open") if row.waiting), key=by_urgency)
        steps = self._strip.steps(rows)
        return [
            incident_view(row, Around(self._places.of(row.pole), step=steps[row.incident_id]), "", language)
            for row in rows
        ]

    def past(self, rows: Sequence[IncidentRow], language: str) -> list[IncidentView]:
        """Return incidents for a list, without clips and steps."""
        return [incident_view(row, Around(self._places.of(row.pole)), "", language) for row in rows]

    def one(self, row: IncidentRow, officer: str, language: str) -> IncidentView:
        """Return one incident with everything around it."""
        step = self._strip.steps([row]).get(row.incident_id, "")
        return self._view(row, officer, language, step, with_clips=True)

    def row(self, incident: str) -> IncidentRow:
        """Return an incident.

        Raises:
            HTTPException: 404, there is none.
        """
        row = self._store.alarms.get(incident)
        if row is None:
            raise HTTPException(404, "there is no such incident")
        return row

    def seen(self, incident: str, by: str) -> IncidentRow:
        """Note that its card was on `by`'s screen."""
        return self._store.alarms.seen(incident, by)

    def answer(self, incident: str, by: str) -> IncidentRow:
        """Give it to `by`."""
        return self._store.alarms.answer(incident, by)

    def take_over(self, incident: str, by: str) -> IncidentRow:
        """Give it to `by`, who asked for it."""
        return self._store.alarms.take_over(incident, by)

    def dispatch(self, incident: str, by: str, fields: Mapping[str, str]) -> IncidentRow:
        """Note who was sent.

        Raises:
            HTTPException: 400, nobody is named.
        """
        who = typed_who(fields)
        if who is None:
            raise HTTPException(400, f"say who was sent, in at most {MOST_WHO} characters")
        return self._store.alarms.dispatch(incident, by, who)

    def close(self, incident: str, by: str, fields: Mapping[str, str]) -> IncidentRow:
        """Close it with its reason.

        Raises:
            HTTPException: 400, without a reason.
        """
        text = fields.get("reason", "")
        reason = next((known for known in REASONS if known == text), None)
        if reason is None:
            raise HTTPException(400, f"a reason is needed to close: one of {', '.join(REASONS)}")
        return self._store.alarms.close(incident, by, reason)

    def refused(self, incident: str, officer: str, words: Catalogue, exc: ConflictError) -> str:
        """Return why the store refused, in the officer's language and with the place it is about."""
        row = self._store.alarms.get(incident)
        text = refusal_text(row, officer, words, str(exc))
        return text if row is None else f"{self._places.of(row.pole) or row.pole}: {text}"

    def _view(self, row: IncidentRow, officer: str, language: str, step: str, *, with_clips: bool) -> IncidentView:
        pressed_us = self._pressed_us(row)
        around = Around(
            place=self._places.of(row.pole),
            spot=self._places.spot(row.pole),
            cameras=self._footage.around(row.pole, pressed_us, self._now_us()) if with_clips else (),
            steps=tuple(self._store.escalations.of(row.incident_id)),
            step=step,
            previous=self._previous(row),
            pressed_us=pressed_us,
        )
        return incident_view(row, around, officer, language)

    def _pressed_us(self, row: IncidentRow) -> int:
        """Return when the press that opened this call was made, by the pole's clock."""
        if row.calls == 1:
            return row.first_pressed_at_us
        presses = self._store.alarms.presses(row.incident_id)
        this_call = [press.pressed_at_us for press in presses if press.committed_at_us >= row.called_at_us]
        return this_call[0] if this_call else row.last_pressed_at_us

    def _previous(self, row: IncidentRow) -> Previous | None:
        before = self._store.alarms.get(row.previous_incident_id) if row.previous_incident_id else None
        if before is None or before.pole != row.pole:
            return None
        return Previous(before.incident_id, called_at_us(before), before.reason)
