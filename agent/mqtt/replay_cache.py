"""Which commands were judged before. Pure; `agent.mqtt.command_journal` keeps it on disk.

Rules:
* a jti is remembered until its command has expired by `KEEP_US`, and at most `CAPACITY` of them are;
* what is forgotten leaves a floor: the latest expiry among the forgotten. A command that expires at or below the floor
  cannot be told from a forgotten one, so `judge` asks for a nonce instead of trusting the clock. So a clock that jumps
  back, or a full cache, never lets a command through twice;
* a memory that begins anew (first start, damaged file) begins with a floor `FRESH_US` in the future.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.contract.command import LIFE_MAX_S, SKEW_MAX_S

CAPACITY = 10_000
KEEP_US = 3600 * 1_000_000
FRESH_US = (LIFE_MAX_S + SKEW_MAX_S) * 1_000_000


@dataclass(frozen=True)
class ReplayCache:
    """jti -> exp_us (UTC microseconds), and the floor."""

    seen: Mapping[str, int] = field(default_factory=dict)
    floor_us: int = 0

    def remember(self, jti: str, exp_us: int, now_us: int, capacity: int = CAPACITY) -> "ReplayCache":
        """Return the cache with one more, without what is long expired, within `capacity`."""
        seen = {**self.seen, jti: exp_us}
        cut_us = now_us - KEEP_US
        if len(seen) > capacity:
            cut_us = max(cut_us, sorted(seen.values())[len(seen) - capacity - 1])
        gone = [exp for exp in seen.values() if exp <= cut_us]
        kept = {known: exp for known, exp in seen.items() if exp > cut_us}
        return ReplayCache(kept, max([self.floor_us, *gone]))


def fresh_cache(now_us: int) -> ReplayCache:
    """Return the memory of a pole that remembers nothing."""
    return ReplayCache({}, now_us + FRESH_US)
