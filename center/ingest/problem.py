"""Refusals of ingest as `application/problem+json` (RFC 9457), each with a `code` that the pole maps to a fault.

Every code stands in `docs/contract/ingest.openapi.json`; a test compares both.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from starlette.responses import JSONResponse

CODES: Mapping[str, tuple[int, str]] = {
    "bad-request": (400, "the request does not follow docs/contract/ingest.openapi.json"),
    "record-invalid": (400, "the segment's record does not follow the contract"),
    "unknown-pole": (403, "the certificate is not a pole's"),
    "certificate-revoked": (403, "the certificate was revoked"),
    "not-your-pole": (403, "the segment belongs to another pole"),
    "no-such-upload": (404, "no upload of this name is known"),
    "no-receipt": (404, "the center does not hold this segment"),
    "unknown-recipient": (409, "no key at the center opens this segment"),
    "digest-mismatch": (409, "the bytes that arrived are not the ones announced"),
    "segment-conflict": (409, "another content is stored under this segment's name"),
    "record-conflict": (409, "another record is stored at this index; a pole's history is never rewritten"),
    "offset-conflict": (409, "the offset is not the one that the center holds"),
    "not-age": (409, "the file is not sealed"),
    "tus-version": (412, "Tus-Resumable must be 1.0.0"),
    "too-large": (413, "the body or the upload is too large"),
    "wrong-type": (415, "the body must be application/offset+octet-stream"),
    "locked": (423, "another request is writing this upload"),
    "too-slow": (408, "the body did not arrive in time"),
    "checksum-mismatch": (460, "the chunk does not have the announced checksum; it was discarded"),
    "store-failed": (503, "the center cannot write just now"),
    "store-full": (507, "the center's store is full"),
}


@dataclass
class Refusal(Exception):
    """A request is refused; `detail` says what to do about it, without secrets."""

    code: str
    detail: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    def response(self) -> JSONResponse:
        """Return the refusal as an answer."""
        status, title = CODES[self.code]
        body = {
            "type": f"urn:pole-agent:ingest:{self.code}",
            "title": title,
            "status": status,
            "detail": self.detail or title,
            "code": self.code,
        }
        return JSONResponse(body, status, dict(self.headers), media_type="application/problem+json")
