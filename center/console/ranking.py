"""Which pole needs a person first (R-MAINT): the morning list's order, as a pure score.

Rules: a silent pole stands above every pole that still speaks; then the worse and the older its faults, the
higher; age counts by its logarithm, so that one old trifle never hides a fresh breakdown.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

SEVERITY_WEIGHT = {"critical": 100.0, "major": 30.0, "warning": 8.0, "minor": 8.0, "info": 1.0}
UNKNOWN_WEIGHT = 30.0
SILENT_BASE = 1_000_000.0


@dataclass(frozen=True)
class RankedFault:
    """What the score needs of one fault."""

    severity: str
    age_s: float


def fault_score(fault: RankedFault) -> float:
    """Return severity x age; a fault doubles its weight after about an hour, triples it after about a week."""
    weight = SEVERITY_WEIGHT.get(fault.severity, UNKNOWN_WEIGHT)
    return weight * (1.0 + math.log10(1.0 + max(0.0, fault.age_s) / 400.0))


def pole_score(faults: Iterable[RankedFault], silent_s: float | None) -> float:
    """Return a pole's score, larger is worse; `silent_s` is how long it has said nothing, None while it speaks."""
    score = sum(fault_score(fault) for fault in faults)
    return score if silent_s is None else SILENT_BASE + silent_s + score
