"""The port between the uploader and the center: what may be asked, what may be refused.

    LinkError                            the center cannot be reached, or is not able to answer now
    ├── OffsetConflictError              our offset is not the server's; ask for it again
    ├── UploadGoneError                  the server no longer knows this upload; create it again
    ├── CenterFullError                  the center's store has no room; nothing is lost, we wait
    ├── CenterFailedError                it answered, and could not do it: the records' failure is not the segments'
    └── LinkRefusedError                 it was reached and refused the pole: the fault concerns every segment
        └── SegmentRefusedError          it refused this one segment: the others go on
            ├── UnknownRecipientError    no key at the center opens it
            └── DigestMismatchError      the bytes that arrived are not the ones announced

Rule: only a verified receipt means "uploaded"; every answer that is not one, 401 and 403 first, keeps the file.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from agent.errors import LinkError, LinkRefusedError


class OffsetConflictError(LinkError):
    """The server holds another number of bytes than we believed (409)."""


class UploadGoneError(LinkError):
    """The server does not know the upload any more (404, 410)."""


class CenterFullError(LinkError):
    """The center's store is full (507)."""

    fault: ClassVar[str] = "center-store-full"


class CenterFailedError(LinkError):
    """The center answered with an error of its own (5xx), or one that we do not know."""


class SegmentRefusedError(LinkRefusedError):
    """The center refused one segment for its own sake; it is set aside, the others go on."""


class UnknownRecipientError(SegmentRefusedError):
    """The center holds no key for the recipient that the segment is sealed to."""

    fault: ClassVar[str] = "recipient-unknown"


class DigestMismatchError(SegmentRefusedError):
    """The bytes that arrived do not have the announced SHA-256."""


@dataclass(frozen=True)
class RemoteUpload:
    """An upload as the center knows it: where it is and how many bytes are durable there."""

    location: str
    offset: int


class SegmentLink(Protocol):
    """How a segment reaches the center. Every method raises `LinkError` or one of its kinds."""

    def create(self, segment: str, sha256: str, length: int, record: bytes) -> RemoteUpload:
        """Announce a segment; announcing it again finds the bytes that already arrived."""
        ...

    def append(self, upload: RemoteUpload, chunk: bytes, pulse: Callable[[], object]) -> RemoteUpload:
        """Send the bytes after `upload.offset`; return once they are durable. `pulse` is called as bytes leave."""
        ...

    def terminate(self, upload: RemoteUpload) -> None:
        """Let the center forget the bytes that arrived."""
        ...

    def receipt(self, segment: str) -> str | None:
        """Return the signed note for the segment, or None when the center does not hold it."""
        ...


class RecordLink(Protocol):
    """How records reach the center."""

    def send_records(self, first: int, records: Sequence[bytes], log: str) -> int:
        """Send canonical records from index `first` of `log` on; return the next index of it that the center wants."""
        ...
