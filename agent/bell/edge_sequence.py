"""Counts the edges that the kernel dropped, by the numbers it gives them. Pure.

Rules: the kernel numbers the events of each line from 1 on, without holes, since the line was requested (`line_seqno`,
include/uapi/linux/gpio.h); when its buffer is full the oldest event goes, so a hole is a drop and nothing else.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType


@dataclass(frozen=True)
class EdgeSequence:
    """`last` is the number last seen of each line, `lost` the edges missing so far, of all lines."""

    last: Mapping[int, int] = field(default_factory=lambda: MappingProxyType({}))
    lost: int = 0

    def seen(self, line: int, seqno: int) -> "EdgeSequence":
        """Return the sequence after event `seqno` of `line`."""
        missing = max(seqno - self.last.get(line, 0) - 1, 0)
        return replace(self, last=MappingProxyType({**self.last, line: seqno}), lost=self.lost + missing)
