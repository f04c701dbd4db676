"""Only the center's signature over exactly our segment is a receipt (agent.upload.receipts)."""

import pytest

from agent.contract.receipt import Receipt
from agent.contract.signed_note import NoteSigner
from agent.upload.receipts import ReceiptCheck, ReceiptInvalidError

CENTER = NoteSigner.generate("center.test")
SHA = "a" * 64
RECEIPT = Receipt("pole-1", "pole-1.front.20260921T141320Z.0000000000", SHA, 1234, 1_790_000_000_000_000)


def check(note: str) -> Receipt:
    return ReceiptCheck(CENTER.verifier_key, "pole-1").check(note, RECEIPT.segment, SHA, 1234)


def test_the_centers_receipt_for_this_segment_counts():
    assert check(CENTER.sign(RECEIPT.text())) == RECEIPT


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        (Receipt("pole-2", RECEIPT.segment, SHA, 1234, 1), "pole"),
        (Receipt("pole-1", "pole-1.front.20260921T141330Z.0000000001", SHA, 1234, 1), "segment"),
        (Receipt("pole-1", RECEIPT.segment, "b" * 64, 1234, 1), "sha256"),
        (Receipt("pole-1", RECEIPT.segment, SHA, 1233, 1), "bytes"),
    ],
)
def test_a_signed_receipt_for_anything_else_is_refused_and_says_what_differs(changed, named):
    with pytest.raises(ReceiptInvalidError, match=f"another {named}, the file is kept"):
        check(CENTER.sign(changed.text()))


def test_a_receipt_signed_by_somebody_else_is_refused():
    with pytest.raises(ReceiptInvalidError, match="does not verify"):
        check(NoteSigner.generate("center.test").sign(RECEIPT.text()))


@pytest.mark.parametrize("note", ["", "<html>ok</html>", RECEIPT.text()])
def test_what_is_no_signed_note_is_refused(note):
    with pytest.raises(ReceiptInvalidError):
        check(note)


def test_every_single_changed_character_is_refused():
    note = CENTER.sign(RECEIPT.text())
    for at in range(len(note)):
        other = "x" if note[at] != "x" else "y"
        with pytest.raises(ReceiptInvalidError):
            check(note[:at] + other + note[at + 1 :])
