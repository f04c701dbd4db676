"""Every row of the failure tables in docs/design/bell.md names a test that exists."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "design" / "bell.md"
KNOWN = {
    name
    for path in TESTS.rglob("test_*.py")
    for name in re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
}


def rows():
    """Return (what fails, the cell that names tests) of each table whose last column is `test`."""
    found, inside = [], False
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            inside = False
        elif cells[-1] == "test":
            inside = True
        elif inside and set(cells[0]) != {"-"}:
            found.append((cells[0], cells[-1]))
    return found


def test_there_are_failures_to_read():
    assert len(rows()) >= 35


@pytest.mark.parametrize(("failure", "cell"), rows(), ids=[failure for failure, _ in rows()])
def test_each_failure_names_a_test_that_exists(failure, cell):
    names = re.findall(r"`(test_\w+)`", cell)
    assert names, f"{failure}: names no test"
    assert set(names) <= KNOWN
