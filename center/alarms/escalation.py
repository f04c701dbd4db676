"""When an unanswered call climbs: second console and supervisor, then the wall view, then the hook. Pure.

Rules:
* a step is due when the call has waited its delay; each is raised once, in order, none is left out: after an hour
  without the center all three are due at once;
* being seen stops nothing, only an answer or a close does: the caller asks for calls that wait;
* the wait begins at the center's commit. That instant is UTC and the clock may jump, so it is trusted only for what
  happened before the first look: a call that was not there at the last look has waited no longer than since then.
"""

from collections.abc import Collection
from dataclasses import dataclass

from center.store.escalations import Step


@dataclass(frozen=True)
class Ladder:
    """The delays of the steps in seconds, rising."""

    second_s: float = 15.0
    wall_s: float = 30.0
    hook_s: float = 60.0

    def steps(self) -> tuple[tuple[Step, float], ...]:
        """Return the steps with their delays, the first first."""
        return ("second", self.second_s), ("wall", self.wall_s), ("hook", self.hook_s)

    def due(self, waited_s: float, raised: Collection[Step]) -> tuple[tuple[Step, float], ...]:
        """Return the steps that are due after `waited_s` and not in `raised`, with their delays."""
        return tuple((step, delay_s) for step, delay_s in self.steps() if waited_s >= delay_s and step not in raised)


def began_mono_s(called_at_us: int, now_us: int, now_mono_s: float, last_look_mono_s: float | None) -> float:
    """Return when a call that is seen for the first time began to wait, on the monotonic clock, in seconds.

    `last_look_mono_s` is when the waiting calls were last read, None when this is the first look of the process.
    """
    waited_s = max(0.0, (now_us - called_at_us) / 1e6)
    if last_look_mono_s is not None:
        waited_s = min(waited_s, now_mono_s - last_look_mono_s)
    return now_mono_s - waited_s
