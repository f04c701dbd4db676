"""What a self-test and an assisted press test find, and when a self-test is due. Pure (R-INSPECT).

| point | passes when | value |
|---|---|---|
| line | the line was good at `GOOD_POLLS` polls in a row | its state and how many |
| outputs | the lamps' outputs are ours and read back as set | - |
| lamps | each fitted lamp drew current, and none flowed in the dark | which did; "not-fitted" without a sense |
| outbox | a row was committed and read back | ms |
| center | the center's beat is fresh | its age |
| clock | UTC is synchronised | source and error |
| round-trip | the last self-test's receipt came within `RECEIPT_S`; absent when it did not | ms |
| press | somebody pressed in time, and the center's receipt of the test came | ms from stable contact to receipt |
| contacts | both contacts made the press | the line as announced |

Rules:
* the round trip of a self-test is its own: the inspection is committed, published and receipted as an alarm is; the
  time is in the heartbeat at once, and in the next inspection as a point;
* a self-test that failed (a point, or no receipt) is a fault until the next one passes; an unsynchronised clock fails
  its point, and has a fault of its own, so it alone is no fault of the bell;
* daily between 02:00 and 06:00 KST, at a second that follows from the pole's id, so that a city's poles spread out; a
  pole that never had one begins `FIRST_S` after its start; a failed one is repeated after `AGAIN_S`;
* a clock that went back behind the last self-test makes it due once.
"""

import hashlib
from collections.abc import Iterable
from typing import Literal

from agent.bell.contact_watch import LineReading
from agent.bell.light import LampTest
from agent.contract.messages import ClockState, InspectionPoint

GOOD_POLLS = 100
RECEIPT_S = 60.0
FIRST_S = 60.0
AGAIN_S = 3600.0
PRESS_S = 60.0
DAY_S = 86_400
WINDOW_BEGIN_S = 17 * 3600  # 02:00 KST in UTC
WINDOW_S = 4 * 3600
LAMPS = ("white", "red", "green")


def slot_s(pole: str) -> int:
    """Return the second of the UTC day at which this pole tests itself."""
    number = int.from_bytes(hashlib.sha256(pole.encode()).digest()[:8], "big")
    return WINDOW_BEGIN_S + number % WINDOW_S


def due(pole: str, now_us: int, last_us: int) -> bool:
    """Whether the daily self-test is due; `last_us` is when the last one ended."""
    now_s = now_us // 1_000_000
    begin_s = (now_s - slot_s(pole)) // DAY_S * DAY_S + slot_s(pole)
    return last_us < begin_s * 1_000_000 or last_us > now_us


def line_point(line: LineReading) -> InspectionPoint:
    """Judge the line."""
    polls = f"{line.kind}, good at {line.good_polls} polls in a row"
    return _point("line", line.good_polls >= GOOD_POLLS, polls, f"needs {GOOD_POLLS}; repair the bell's line")


def lamp_points(follows: bool, sensed: bool, test: LampTest | None) -> list[InspectionPoint]:
    """Judge outputs and lamps; `test` is the indicator test under the sense."""
    outputs = _point("outputs", follows, "", "the lamp outputs do not read back as set; check their wiring")
    if not sensed or test is None:
        return [outputs, InspectionPoint(name="lamps", result="not-fitted")]
    dead = [name for name in LAMPS if name not in test.drew]
    told = f"drew current: {', '.join(sorted(test.drew)) or 'none'}"
    why = "current flows in the dark; check the sense" if "dark" in test.drew else f"replace: {', '.join(dead)}"
    return [outputs, _point("lamps", not dead and "dark" not in test.drew, told, why)]


def outbox_point(took_ms: float | None, error: str = "") -> InspectionPoint:
    """Judge the write check; `took_ms` is None when it failed."""
    return _point("outbox", took_ms is not None, _ms(took_ms), error)


def center_point(beat_age_s: float | None, max_s: float) -> InspectionPoint:
    """Judge the center's beat."""
    value = "" if beat_age_s is None else f"{beat_age_s:.1f} s"
    fresh = beat_age_s is not None and beat_age_s <= max_s
    return _point("center", fresh, value, f"no beat of the center for {max_s:.0f} s; check the dedicated link")


def clock_point(clock: ClockState) -> InspectionPoint:
    """Judge the clock."""
    value = f"{clock.source}, error {clock.error_us} us"
    return _point("clock", clock.synced, value, "the clock is not synchronised; check the time server")


def round_trip_points(took_ms: float | None) -> list[InspectionPoint]:
    """Return the last self-test's round trip; nothing when it had none: that was its own failure."""
    return [] if took_ms is None else [_point("round-trip", True, _ms(took_ms), "")]


def press_points(line: str | None, took_ms: float | None, wait_s: float) -> list[InspectionPoint]:
    """Judge an assisted press; `line` is as it was announced, None when nobody pressed."""
    if line is None:
        return [_point("press", False, "", f"no press within {wait_s:.0f} s; press the button, or repair its line")]
    return [
        _point("press", took_ms is not None, _ms(took_ms), f"no receipt within {RECEIPT_S:.0f} s"),
        _point("contacts", line == "pressed", line, "one contact did not follow; replace the button"),
    ]


def failures(points: Iterable[InspectionPoint]) -> str:
    """Return what failed, for the fault's detail; "" when the bell proved itself."""
    return "; ".join(f"{p.name}: {p.detail}" for p in points if p.result == "fail" and p.name != "clock")


def _point(name: str, passed: bool, value: str, why: str) -> InspectionPoint:
    result: Literal["pass", "fail"] = "pass" if passed else "fail"
    return InspectionPoint(name=name, result=result, value=value, detail="" if passed else why)


def _ms(took_ms: float | None) -> str:
    return "" if took_ms is None else f"{took_ms:.1f} ms"
