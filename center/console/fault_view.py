"""Faults in the words of the person who looks: text, severity and next step from `agent.contract.faults`.

Rule: a code that we do not know is shown as it came, never hidden, and ranks as `major`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from agent.contract.faults import FAULTS
from center.console.catalogue import Catalogue
from center.console.ranking import RankedFault, fault_score
from center.store import FaultRow

MARKS = {"critical": "critical", "major": "warning", "minor": "minor", "info": "minor"}


@dataclass(frozen=True)
class FaultView:
    """One standing fault. `mark` names its shape, `next_step` is empty for an unknown code."""

    code: str
    severity: str
    mark: str
    text: str
    next_step: str
    subject: str
    detail: str
    since_us: int


def severity_of(code: str) -> str:
    """Return the severity of a code; an unknown one counts as major."""
    known = FAULTS.get(code)
    return known.severity if known else "major"


def ranked(fault: FaultRow, now_us: int) -> RankedFault:
    """Return what the ranking needs of a fault."""
    return RankedFault(severity_of(fault.code), (now_us - fault.opened_at_us) / 1_000_000)


def fault_view(fault: FaultRow, words: Catalogue) -> FaultView:
    """Return one fault in the visitor's language."""
    known = FAULTS.get(fault.code)
    severity = severity_of(fault.code)
    korean = words.language == "ko"
    text = (known.text_ko if korean else known.text_en) if known else fault.code
    next_step = (known.next_step_ko if korean else known.next_step_en) if known else ""
    return FaultView(
        fault.code, severity, MARKS[severity], text, next_step, fault.subject, fault.detail, fault.opened_at_us
    )


def fault_views(faults: Iterable[FaultRow], words: Catalogue, now_us: int) -> list[FaultView]:
    """Return faults, worst first."""
    ordered = sorted(faults, key=lambda fault: fault_score(ranked(fault, now_us)), reverse=True)
    return [fault_view(fault, words) for fault in ordered]


def worst_mark(faults: Iterable[FaultRow]) -> str:
    """Return the shape of the worst fault, `ok` without any."""
    marks = {MARKS[severity_of(fault.code)] for fault in faults}
    return next((mark for mark in ("critical", "warning", "minor") if mark in marks), "ok")
