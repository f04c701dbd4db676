"""When to try again: 1, 2, 4 .. 60 s, and only progress starts it over (DESIGN decision 7).

Rules:
* a failure doubles the wait; a success that moved no byte forward does not shorten it;
* `SetAside` keeps one such wait per segment, so that a segment which is refused never blocks the others.
"""

from dataclasses import dataclass

FIRST_S = 1.0
LONGEST_S = 60.0
LONGEST_ASIDE_S = 900.0


@dataclass(frozen=True)
class Backoff:
    """How often in a row an attempt ended without progress."""

    failures: int = 0

    def failed(self) -> "Backoff":
        """Return the state after one more attempt without progress."""
        return Backoff(self.failures + 1)

    def delay_s(self, longest_s: float = LONGEST_S) -> float:
        """Return the seconds to wait before the next attempt; 0 before the first failure."""
        if self.failures == 0:
            return 0.0
        return min(longest_s, FIRST_S * 2.0 ** min(self.failures - 1, 30))


class SetAside:
    """Segments that were refused for their own sake, each with the monotonic time of its next attempt."""

    def __init__(self) -> None:
        self._waits: dict[str, tuple[Backoff, float]] = {}

    def __len__(self) -> int:
        return len(self._waits)

    def refuse(self, segment: str, now_mono_s: float) -> None:
        """Set a segment aside; each further refusal doubles its wait up to a quarter of an hour."""
        backoff = self._waits.get(segment, (Backoff(), 0.0))[0].failed()
        self._waits[segment] = (backoff, now_mono_s + backoff.delay_s(LONGEST_ASIDE_S))

    def waiting(self, segment: str, now_mono_s: float) -> bool:
        """Return whether the segment's next attempt is still to come."""
        return segment in self._waits and now_mono_s < self._waits[segment][1]

    def accept(self, segment: str) -> None:
        """Forget the segment: it is done or gone."""
        self._waits.pop(segment, None)
