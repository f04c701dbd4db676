"""No valid recipient, no recording; a fallback is used and said."""

from pathlib import Path

import pytest

from agent.contract.age_format import generate_identity, recipient_id
from agent.errors import NoRecipientError
from agent.recording.recipients import RecipientsFile, choose_recipient

_, FIRST = generate_identity()
_, SECOND = generate_identity()


def test_the_first_recipient_is_used_and_the_rest_are_fallbacks() -> None:
    choice = choose_recipient(["# zone 3", "", f"{FIRST}  # 2026-11-20", SECOND])
    assert choice is not None
    assert (choice.id, choice.is_fallback) == (recipient_id(FIRST), False)


@pytest.mark.parametrize(
    "bad",
    ["age1qqqq", "ssh-ed25519 AAAA", FIRST[:-1], "AGE-SECRET-KEY-1XYZ", "\x00\x01"],
    ids=["short", "ssh", "cut", "secret", "binary"],
)
def test_an_unusable_line_is_passed_over_and_said(bad: str) -> None:
    choice = choose_recipient([bad, SECOND])
    assert choice is not None
    assert choice.id == recipient_id(SECOND)
    assert choice.is_fallback
    assert choice.passed_over[0].startswith("line 1: ")


@pytest.mark.parametrize("text", ["", "# only a comment\n", "nonsense\n", "\n\n"])
def test_a_file_without_a_valid_recipient_refuses(tmp_path: Path, text: str) -> None:
    path = tmp_path / "recipients"
    path.write_text(text)
    with pytest.raises(NoRecipientError, match="install a fresh one"):
        RecipientsFile(path).choose()


def test_a_missing_file_refuses(tmp_path: Path) -> None:
    with pytest.raises(NoRecipientError, match="cannot be read"):
        RecipientsFile(tmp_path / "absent").choose()


def test_a_file_that_is_no_text_refuses(tmp_path: Path) -> None:
    path = tmp_path / "recipients"
    path.write_bytes(bytes(range(256)) * 10)
    with pytest.raises(NoRecipientError):
        RecipientsFile(path).choose()


def test_a_rotation_needs_no_restart(tmp_path: Path) -> None:
    path = tmp_path / "recipients"
    path.write_text(FIRST)
    recipients = RecipientsFile(path)
    assert recipients.choose().id == recipient_id(FIRST)
    path.write_text(SECOND)
    assert recipients.choose().id == recipient_id(SECOND)
