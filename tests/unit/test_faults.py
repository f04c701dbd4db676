"""Every fault code in the source stands in the catalogue, and none in the catalogue is without use for long."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.contract.faults import FAULTS

ROOT = Path(__file__).parents[2]
CATALOGUE = ROOT / "agent" / "contract" / "faults.py"
SOURCES = [path for package in ("agent", "center") for path in (ROOT / package).rglob("*.py") if path != CATALOGUE]
# Codes the design names and no code reports yet; take a line out when its reporter lands.
NOT_YET: set[str] = set()


def reported(tree: ast.AST) -> Iterator[str]:
    """Yield the literal codes given to report, clear, Verdict and Fault, and every `fault: ClassVar[str]`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            values = [node.args[0]] if name in ("report", "clear", "Verdict") and node.args else []
            values += [word.value for word in node.keywords if name in ("Fault", "Verdict") and word.arg == "code"]
            yield from (v.value for v in values if isinstance(v, ast.Constant) and isinstance(v.value, str))
        named_fault = isinstance(node, ast.AnnAssign) and getattr(node.target, "id", "") == "fault"
        if named_fault and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.value.value


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_reported_code_is_in_the_catalogue(path):
    codes = {code for code in reported(ast.parse(path.read_text(encoding="utf-8"))) if code}
    assert codes <= FAULTS.keys()


def test_every_code_of_the_catalogue_is_used_somewhere():
    literals: set[str] = set()
    for path in SOURCES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        literals |= {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    unused = FAULTS.keys() - literals
    assert unused == NOT_YET


def test_a_code_stands_under_its_own_name_and_is_plain():
    for code, fault in FAULTS.items():
        assert code == fault.code
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", code)


@pytest.mark.parametrize("fault", FAULTS.values(), ids=lambda fault: fault.code)
def test_a_fault_says_what_is_wrong_and_what_to_do_in_both_languages(fault):
    hangul = re.compile("[가-힣]")
    for korean, english in ((fault.text_ko, fault.text_en), (fault.next_step_ko, fault.next_step_en)):
        assert hangul.search(korean)
        assert english and not hangul.search(english)
        assert "\n" not in korean + english and "|" not in korean + english
