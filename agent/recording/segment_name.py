"""Names of segments and of their files (docs/design/seams.md "Names").

Rules:
* a segment is `{pole}.{camera}.{YYYYMMDD}T{HHMMSS}Z.{counter:010d}`, in UTC, and is never renamed;
* the counter belongs to one camera and never goes back, so names stay apart even when the clock jumps;
* pole and camera ids hold no dot and no slash: a name can always be taken apart again.
"""

import re
from datetime import UTC, datetime
from typing import NamedTuple

from agent.contract.errors import ContractError

PART = ".part"
JOURNAL = ".journal"
SEALED = ".mp4.age"
TORN = ".torn.mp4.age"

_NAME = re.compile(r"(?P<pole>[^./]+)\.(?P<camera>[^./]+)\.\d{8}T\d{6}Z\.(?P<counter>\d{10})")


class SegmentName(NamedTuple):
    """The parts of a segment's name that decide something."""

    pole: str
    camera: str
    counter: int


def segment_name(pole: str, camera: str, start_us: int, counter: int) -> str:
    """Return the name of a segment that starts at `start_us` (UTC microseconds)."""
    start = datetime.fromtimestamp(start_us // 1_000_000, UTC)
    return f"{pole}.{camera}.{start:%Y%m%dT%H%M%SZ}.{counter:010d}"


def parse_segment_name(segment: str) -> SegmentName:
    """Take a segment's name apart.

    Raises:
        ContractError: not the name of a segment (it may not become a path).
    """
    match = _NAME.fullmatch(segment)
    if match is None:
        raise ContractError(f"'{segment[:80]}' is not the name of a segment")
    return SegmentName(match["pole"], match["camera"], int(match["counter"]))


def segment_of_file(file_name: str) -> tuple[str, str] | None:
    """Return (segment, suffix) of a file in a camera's directory, or None when it is none of ours."""
    for suffix in (TORN, SEALED, PART, JOURNAL):
        if file_name.endswith(suffix) and _NAME.fullmatch(file_name[: -len(suffix)]):
            return file_name[: -len(suffix)], suffix
    return None
