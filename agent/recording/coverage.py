"""A camera's time without a hole: which gaps must be recorded, and when (pure: no clock, no I/O).

Rules (R-INTEGRITY):
* segment + torn + gap cover [first start .. covered_until) exactly; `covered_until_us` never goes back;
* a gap has the cause that held while it lasted: when the cause changes, the time so far keeps the old one;
* a lasting gap is written in pieces of about `PIECE_US`, so that a power cut loses little of what was known;
* a segment that begins within one frame of `covered_until_us` begins exactly there; one that would begin earlier
  (the clock was set back) is held at it: time already recorded is not recorded twice;
* after a start: `maintenance` when the last run ended in order, else `power` in another boot, else `restart`.
"""

from dataclasses import dataclass, replace

from agent.contract.records import GapCause

PIECE_US = 60_000_000


@dataclass(frozen=True)
class Gap:
    """A gap to be recorded, [start_us, end_us) in UTC."""

    start_us: int
    end_us: int
    cause: GapCause
    detail: str


@dataclass(frozen=True)
class Coverage:
    """Until when a camera is covered, and why nothing is recorded now (only read while that is so)."""

    covered_until_us: int
    cause: GapCause
    detail: str = ""

    def because(self, cause: GapCause, detail: str, at_us: int) -> tuple["Coverage", list[Gap]]:
        """Nothing is recorded any more, or still not: from `at_us` on it has this cause."""
        if cause == self.cause:
            return replace(self, detail=self.detail or detail), []
        return self._until(at_us, replace(self, cause=cause, detail=detail))

    def passed(self, at_us: int) -> tuple["Coverage", list[Gap]]:
        """Time went by without recording; a piece is due when the last one is `PIECE_US` old."""
        return self.flushed(at_us) if at_us - self.covered_until_us >= PIECE_US else (self, [])

    def flushed(self, at_us: int) -> tuple["Coverage", list[Gap]]:
        """Record all of the gap so far: the service ends."""
        return self._until(at_us, self)

    def resumed(self, first_us: int, frame_us: int) -> tuple["Coverage", list[Gap]]:
        """A segment begins with a frame of `first_us`; its start is the new `covered_until_us`."""
        if first_us - self.covered_until_us <= frame_us:
            return self, []
        return self._until(first_us, self)

    def recorded(self, end_us: int) -> "Coverage":
        """A segment or torn file reaches until `end_us`."""
        return replace(self, covered_until_us=max(self.covered_until_us, end_us))

    def _until(self, at_us: int, then: "Coverage") -> tuple["Coverage", list[Gap]]:
        if at_us <= self.covered_until_us:
            return then, []
        gap = Gap(self.covered_until_us, at_us, self.cause, self.detail)
        return replace(then, covered_until_us=at_us), [gap]


def cause_of_absence(*, clean: bool, last_boot_id: str, boot_id: str) -> GapCause:
    """Return why nothing was recorded between the camera service's last run and this start."""
    if clean:
        return "maintenance"
    return "restart" if last_boot_id == boot_id else "power"
