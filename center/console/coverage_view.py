"""Which bells proved themselves, as the crew reads it: what failed first, then what was never tested. Pure.

Rules: a bell that failed today stands above one that was not tested; a failed point comes with the catalogue's text and
next step; a point that we do not know is shown as it came.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from agent.contract.faults import FAULTS
from center.console.catalogue import Catalogue
from center.store.inspections import CLOCK_POINT, Coverage, KindCoverage, PoleCoverage, fault_code

MARKS = {"proved": "ok", "failed": "critical", "none": "unknown"}
CLOCK_FAULT = "clock-unsynced"  # a clock of its own fault: the bell works, its times are in doubt
ORDER = {"failed": 0, "none": 1, "proved": 2}


@dataclass(frozen=True)
class KindView:
    """One kind of test of one bell: proved, failed or none, its mark, and the newest time it speaks of."""

    state: str
    mark: str
    at_us: int | None


@dataclass(frozen=True)
class PointView:
    """One failed point: its name, what it means, what to do, and how often at how many poles."""

    name: str
    text: str
    next_step: str
    times: int
    poles: int = 1


@dataclass(frozen=True)
class BellLine:
    """One bell: today's self-test, this month's self-test and press test, and what failed this month."""

    pole: str
    place: str
    state: str
    today: KindView
    self_test: KindView
    press_test: KindView
    failures: tuple[PointView, ...]


def kind_view(kind: KindCoverage) -> KindView:
    """Return one kind of test: proved, failed, or none."""
    if kind.proved:
        return KindView("proved", MARKS["proved"], kind.passed_at_us)
    state = "failed" if kind.failed_at_us is not None else "none"
    return KindView(state, MARKS[state], kind.failed_at_us)


def point_view(name: str, times: int, words: Catalogue, poles: int = 1) -> PointView:
    """Return a failed point in the visitor's language."""
    fault = FAULTS.get(CLOCK_FAULT if name == CLOCK_POINT else fault_code(name))
    if fault is None:
        return PointView(name, name, "", times, poles)
    korean = words.language == "ko"
    text = fault.text_ko if korean else fault.text_en
    return PointView(name, text, fault.next_step_ko if korean else fault.next_step_en, times, poles)


def failed_points(poles: Iterable[PoleCoverage], words: Catalogue) -> list[PointView]:
    """Return what failed over all bells, the most bells first."""
    times: dict[str, int] = {}
    where: dict[str, int] = {}
    for pole in poles:
        for name, count in pole.failures.items():
            times[name] = times.get(name, 0) + count
            where[name] = where.get(name, 0) + 1
    names = sorted(times, key=lambda name: (-where[name], -times[name], name))
    return [point_view(name, times[name], words, where[name]) for name in names]


def state_of(today: PoleCoverage | None, month: PoleCoverage) -> str:
    """Return a bell's state: failed while a newest test failed, proved by a test today and a press this month."""
    kinds = [month.self_test, month.press_test] + ([today.self_test, today.press_test] if today else [])
    if any(kind.failed_at_us is not None and not kind.proved for kind in kinds):
        return "failed"
    return "proved" if today is not None and today.proved and month.press_test.proved else "none"


def bell_lines(day: Coverage, month: Coverage, place: Callable[[str], str], words: Catalogue) -> list[BellLine]:
    """Return every bell, the one that needs a person first."""
    today: Mapping[str, PoleCoverage] = {pole.pole: pole for pole in day.poles}
    lines = [_line(today.get(pole.pole), pole, place(pole.pole), words) for pole in month.poles]
    return sorted(lines, key=lambda line: (ORDER[line.state], line.pole))


def _line(today: PoleCoverage | None, month: PoleCoverage, place: str, words: Catalogue) -> BellLine:
    failures = sorted(month.failures.items(), key=lambda item: (-item[1], item[0]))
    return BellLine(
        pole=month.pole,
        place=place,
        state=state_of(today, month),
        today=kind_view(today.self_test if today else KindCoverage()),
        self_test=kind_view(month.self_test),
        press_test=kind_view(month.press_test),
        failures=tuple(point_view(name, times, words) for name, times in failures),
    )
