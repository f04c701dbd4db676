"""Maps a source's media time to UTC (DESIGN decision 11; pure).

Rules:
* anchored where the first frame after an open arrived; media time then runs by itself, without the jitter of arrival;
* at each segment's start the rate is trimmed by at most `MAX_RATE`, so that a camera's clock does not drift away;
* when media time and UTC are more than `STEP_US` apart, the mapping is anchored anew. Behind (frames were lost, or the
  clock was set forward): the time between is a gap. Ahead (the clock was set back): `coverage` holds the start, and
  the rate brings both together again, because time already recorded is not recorded twice.
"""

from dataclasses import dataclass

STEP_US = 2_000_000
MAX_RATE = 0.001
TRIM_US = 60_000_000


@dataclass(frozen=True)
class UtcAnchor:
    """Media time `pts_us` is UTC `utc_us`; from there UTC runs `1 + rate` times as fast as media time."""

    pts_us: int
    utc_us: int
    rate: float = 0.0

    def at(self, pts_us: int) -> int:
        """Return the UTC of a media time, in microseconds."""
        passed_us = pts_us - self.pts_us
        return self.utc_us + passed_us + round(passed_us * self.rate)

    def trimmed(self, pts_us: int, arrived_us: int) -> "UtcAnchor":
        """Return the mapping to use from `pts_us` on, whose frame arrived at UTC `arrived_us`."""
        utc_us = self.at(pts_us)
        error_us = arrived_us - utc_us
        if abs(error_us) > STEP_US:
            return UtcAnchor(pts_us, arrived_us, 0.0 if error_us > 0 else -MAX_RATE)
        return UtcAnchor(pts_us, utc_us, max(-MAX_RATE, min(MAX_RATE, error_us / TRIM_US)))

    def held(self, utc_us: int) -> "UtcAnchor":
        """Return the mapping moved so that it begins at `utc_us`."""
        return UtcAnchor(self.pts_us, utc_us, self.rate)
