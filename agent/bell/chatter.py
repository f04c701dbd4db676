"""A contact that trembles: many level changes and no stable press or release among them. Pure.

Rules:
* a change is one of the raw level, before the debounce; a stable change (the debounce flipped) explains those before
  it, so the bounces of a real press never count;
* `changes` of them within `window_s` are chatter, until no level changed for `window_s`;
* chatter raises no alarm by itself (wind on a corroded contact is nobody's call), and hinders none: a stable press
  alarms as ever, and the debounce counts a contact that is closed more than half of the time.
"""

from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class ChatterLimits:
    """How many changes within how many seconds are chatter."""

    changes: int = 40
    window_s: float = 10.0


@dataclass(frozen=True)
class Chatter:
    """The newest unexplained changes, oldest first, and whether they are chatter."""

    limits: ChatterLimits = field(default_factory=ChatterLimits)
    times_mono_s: tuple[float, ...] = ()
    last_mono_s: float = 0.0
    standing: bool = False

    def changed(self, at_mono_s: float) -> "Chatter":
        """A raw level changed."""
        times = (*self.times_mono_s, at_mono_s)[-self.limits.changes :]
        full = len(times) == self.limits.changes and at_mono_s - times[0] <= self.limits.window_s
        return replace(self, times_mono_s=times, last_mono_s=at_mono_s, standing=self.standing or full)

    def settled(self) -> "Chatter":
        """A debounced contact changed: that explains the changes so far."""
        return replace(self, times_mono_s=())

    def at(self, now_mono_s: float) -> "Chatter":
        """Return the state as time passes: silence ends it."""
        if self.standing and now_mono_s - self.last_mono_s > self.limits.window_s:
            return replace(self, times_mono_s=(), standing=False)
        return self
