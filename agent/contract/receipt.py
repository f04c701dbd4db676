"""The receipt: the center's signed word that it durably holds a sealed file. Only then may a pole delete its copy.

Six lines, each ending in a newline, then the signature block of `agent.contract.signed_note`:

    pole-agent/receipt/v1
    <pole>
    <segment>
    sha256:<64 lower-case hexadecimal digits of the sealed file>
    <bytes of the sealed file>
    <stored_at_us, UTC microseconds>

Rules: exactly these lines; numbers without sign or leading zero; one receipt has one text.
"""

import re
from dataclasses import dataclass

from agent.contract.errors import ContractError

MAGIC = "pole-agent/receipt/v1"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,17}")


@dataclass(frozen=True)
class Receipt:
    """What the center states: it holds `bytes` bytes with this digest since `stored_at_us` (UTC microseconds).

    Raises:
        ContractError: a field cannot stand in a receipt.
    """

    pole: str
    segment: str
    sha256: str
    bytes: int
    stored_at_us: int

    def __post_init__(self) -> None:
        _check("pole", self.pole, _NAME)
        _check("segment", self.segment, _NAME)
        _check("sha256", self.sha256, _SHA256)
        _check("bytes", str(self.bytes), _NUMBER)
        _check("stored_at_us", str(self.stored_at_us), _NUMBER)

    def text(self) -> str:
        """Return the text that is signed."""
        lines = (MAGIC, self.pole, self.segment, f"sha256:{self.sha256}", str(self.bytes), str(self.stored_at_us))
        return "".join(f"{line}\n" for line in lines)


def parse_receipt(text: str) -> Receipt:
    """Read the text of a verified note as a receipt.

    Raises:
        ContractError: another magic or version, or a line is missing, malformed or too many.
    """
    lines = text.split("\n")
    if lines[0] != MAGIC:
        raise ContractError(f"note is no {MAGIC}: its first line is {lines[0][:40]!r}")
    if len(lines) != 7 or lines[6] or not lines[3].startswith("sha256:"):
        raise ContractError("receipt does not have its six lines")
    for name, line in (("bytes", lines[4]), ("stored_at_us", lines[5])):
        _check(name, line, _NUMBER)
    return Receipt(lines[1], lines[2], lines[3].removeprefix("sha256:"), int(lines[4]), int(lines[5]))


def _check(name: str, value: str, pattern: re.Pattern[str]) -> None:
    if pattern.fullmatch(value) is None:
        raise ContractError(f"receipt has a malformed {name}: {value[:80]!r}")
