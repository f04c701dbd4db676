"""A center in memory behind the link's ports: shipped for drills and tests, held to the same contract suite as tus.

Trouble is arranged by `cut_after` (bytes until the link breaks), `error` (what every call raises) and
`refusals` (what announcing one segment raises).
"""

import hashlib
from collections.abc import Callable, Sequence

from agent.contract.receipt import Receipt
from agent.contract.records import SegmentRecord, decode_record
from agent.contract.signed_note import NoteSigner
from agent.errors import LinkError
from agent.upload.link import DigestMismatchError, OffsetConflictError, RemoteUpload, UploadGoneError


class SimulatedLink:
    """`SegmentLink` and `RecordLink` without a network; `log` tells every call by name and segment."""

    def __init__(self, pole: str, signer: NoteSigner) -> None:
        self._pole = pole
        self._signer = signer
        self._announced: dict[str, tuple[str, int]] = {}
        self._arrived: dict[str, bytearray] = {}
        self.receipts: dict[str, str] = {}
        self.logs: dict[str, list[bytes]] = {}
        self.refusals: dict[str, LinkError] = {}
        self.error: LinkError | None = None
        self.cut_after: int | None = None
        self.log: list[tuple[str, str]] = []
        self.bytes_sent = 0

    @property
    def last_answer_age_s(self) -> float | None:
        """It answers always."""
        return 0.0

    def create(self, segment: str, sha256: str, length: int, record: bytes) -> RemoteUpload:
        """Announce a segment."""
        self._called("create", segment)
        if segment in self.refusals:
            raise self.refusals[segment]
        stated = decode_record(record)
        assert isinstance(stated, SegmentRecord) and stated.segment == segment, "the record must be the segment's"
        self._announced[segment] = (sha256, length)
        if segment in self.receipts:
            return RemoteUpload(f"/files/{segment}", length)
        return RemoteUpload(f"/files/{segment}", len(self._arrived.setdefault(segment, bytearray())))

    def append(self, upload: RemoteUpload, chunk: bytes, pulse: Callable[[], object]) -> RemoteUpload:
        """Send bytes; the link breaks where `cut_after` says, and then nothing of the chunk counts."""
        segment = upload.location.removeprefix("/files/")
        self._called("append", segment)
        if segment not in self._arrived:
            raise UploadGoneError(f"{segment} is not known")
        arrived = self._arrived[segment]
        if upload.offset != len(arrived):
            raise OffsetConflictError(f"{len(arrived)} bytes are here")
        self._send(chunk)
        pulse()
        arrived += chunk
        self._finish(segment)
        return RemoteUpload(upload.location, upload.offset + len(chunk))

    def terminate(self, upload: RemoteUpload) -> None:
        """Forget the bytes that arrived."""
        self._called("terminate", upload.location)
        self._arrived.pop(upload.location.removeprefix("/files/"), None)

    def receipt(self, segment: str) -> str | None:
        """Return the signed note."""
        self._called("receipt", segment)
        return self.receipts.get(segment)

    @property
    def records(self) -> list[bytes]:
        """The records of the newest log."""
        return next(reversed(self.logs.values())) if self.logs else []

    def send_records(self, first: int, records: Sequence[bytes], log: str) -> int:
        """Take the records of each log in order."""
        self._called("records", str(first))
        held = self.logs.setdefault(log, [])
        if first <= len(held):
            held[first:] = records
        return len(held)

    def _called(self, what: str, about: str) -> None:
        self.log.append((what, about))
        if self.error is not None:
            raise self.error

    def _send(self, chunk: bytes) -> None:
        if self.cut_after is not None and self.cut_after < len(chunk):
            self.bytes_sent += self.cut_after
            self.cut_after = None
            raise LinkError("the link was cut")
        self.bytes_sent += len(chunk)
        if self.cut_after is not None:
            self.cut_after -= len(chunk)

    def _finish(self, segment: str) -> None:
        sha256, length = self._announced[segment]
        arrived = self._arrived[segment]
        if len(arrived) < length:
            return
        if hashlib.sha256(arrived).hexdigest() != sha256:
            del self._arrived[segment]
            raise DigestMismatchError(f"the bytes of {segment} are not the announced ones")
        receipt = Receipt(self._pole, segment, sha256, length, 1_790_000_000_000_000)
        self.receipts.setdefault(segment, self._signer.sign(receipt.text()))
