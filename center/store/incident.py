"""One incident and what may happen to it. Pure: each event returns the incident as it is afterwards.

    open -> seen -> answered -> dispatched -> closed
       (a screen)  (a person)  (somebody sent)  (a reason)

Rules:
* nothing leads back, except a press after the close: somebody stands at the pole, whatever was clicked before. That
  begins the next `call` of the incident, which nobody has seen, answered or owns;
* the first answer owns the incident; another's answer is refused with the owner's name; `taken_over` is explicit;
* to answer is to have seen; an incident may be closed from every state, by anybody, with a reason;
* an event that changes nothing returns the same object, so that nothing is queued or told twice;
* the center's times on one incident never go back, though its clock may: the pole passes over a close that is older
  than its newest receipt, and would show red for ever.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

from agent.contract.messages import Alarm
from center.errors import ConflictError

IncidentState = Literal["open", "seen", "answered", "dispatched", "closed"]
Reason = Literal["real", "malfunction", "mistake", "prank", "inspection", "other"]
REASONS: tuple[Reason, ...] = ("real", "malfunction", "mistake", "prank", "inspection", "other")


@dataclass(frozen=True)
class IncidentRow:
    """Presses that belong together; never a test. `opened_at_us` is the first commit, `called_at_us` this call's.

    `answered_by` is who answered first, `owner` who has it now. `changed_at_us` is the center's newest time on it.
    """

    incident_id: str
    pole: str
    state: IncidentState
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
    mode: Literal["normal", "maintenance"] = "normal"
    previous_incident_id: str = ""
    calls: int = 1
    called_at_us: int = 0
    changed_at_us: int = 0
    seen_at_us: int | None = None
    seen_by: str = ""
    owner: str = ""
    owned_since_us: int | None = None
    dispatched_at_us: int | None = None
    dispatched_by: str = ""
    dispatched_who: str = ""

    @property
    def waiting(self) -> bool:
        """Whether nobody has answered this call."""
        return self.state in ("open", "seen")

    @property
    def priority(self) -> int:
        """How urgent it is beside others: every press counts."""
        return self.presses

    def time_us(self, now_us: int) -> int:
        """Return the center's time for the next event: `now_us`, but never before what happened already."""
        return max(now_us, self.changed_at_us)

    def pressed(self, alarm: Alarm, now_us: int) -> "IncidentRow":
        """Count a press; after the close it opens the incident again."""
        at_us = max(now_us, self.changed_at_us + (self.state == "closed"))
        counted = replace(
            self,
            presses=self.presses + 1,
            simulated=self.simulated and alarm.simulated,
            mode=self.mode if alarm.mode == "maintenance" else "normal",
            first_pressed_at_us=min(self.first_pressed_at_us, alarm.pressed_at_us),
            last_pressed_at_us=max(self.last_pressed_at_us, alarm.pressed_at_us),
            changed_at_us=at_us,
        )
        return (
            counted if self.state != "closed" else replace(counted, **_FRESH, calls=self.calls + 1, called_at_us=at_us)
        )

    def seen(self, by: str, now_us: int) -> "IncidentRow":
        """Note that its card was on a screen; only the first time counts, and closing needs no eye."""
        if self.state != "open":
            return self
        at_us = self.time_us(now_us)
        return replace(self, state="seen", seen_at_us=at_us, seen_by=by, changed_at_us=at_us)

    def answered(self, by: str, now_us: int) -> "IncidentRow":
        """Give the incident to `by`.

        Raises:
            ConflictError: it is closed, or another owns it, or nobody is named.
        """
        self._not_closed()
        _named(by)
        if not self.waiting:
            if self.owner == by:
                return self
            since = utc_text(self.owned_since_us or self.changed_at_us)
            raise ConflictError(
                f"incident {self.incident_id} was answered by {self.owner} at {since}; take it over if you must"
            )
        at_us = self.time_us(now_us)
        return replace(
            self,
            state="answered",
            answered_at_us=at_us,
            answered_by=by,
            owner=by,
            owned_since_us=at_us,
            seen_at_us=self.seen_at_us or at_us,
            seen_by=self.seen_by or by,
            changed_at_us=at_us,
        )

    def taken_over(self, by: str, now_us: int) -> "IncidentRow":
        """Give an answered incident to another.

        Raises:
            ConflictError: it is closed, nobody has answered it, or nobody is named.
        """
        self._not_closed()
        _named(by)
        if self.waiting:
            raise ConflictError(f"incident {self.incident_id} has no owner to take it over from; answer it")
        if self.owner == by:
            return self
        at_us = self.time_us(now_us)
        return replace(self, owner=by, owned_since_us=at_us, changed_at_us=at_us)

    def dispatched(self, by: str, who: str, now_us: int) -> "IncidentRow":
        """Note that the owner sent somebody; `who` in words.

        Somebody further may be sent: `dispatched_at_us` stays the first, `who` becomes the newest, the acts hold all.

        Raises:
            ConflictError: it is closed, unanswered or another's, or nobody is named.
        """
        self._not_closed()
        if self.waiting:
            raise ConflictError(f"incident {self.incident_id} is not answered yet; answer it, then send somebody")
        if self.owner != by:
            raise ConflictError(f"incident {self.incident_id} is {self.owner}'s; take it over to send somebody")
        if not who.strip():
            raise ConflictError("say who was sent")
        if self.state == "dispatched" and self.dispatched_who == who:
            return self
        at_us = self.time_us(now_us)
        first_us = at_us if self.dispatched_at_us is None else self.dispatched_at_us
        return replace(
            self,
            state="dispatched",
            dispatched_at_us=first_us,
            dispatched_by=by,
            dispatched_who=who,
            changed_at_us=at_us,
        )

    def closed(self, by: str, reason: Reason, now_us: int) -> "IncidentRow":
        """Close it for `reason`; closing twice keeps the first.

        Raises:
            ConflictError: an unknown reason.
        """
        if reason not in REASONS:
            raise ConflictError(f"{reason!r} is no reason to close an incident; one of: {', '.join(REASONS)}")
        if self.state == "closed":
            return self
        at_us = self.time_us(now_us)
        return replace(self, state="closed", closed_at_us=at_us, closed_by=by, reason=reason, changed_at_us=at_us)

    def _not_closed(self) -> None:
        if self.state == "closed":
            raise ConflictError(f"incident {self.incident_id} is closed already by {self.closed_by}")


# What a press after the close takes back: the next call begins as the first one did.
_FRESH: dict[str, Any] = {
    "state": "open",
    "seen_at_us": None,
    "seen_by": "",
    "answered_at_us": None,
    "answered_by": "",
    "owner": "",
    "owned_since_us": None,
    "dispatched_at_us": None,
    "dispatched_by": "",
    "dispatched_who": "",
    "closed_at_us": None,
    "closed_by": "",
    "reason": "",
}


def opened(alarm: Alarm, now_us: int) -> IncidentRow:
    """Return the incident that `alarm` begins; `now_us` is its commit."""
    return IncidentRow(
        incident_id=alarm.incident_id,
        pole=alarm.pole,
        state="open",
        presses=1,
        line=alarm.line,
        simulated=alarm.simulated,
        first_pressed_at_us=alarm.pressed_at_us,
        last_pressed_at_us=alarm.pressed_at_us,
        opened_at_us=now_us,
        answered_at_us=None,
        answered_by="",
        closed_at_us=None,
        closed_by="",
        reason="",
        mode="maintenance" if alarm.mode == "maintenance" else "normal",
        previous_incident_id=alarm.previous_incident_id,
        called_at_us=now_us,
        changed_at_us=now_us,
    )


def _named(by: str) -> None:
    if not by.strip():
        raise ConflictError("an incident needs an owner with a name; enter your name first")


def utc_text(at_us: int) -> str:
    """Return a UTC instant to the second, for a sentence."""
    return datetime.fromtimestamp(at_us // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
