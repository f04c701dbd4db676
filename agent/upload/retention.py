"""Until when footage must be gone from the pole, decided without trusting a clock that may be wrong (R-RETAIN).

Rules (docs/design/upload.md "Retention"):
* a wrong clock must never delete evidence early, and may delay a deletion only while no trusted time exists;
* UTC is trusted when the kernel called it synchronised for `SETTLE_S` without a step, or when the center's
  authenticated answer gave the time; with both, the earlier one counts;
* without either, footage is expired only when this process has seen the same clock run, without a step, for
  the whole retention: then even a wrong clock measures the age rightly;
* otherwise nothing is expired: the disk's own limits still hold, and `clock-unsynced` stands.
Pure: no clock and no disk is touched here.
"""

from dataclasses import dataclass, replace

DAY_S = 86_400.0
SETTLE_S = 600.0
STEP_S = 5.0
SECOND_US = 1_000_000


@dataclass(frozen=True)
class ClockHistory:
    """What one process has seen of the clocks: since when they run together, and since when they are synchronised."""

    utc_us: int
    mono_s: float
    steady_since_mono_s: float
    synced_since_mono_s: float | None = None

    @classmethod
    def start(cls, utc_us: int, mono_s: float) -> "ClockHistory":
        """Begin with the first look at both clocks."""
        return cls(utc_us=utc_us, mono_s=mono_s, steady_since_mono_s=mono_s)

    def look(self, utc_us: int, mono_s: float, *, synced: bool) -> "ClockHistory":
        """Return the history after another look; a step of UTC begins it anew."""
        drift_s = (utc_us - self.utc_us) / SECOND_US - (mono_s - self.mono_s)
        if abs(drift_s) > STEP_S:
            return replace(ClockHistory.start(utc_us, mono_s), synced_since_mono_s=mono_s if synced else None)
        since = self.synced_since_mono_s if self.synced_since_mono_s is not None else mono_s
        return replace(self, utc_us=utc_us, mono_s=mono_s, synced_since_mono_s=since if synced else None)


def retention_us(retention_days: int) -> int:
    """Return the retention in microseconds."""
    return round(retention_days * DAY_S) * SECOND_US


def expire_before_us(history: ClockHistory, retention_days: int, center_utc_us: int | None) -> int | None:
    """Return the UTC before which footage must be gone, or None when no time can be trusted.

    `center_utc_us` is what the center's last authenticated answer says of now, or None.
    """
    trusted = [] if center_utc_us is None else [center_utc_us]
    synced_since = history.synced_since_mono_s
    if synced_since is not None and history.mono_s - synced_since >= SETTLE_S:
        trusted.append(history.utc_us)
    if trusted:
        return min(trusted) - retention_us(retention_days)
    if history.mono_s - history.steady_since_mono_s >= retention_days * DAY_S:
        return history.utc_us - retention_us(retention_days)
    return None
