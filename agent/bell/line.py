"""The bell's line: what two debounced contacts say together. Pure.

A complementary pair tells a press from a damaged cable (DESIGN decision 10). "Active" means moved towards a press:
the NO contact closed, or the NC contact open.

| NO active | NC active | line |
|---|---|---|
| no | no | idle |
| yes | yes | pressed |
| no | yes | cut: both circuits are open |
| yes | no | short: both circuits are closed |

Rules:
* both active: a press, announced at once;
* one active for `settle_s`: the line is cut or short, and that is announced as well, because a press with one dead
  contact looks the same (fail towards the alarm); `Actuation.line` says which;
* one active for less, then idle again: announced as `contact-fault`; the other contact did not follow;
* in a standing fault every further movement of either contact towards a press is announced, with the fault's name;
* every actuation is announced exactly once; release announces nothing and clears nothing at the alarm;
* a disagreement that goes away within `mended_s` was no damaged cable (nobody mends one that fast) but a dead
  contact: the fault `bell-contact-fault` stands until a press moves both;
* a single NO contact is only ever idle or pressed, under the standing fault `bell-line-unsupervised`;
* active without an end for `stuck_s`: fault `bell-stuck`; the other contact still alarms when it is moved anew.
The limits are `LineLimits`, set in `[bell]` of pole.toml.
"""

from dataclasses import dataclass, field, replace
from typing import Literal

LineKind = Literal["idle", "pressed", "cut", "short"]
AlarmLine = Literal["pressed", "cut", "short", "contact-fault"]
ShownLine = Literal["idle", "pressed", "cut", "short", "contact-fault", "stuck"]

FAULT_CODES = ("bell-line-cut", "bell-line-short", "bell-contact-fault", "bell-line-unsupervised", "bell-stuck")


@dataclass(frozen=True)
class Actuation:
    """Something that must raise the alarm. `held_at_boot`: the contact was never seen idle since the start."""

    line: AlarmLine
    at_mono_s: float
    held_at_boot: bool


@dataclass(frozen=True)
class LineLimits:
    """Seconds: contacts that disagree until it is a fault; a fault that ends by itself until it was mended; a press
    without end until it is stuck."""

    settle_s: float = 0.2
    mended_s: float = 30.0
    stuck_s: float = 30.0


@dataclass(frozen=True)
class Line:
    """The line. `split_since_mono_s` is set while the contacts disagree, `announced` once an actuation is out."""

    supervised: bool
    limits: LineLimits = field(default_factory=LineLimits)
    kind: LineKind = "idle"
    no_active: bool = False
    nc_active: bool = False
    split_since_mono_s: float | None = None
    pressed_since_mono_s: float | None = None
    announced: bool = False
    complete: bool = False
    contact_fault: bool = False
    booting: bool = True

    def sample(self, at_mono_s: float, no_active: bool, nc_active: bool | None) -> tuple["Line", Actuation | None]:
        """Return the line after both debounced contacts were seen, and what must be announced."""
        nc = no_active if nc_active is None or not self.supervised else nc_active
        if not no_active and not nc:
            return self._idle(at_mono_s)
        rise = (no_active and not self.no_active) or (nc and not self.nc_active)
        moved = replace(self, no_active=no_active, nc_active=nc)
        if no_active and nc:
            return moved._pressed(at_mono_s)
        return moved._split(at_mono_s, rise)

    def standing_faults(self, now_mono_s: float) -> dict[str, str]:
        """Return the faults of the line now: code -> what to do next."""
        found: dict[str, str] = {}
        if not self.supervised:
            found["bell-line-unsupervised"] = "single NO contact: a cut cable stays unseen; wire the NC contact as well"
        if self.kind == "cut":
            found["bell-line-cut"] = "both circuits are open: look for a cut cable or a loose plug"
        if self.kind == "short":
            found["bell-line-short"] = "both circuits are closed: look for water or a crushed cable"
        if self.contact_fault:
            found["bell-contact-fault"] = "one contact did not follow a press: replace the button, then press it once"
        if self._stuck(now_mono_s):
            found["bell-stuck"] = f"pressed for more than {self.limits.stuck_s:g} s: free the button"
        return found

    def shown(self, now_mono_s: float) -> ShownLine:
        """Return the line in one word for people, the worst thing about it."""
        if self.kind in ("cut", "short"):
            return self.kind
        if self._stuck(now_mono_s):
            return "stuck"
        return "contact-fault" if self.kind == "idle" and self.contact_fault else self.kind

    @property
    def good(self) -> bool:
        """Whether the next press is certain to be understood."""
        return self.kind == "idle" and not self.contact_fault

    def _idle(self, at_mono_s: float) -> tuple["Line", Actuation | None]:
        since = self.split_since_mono_s
        missed = since is not None and not self.announced and self.kind not in ("cut", "short")
        dead = since is not None and not self.complete and at_mono_s - since < self.limits.mended_s
        calm = Line(self.supervised, self.limits, contact_fault=self.contact_fault or dead, booting=False)
        return calm, Actuation("contact-fault", at_mono_s, self.booting) if missed else None

    def _pressed(self, at_mono_s: float) -> tuple["Line", Actuation | None]:
        line: AlarmLine = self.kind if self.kind in ("cut", "short") else "pressed"
        actuation = None if self.announced else Actuation(line, at_mono_s, self.booting)
        since = self.pressed_since_mono_s if self.pressed_since_mono_s is not None else at_mono_s
        pressed = replace(self, announced=True, booting=False, pressed_since_mono_s=since)
        if self._stands(at_mono_s):
            return pressed, actuation
        done = replace(pressed, kind="pressed", split_since_mono_s=None, complete=True, contact_fault=False)
        return done, actuation

    def _split(self, at_mono_s: float, rise: bool) -> tuple["Line", Actuation | None]:
        kind: Literal["cut", "short"] = "cut" if self.nc_active else "short"
        if self.kind in ("cut", "short"):
            actuation = Actuation(kind, at_mono_s, self.booting) if rise else None
            return replace(self, kind=kind, announced=False, booting=False, pressed_since_mono_s=None), actuation
        since = self.split_since_mono_s if self.split_since_mono_s is not None else at_mono_s
        waiting = replace(self, split_since_mono_s=since)
        if at_mono_s - since < self.limits.settle_s:
            return waiting, None
        actuation = None if self.announced else Actuation(kind, at_mono_s, self.booting)
        return replace(waiting, kind=kind, announced=False, booting=False, pressed_since_mono_s=None), actuation

    def _stuck(self, now_mono_s: float) -> bool:
        since = self.pressed_since_mono_s
        return since is not None and now_mono_s - since > self.limits.stuck_s

    def _stands(self, at_mono_s: float) -> bool:
        """Whether the fault is a damaged cable rather than one slow contact."""
        since = self.split_since_mono_s
        return self.kind in ("cut", "short") and since is not None and at_mono_s - since >= self.limits.mended_s
