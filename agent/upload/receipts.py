"""When a receipt counts: the center's signature, and exactly our segment (DESIGN decision 5).

Rule: a receipt must verify with the configured key and name this pole, this segment, its SHA-256 and its
length; anything else is `receipt-invalid` and the file stays.
"""

from typing import ClassVar

from agent.contract.receipt import Receipt, parse_receipt
from agent.contract.signed_note import NoteVerifier
from agent.errors import ContractError
from agent.upload.link import SegmentRefusedError


class ReceiptInvalidError(SegmentRefusedError):
    """A receipt does not verify or names something else; the segment is kept."""

    fault: ClassVar[str] = "receipt-invalid"


class ReceiptCheck:
    """Checks receipts of one pole against the center's key."""

    def __init__(self, verifier_key: str, pole: str) -> None:
        self._verifier = NoteVerifier(verifier_key)
        self._pole = pole

    def check(self, note: str, segment: str, sha256: str, length: int) -> Receipt:
        """Return the receipt that the note carries.

        Raises:
            ReceiptInvalidError: not signed by the center's key, or not for exactly this segment.
        """
        try:
            receipt = parse_receipt(self._verifier.open(note))
        except ContractError as exc:
            raise ReceiptInvalidError(f"receipt for {segment} does not verify, the file is kept: {exc}") from exc
        expected = {"pole": self._pole, "segment": segment, "sha256": sha256, "bytes": length}
        wrong = [name for name, value in expected.items() if getattr(receipt, name) != value]
        if wrong:
            raise ReceiptInvalidError(f"receipt for {segment} names another {' and '.join(wrong)}, the file is kept")
        return receipt
