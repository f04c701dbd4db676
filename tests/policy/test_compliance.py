"""docs/compliance.md names requirements and tests; a name that is not there would be a promise without proof."""

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "compliance.md"
REQUIREMENTS = [
    "R-AUDIO",
    "R-VOICE",
    "R-AIM",
    "R-PURPOSE",
    "R-CRYPT",
    "R-NET",
    "R-STORE",
    "R-INTEGRITY",
    "R-RETAIN",
    "R-ERASE",
    "R-BELL",
    "R-LIVE",
    "R-INSPECT",
    "R-MAINT",
    "R-ACCESS",
    "R-LEDGER",
    "R-INTEROP",
    "R-QUALITY",
    "R-DETECT",
    "R-SIGN",
]


def rows() -> list[list[str]]:
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| R-")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_requirement_on_a_pole_has_its_row() -> None:
    assert [row[0] for row in rows()] == REQUIREMENTS


def test_every_row_is_proven_by_a_test_or_says_what_is_not_there_yet() -> None:
    assert [row[0] for row in rows() if not row[3] and not row[4]] == []


def test_every_test_that_the_page_names_exists() -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in TESTS.rglob("test_*.py"))
    named = re.findall(r"`(test_[a-z0-9_]+)`", "".join(row[3] for row in rows()))
    assert len(named) > 30
    assert [name for name in named if f"def {name}(" not in source] == []
