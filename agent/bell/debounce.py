"""Debounce of one contact: pure, our own (gpiozero's `bounce_time` loses and invents events on real pins, FACTS).

Rules:
* the contact's level is known at samples (edges and polls) and held between them;
* an integrator charges while the level is active and discharges while it is not; it flips to active when
  full (`debounce_s`) and back to inactive when empty;
* so one unbroken active run of `debounce_s` always flips it, whatever bounced before: no press longer than the
  debounce time is ever lost; and active time of less than `debounce_s` in all never flips it;
* a corroded contact that chatters but is active more than half of the time still flips it (towards the alarm);
* a sample older than the last one counts as simultaneous with it.
"""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Debounce:
    """One contact. `active` is the debounced state, `level` the last sampled one, `charge_s` the integrator."""

    debounce_s: float
    at_mono_s: float
    level: bool = False
    active: bool = False
    charge_s: float = 0.0

    def sample(self, at_mono_s: float, level: bool) -> "Debounce":
        """Return the state after the old level held until `at_mono_s`, when `level` was seen."""
        at_mono_s = max(at_mono_s, self.at_mono_s)
        held_s = at_mono_s - self.at_mono_s
        charge_s = self.charge_s + held_s if self.level else self.charge_s - held_s
        active = self.active
        # The tolerance is for the sums of floats: ten samples of 3 ms must fill 30 ms.
        if charge_s >= self.debounce_s - 1e-9:
            active = True
        elif charge_s <= 1e-9:
            active = False
        charge_s = min(max(charge_s, 0.0), self.debounce_s)
        return replace(self, at_mono_s=at_mono_s, level=level, active=active, charge_s=charge_s)

    def due_mono_s(self) -> float | None:
        """Return when the state will flip if the level stays as it is, or None when it will not."""
        if self.level == self.active:
            return None
        rest_s = self.debounce_s - self.charge_s if self.level else self.charge_s
        return self.at_mono_s + rest_s
