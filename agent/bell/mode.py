"""Which mode the bell is in, until when. Pure.

Rules:
* normal: every press is real. Test: a press is a test and calls nobody. Maintenance: every press is real and says so;
* test lasts at most 15 minutes, maintenance at most 4 hours, whoever asked for it; then it is normal again;
* expiry counts monotonic seconds, so no jump of the clock makes a mode longer;
* three presses within 5 s are real whatever the mode: the third raises a real alarm and ends the test (the two before
  it were sent as tests already; in an emergency nobody stops at two);
* after a restart of the service the rest is counted on by the monotonic clock (same boot id). After a reboot it is the
  rest as last saved (every few seconds), less what UTC says has passed; UTC before the moment of saving ends the mode.
"""

from dataclasses import dataclass, replace
from typing import Literal

from agent.contract.errors import PoleAgentError

Mode = Literal["normal", "test", "maintenance"]

MODE_MAX_S: dict[str, float] = {"test": 15 * 60.0, "maintenance": 4 * 3600.0}
REAL_PRESSES = 3
REAL_WITHIN_S = 5.0


class ModeError(PoleAgentError, ValueError):
    """A mode that does not exist, or for longer than is allowed."""


@dataclass(frozen=True)
class SavedMode:
    """A mode as it lies on disk; `left_s` is the rest at `saved_at_us`."""

    mode: Mode
    left_s: float
    saved_at_us: int
    until_mono_s: float
    boot_id: str
    by: str
    reason: str


@dataclass(frozen=True)
class ModeState:
    """The mode, when it ends (monotonic), who set it and why, and the newest presses (monotonic)."""

    mode: Mode = "normal"
    until_mono_s: float = 0.0
    by: str = ""
    reason: str = ""
    presses_mono_s: tuple[float, ...] = ()

    def begun(self, mode: Mode, seconds: float, now_mono_s: float, by: str, reason: str) -> "ModeState":
        """Return the state after somebody set a mode.

        Raises:
            ModeError: no such mode, or not for that long.
        """
        check_mode(mode, seconds)
        until_mono_s = now_mono_s + seconds if mode != "normal" else 0.0
        return replace(self, mode=mode, until_mono_s=until_mono_s, by=by, reason=reason)

    def at(self, now_mono_s: float) -> "ModeState":
        """Return the state as time passes."""
        if self.mode != "normal" and now_mono_s >= self.until_mono_s:
            return self.begun("normal", 0.0, now_mono_s, "clock", "the time was over")
        return self

    def pressed(self, at_mono_s: float) -> tuple["ModeState", bool]:
        """Return the state after a press, and whether that press is real."""
        now = self.at(at_mono_s)
        presses = (*now.presses_mono_s, at_mono_s)[-REAL_PRESSES:]
        after = replace(now, presses_mono_s=presses)
        if after.mode != "test":
            return after, True
        if len(presses) == REAL_PRESSES and at_mono_s - presses[0] <= REAL_WITHIN_S:
            return after.begun("normal", 0.0, at_mono_s, "bell", f"{REAL_PRESSES} presses in a row"), True
        return after, False

    def left_s(self, now_mono_s: float) -> float:
        """Return how long the mode still lasts; 0 for normal."""
        return max(self.until_mono_s - now_mono_s, 0.0) if self.mode != "normal" else 0.0

    def saved(self, boot_id: str, now_mono_s: float, now_us: int) -> SavedMode:
        """Return what must be on disk to go on after a restart."""
        left_s = self.left_s(now_mono_s)
        return SavedMode(self.mode, left_s, now_us, self.until_mono_s, boot_id, self.by, self.reason)


def check_mode(mode: str, seconds: float) -> None:
    """Refuse what no mode may be.

    Raises:
        ModeError: no such mode, or not for that long.
    """
    if mode == "normal":
        return
    if mode not in MODE_MAX_S:
        raise ModeError(f"mode {mode!r} is unknown; use normal, {' or '.join(MODE_MAX_S)}")
    if not 0 < seconds <= MODE_MAX_S[mode]:
        raise ModeError(f"mode {mode} lasts at most {MODE_MAX_S[mode]:.0f} s, not {seconds:g} s; set it anew then")


def restored(saved: SavedMode, boot_id: str, now_mono_s: float, now_us: int) -> ModeState:
    """Return the mode that goes on after a restart, or normal."""
    if saved.mode not in MODE_MAX_S:
        return ModeState()
    passed_s = (now_us - saved.saved_at_us) / 1_000_000
    if boot_id and boot_id == saved.boot_id:
        left_s = min(saved.until_mono_s - now_mono_s, saved.left_s)
    else:
        left_s = saved.left_s - passed_s if passed_s >= 0 else 0.0
    if not 0 < left_s <= MODE_MAX_S[saved.mode]:
        return ModeState(by="clock", reason="the time was over")
    return ModeState(saved.mode, now_mono_s + left_s, saved.by, saved.reason)
