"""The recipients file: to whom segments are sealed (DESIGN decision 3: no valid recipient, no recording).

Rules:
* one recipient a line (`age1...`), `#` begins a comment; the first valid one is used, the next are fallbacks;
* a line that is no recipient is passed over and said (`RecipientChoice.passed_over`), never used in part;
* the file is read anew for each segment, so a rotation needs no restart;
* missing, unreadable, empty or without a valid line: `NoRecipientError`. There is no weaker mode.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from agent.contract.age_format import Recipient, parse_recipient, recipient_id
from agent.contract.errors import SealError
from agent.errors import NoRecipientError

MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class RecipientChoice:
    """The recipient for the next segment; `passed_over` says why lines before it were not used (empty: none)."""

    recipient: Recipient
    id: str
    passed_over: tuple[str, ...] = ()

    @property
    def is_fallback(self) -> bool:
        """Whether the file's first recipient could not be used."""
        return bool(self.passed_over)


def choose_recipient(lines: Iterable[str]) -> RecipientChoice | None:
    """Return the first valid recipient of a file's lines, or None."""
    passed_over: list[str] = []
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        try:
            return RecipientChoice(parse_recipient(text), recipient_id(text), tuple(passed_over))
        except SealError as error:
            passed_over.append(f"line {number}: {error}")
    return None


class RecipientsFile:
    """The file at `path`; read anew at each call."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def choose(self) -> RecipientChoice:
        """Return the recipient for the next segment.

        Raises:
            NoRecipientError: the file is missing, unreadable or holds no valid recipient.
        """
        try:
            with self._path.open("rb") as file:
                text = file.read(MAX_BYTES).decode("utf-8", "replace")
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise NoRecipientError(f"recipients file {self._path} cannot be read: {reason}; install it") from error
        choice = choose_recipient(text.splitlines())
        if choice is None:
            raise NoRecipientError(f"recipients file {self._path} holds no valid recipient; install a fresh one")
        return choice
