"""Where each pole stands: `places_file`, a JSON object, read again when it changes.

    {"gangseo-0142": "화곡로 142, 까치산역 2번 출구 앞",
     "gangseo-0143": {"place": "까치산공원 정문", "plan": "hwagok.svg", "x": 0.62, "y": 0.31},
     "*": {"plan": "hwagok.svg"}}

Rules:
* a place is words, or an object with words and the point on a plan: `x` and `y` as shares 0..1 of the plan's width and
  height from its upper left corner; `plan` is a picture beside the file (svg, png, jpg), "*" names one for all;
* only pictures that the file names are served; a name that leads out of its folder names none;
* a broken file keeps the last good words, a broken entry keeps its words: an alarm is shown in any case.
"""

import json
import logging
import math
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

PLAN_TYPES = {".svg": "image/svg+xml", ".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}
EVERY_POLE = "*"


@dataclass(frozen=True)
class Spot:
    """A point on a plan; `x` and `y` are per cent from the upper left."""

    plan: str
    x: float
    y: float


class Places:
    """Pole names to places and points."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._read_at_ns = -1
        self._places: dict[str, str] = {}
        self._spots: dict[str, Spot] = {}

    def of(self, pole: str) -> str:
        """Return the place of a pole, "" when nobody wrote it down."""
        with self._lock:
            self._read_if_changed()
            return self._places.get(pole, "")

    def spot(self, pole: str) -> Spot | None:
        """Return the pole's point on a plan, None when there is none."""
        with self._lock:
            self._read_if_changed()
            return self._spots.get(pole)

    def plan_file(self, name: str) -> Path | None:
        """Return the picture of a plan that a pole stands on, None for every other name."""
        with self._lock:
            self._read_if_changed()
            known = any(spot.plan == name for spot in self._spots.values())
        return self._file.parent / name if known and self._file is not None else None

    def _read_if_changed(self) -> None:
        if self._file is None:
            return
        try:
            changed_at_ns = self._file.stat().st_mtime_ns
            if changed_at_ns == self._read_at_ns:
                return
            self._read_at_ns = changed_at_ns
            document = dict(json.loads(self._file.read_text(encoding="utf-8")))
            common = document.pop(EVERY_POLE, {})
            plan = common.get("plan", "") if isinstance(common, dict) else ""
            self._places = {str(pole): place_of(entry) for pole, entry in document.items()}
            spots = {str(pole): spot_of(entry, plan) for pole, entry in document.items()}
            self._spots = {pole: spot for pole, spot in spots.items() if spot is not None}
        except (OSError, ValueError, TypeError) as exc:
            log.warning("places file not readable file=%s error=%s", self._file, exc)


def place_of(entry: Any) -> str:
    """Return an entry's words."""
    return str(entry.get("place", "")) if isinstance(entry, dict) else str(entry)


def spot_of(entry: Any, common_plan: Any = "") -> Spot | None:
    """Return an entry's point, None when it has no point within a plan beside the file."""
    if not isinstance(entry, dict):
        return None
    plan, x, y = entry.get("plan", common_plan), entry.get("x"), entry.get("y")
    if not isinstance(plan, str) or Path(plan).name != plan or Path(plan).suffix.lower() not in PLAN_TYPES:
        return None
    across, down = _share(x), _share(y)
    return None if across is None or down is None else Spot(plan, round(100 * across, 2), round(100 * down, 2))


def _share(value: Any) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        return None
    return float(value) if 0 <= value <= 1 else None
