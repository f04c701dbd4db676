"""What somebody should look into: conflicts of evidence, damaged messages, commands refused or carried out. Pure.

Rules: newest first; a kind or code that we do not know is shown as it came; a forged command names no officer, because
what it claims is nobody's word.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from agent.contract.refusals import REFUSALS
from center.console.catalogue import Catalogue
from center.store import EventRow
from center.store.commands import AuditRow
from center.store.quarantine import QuarantineRow

KINDS = ("security", "refused", "command", "quarantine")
MARKS = {"security": "critical", "refused": "critical", "command": "ok", "quarantine": "warning"}


@dataclass(frozen=True)
class SecurityLine:
    """One line: when the center had it, its kind with a mark, whose pole, what happened, and the details."""

    at_us: int
    kind: str
    mark: str
    pole: str
    what: str
    who: str
    detail: str


def security_line(event: EventRow, words: Catalogue) -> SecurityLine:
    """Return an event of kind `security`."""
    data = event.data
    rest = ", ".join(f"{name} {_text(value)}" for name, value in data.items() if name not in ("pole", "what"))
    what = words.code("security_what", _text(data.get("what", "")))
    return SecurityLine(event.at_us, "security", MARKS["security"], _text(data.get("pole", "")), what, "", rest)


def quarantine_line(row: QuarantineRow, words: Catalogue) -> SecurityLine:
    """Return a damaged message."""
    detail = f"{row.source}: {row.reason}"
    return SecurityLine(
        row.at_us, "quarantine", MARKS["quarantine"], row.pole, words.text("security.damaged"), "", detail
    )


def audit_line(row: AuditRow, words: Catalogue) -> SecurityLine:
    """Return one row of a pole's book of commands."""
    audit = row.audit
    refused = audit.phase == "refused"
    kind = "refused" if refused else "command"
    bad = refused or (audit.phase == "after" and audit.code != "done")
    operation = words.code("op", audit.op) if audit.op else ""
    texts = next((texts for code, texts in REFUSALS.items() if code == audit.code), None)
    told = (texts[0 if words.language == "ko" else 1] if texts else audit.code) if refused else ""
    what = " · ".join(text for text in (words.code("audit", audit.phase), operation, told) if text)
    if audit.phase == "after" and audit.code:
        what = f"{what} · {words.code('audit_end', audit.code)}"
    extra = words.text("security.suppressed", n=audit.suppressed) if audit.suppressed else ""
    detail = " · ".join(text for text in (audit.reason, audit.detail, extra) if text)
    who = " + ".join(name for name in (audit.officer, audit.approver) if name)
    mark = "critical" if refused else "warning" if bad else MARKS[kind]
    return SecurityLine(row.committed_at_us, kind, mark, audit.pole, what, who, detail)


def security_lines(
    events: Iterable[EventRow],
    damaged: Iterable[QuarantineRow],
    audits: Iterable[AuditRow],
    words: Catalogue,
    only: str,
    limit: int,
) -> list[SecurityLine]:
    """Return the newest lines of one kind, or of all when `only` is ""."""
    lines: Sequence[SecurityLine] = [
        *(security_line(event, words) for event in events),
        *(quarantine_line(row, words) for row in damaged),
        *(audit_line(row, words) for row in audits),
    ]
    chosen = [line for line in lines if only in ("", line.kind)]
    return sorted(chosen, key=lambda line: line.at_us, reverse=True)[:limit]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)
