"""Where an assisted press test stands, judged from what was ordered and what the pole said. Pure.

    start -> (mode test sent) -> ready -> (bell-test sent) -> press -> result
                                   ^------------ again ----------------'

Rules:
* a stage is reached only by the pole's own word: a command that the pole has not answered is `sending`;
* a command that was not obeyed says why, and its button stands again;
* the result is the pole's inspection committed since the newest bell-test was ordered, whatever else is said;
* what was ordered longer than `FORGET_US` ago belongs to an older attempt.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from center.store.commands import CommandRow
from center.store.inspections import InspectionRow

Stage = Literal["start", "ready", "press", "result"]

MODE_S = 900
PRESS_S = 120
SECOND_US = 1_000_000
FORGET_US = 3600 * SECOND_US
NO_WORD_US = 20 * SECOND_US
MARGIN_US = 15 * SECOND_US
REFUSED = ("failed", "refused", "interrupted", "challenged")


@dataclass(frozen=True)
class PressTest:
    """What the page shows. `sending` is the operation under way, `problem` the command that was not obeyed."""

    stage: Stage
    sending: str = ""
    is_slow: bool = False
    problem: CommandRow | None = None
    mode_until_us: int | None = None
    press_until_us: int | None = None
    is_overdue: bool = False
    inspection: InspectionRow | None = None


def judge_press_test(
    commands: Sequence[CommandRow], inspections: Sequence[InspectionRow], now_us: int, *, mode_until_us: int | None
) -> PressTest:
    """Return the stage.

    `commands` are those of this order, newest first; `inspections` the pole's press tests, newest first;
    `mode_until_us` is the end of the test mode that the pole itself reports, None when it reports none.
    """
    recent = [row for row in commands if now_us - row.created_at_us < FORGET_US]
    mode_row = next((row for row in recent if row.op == "mode"), None)
    press_row = next((row for row in recent if row.op == "bell-test"), None)
    newest = recent[0] if recent else None
    sending = newest.op if newest is not None and not newest.ended else ""
    is_slow = bool(sending) and newest is not None and now_us - newest.created_at_us > NO_WORD_US
    problem = newest if newest is not None and newest.state in REFUSED else None
    until_us = test_until_us(mode_row, mode_until_us, now_us)
    inspection = _result(press_row, inspections)
    common = {"sending": sending, "is_slow": is_slow, "problem": problem, "mode_until_us": until_us}
    if inspection is not None:
        return PressTest("result", inspection=inspection, **common)  # type: ignore[arg-type]
    if press_row is not None and press_row.state == "done" and until_us is not None:
        press_until_us = (press_row.ended_at_us or press_row.created_at_us) + PRESS_S * SECOND_US
        is_overdue = now_us > press_until_us + MARGIN_US
        return PressTest("press", press_until_us=press_until_us, is_overdue=is_overdue, **common)  # type: ignore[arg-type]
    return PressTest("start" if until_us is None else "ready", **common)  # type: ignore[arg-type]


def test_until_us(mode_row: CommandRow | None, reported_us: int | None, now_us: int) -> int | None:
    """Return until when the pole is in test mode: by its answer to our command, or by its own report."""
    until_us = reported_us
    if mode_row is not None and mode_row.state == "done":
        if mode_row.args.get("mode") != "test":
            return None
        for_us = int(mode_row.args.get("for_s", MODE_S)) * SECOND_US
        until_us = (mode_row.ended_at_us or mode_row.created_at_us) + for_us
    return until_us if until_us is not None and until_us > now_us else None


test_until_us.__test__ = False  # type: ignore[attr-defined]  # pytest would take it for a test


def _result(press_row: CommandRow | None, inspections: Sequence[InspectionRow]) -> InspectionRow | None:
    if press_row is None:
        return None
    return next((row for row in inspections if row.committed_at_us >= press_row.created_at_us), None)
