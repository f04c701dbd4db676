"""The dedicated link to the center's ingest: tus 1.0.0 over HTTPS with the pole's certificate (DESIGN decision 7).

Rules:
* TLS 1.3 only, the center's CA only, our certificate always; no proxy, no environment, no redirect;
* the certificate files are read again for every new connection and as soon as one of them changes, so that a
  renewal needs no restart;
* every call has time limits; whatever goes wrong leaves as `LinkError` or one of its kinds (`agent.upload.link`);
* 401 and 403 are refusals of the pole, never an "uploaded".
"""

import base64
import hashlib
import json
import logging
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx

from agent.clock import Clock
from agent.config import CenterConfig
from agent.errors import LinkError, LinkRefusedError
from agent.upload.link import (
    CenterFailedError,
    CenterFullError,
    DigestMismatchError,
    OffsetConflictError,
    RemoteUpload,
    SegmentRefusedError,
    UnknownRecipientError,
    UploadGoneError,
)

log = logging.getLogger(__name__)

TUS = "1.0.0"
PIECE_BYTES = 64 * 1024
ANSWER_BYTES = 256 * 1024
TIMEOUT = httpx.Timeout(connect=10.0, read=30.0, write=30.0, pool=5.0)
SECOND_US = 1_000_000

_BY_CODE: Mapping[str, type[LinkError]] = {
    "unknown-recipient": UnknownRecipientError,
    "digest-mismatch": DigestMismatchError,
    "bad-request": SegmentRefusedError,
    "record-invalid": SegmentRefusedError,
    "segment-conflict": SegmentRefusedError,
    "not-age": SegmentRefusedError,
    "too-large": SegmentRefusedError,
    "record-conflict": SegmentRefusedError,
    "not-your-pole": SegmentRefusedError,
    "certificate-revoked": LinkRefusedError,
    "unknown-pole": LinkRefusedError,
    "store-full": CenterFullError,
    "offset-conflict": OffsetConflictError,
    "no-such-upload": UploadGoneError,
}
_BY_STATUS: Mapping[int, type[LinkError]] = {
    400: SegmentRefusedError,
    401: LinkRefusedError,
    403: LinkRefusedError,
    404: UploadGoneError,
    409: OffsetConflictError,
    410: UploadGoneError,
    413: SegmentRefusedError,
    507: CenterFullError,
}


@dataclass(frozen=True)
class Answer:
    """One answer of the center: status, headers, and a body of at most `ANSWER_BYTES`."""

    status: int
    headers: httpx.Headers
    body: bytes


class TusLink:
    """`SegmentLink` and `RecordLink` over httpx; used by one thread, its counters may be read by others."""

    def __init__(self, center: CenterConfig, clock: Clock) -> None:
        self._center = center
        self._clock = clock
        self._client: httpx.Client | None = None
        self._files_seen: tuple[tuple[int, int, int], ...] = ()
        self._answered_mono_s: float | None = None
        self._center_time: tuple[int, float] | None = None
        self.bytes_sent = 0

    @property
    def last_answer_age_s(self) -> float | None:
        """Seconds since the center last answered anything, or None when it never did."""
        answered = self._answered_mono_s
        return None if answered is None else self._clock.mono_s() - answered

    def center_utc_us(self) -> int | None:
        """Return what the center's last authenticated answer says of now (1 s coarse), or None."""
        if self._center_time is None:
            return None
        said_us, at_mono_s = self._center_time
        return said_us + round((self._clock.mono_s() - at_mono_s) * SECOND_US)

    def create(self, segment: str, sha256: str, length: int, record: bytes) -> RemoteUpload:
        """Announce a segment (tus creation); an announced one is found again with the bytes that arrived."""
        metadata = ",".join(
            f"{key} {base64.b64encode(value).decode()}"
            for key, value in (("segment", segment.encode()), ("sha256", sha256.encode()), ("record", record))
        )
        answer = self._ask("POST", "/files", {"Upload-Length": str(length), "Upload-Metadata": metadata})
        location = _path(answer.headers.get("Location", ""))
        if not location.startswith("/files/"):
            raise LinkError(f"the center's answer to {segment} names no place below /files, check its version")
        if "Upload-Offset" in answer.headers:
            return RemoteUpload(location, _offset(answer))
        return RemoteUpload(location, self.offset(location))

    def offset(self, location: str) -> int:
        """Return how many bytes of the upload are durable at the center."""
        return _offset(self._ask("HEAD", location))

    def append(self, upload: RemoteUpload, chunk: bytes, pulse: Callable[[], object]) -> RemoteUpload:
        """Send one chunk with its SHA-256; it counts only when the center's new offset says so."""
        checksum = base64.b64encode(hashlib.sha256(chunk).digest()).decode()
        headers = {
            "Upload-Offset": str(upload.offset),
            "Upload-Checksum": f"sha256 {checksum}",
            "Content-Type": "application/offset+octet-stream",
            "Content-Length": str(len(chunk)),
        }
        offset = _offset(self._ask("PATCH", upload.location, headers, self._pieces(chunk, pulse)))
        if offset != upload.offset + len(chunk):
            raise OffsetConflictError(f"the center holds {offset} bytes where {upload.offset + len(chunk)} were sent")
        return RemoteUpload(upload.location, offset)

    def terminate(self, upload: RemoteUpload) -> None:
        """Let the center forget the upload; one that it does not know is as good."""
        with suppress(UploadGoneError):
            self._ask("DELETE", upload.location)

    def receipt(self, segment: str) -> str | None:
        """Return the center's signed note for the segment, or None when it does not hold it."""
        try:
            answer = self._ask("GET", f"/receipts/{segment}")
        except UploadGoneError:
            return None
        try:
            return answer.body.decode()
        except UnicodeDecodeError as exc:
            raise LinkError(f"the center's receipt for {segment} is not text, check its version") from exc

    def send_records(self, first: int, records: Sequence[bytes], log: str) -> int:
        """Send records from index `first` on; return the next index the center wants (it may be lower or higher).

        `log` is the spool's log id; "" (a spool older than log ids) is not sent, so that it stays the log it was.
        """
        batch = {"first": first, "records": [record.decode() for record in records], **({"log": log} if log else {})}
        body = json.dumps(batch).encode()
        answer = self._ask("POST", "/records", {"Content-Type": "application/json"}, body)
        with suppress(ValueError, TypeError, KeyError):
            following = json.loads(answer.body)["next"]
            if isinstance(following, int) and following >= 0:
                return following
        raise LinkError("the center's answer to our records is not readable, check its version")

    def close(self) -> None:
        """Drop the connection; the next call makes a new one and reads the certificates again."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _pieces(self, chunk: bytes, pulse: Callable[[], object]) -> Iterator[bytes]:
        view = memoryview(chunk)
        for start in range(0, len(chunk), PIECE_BYTES):
            piece = bytes(view[start : start + PIECE_BYTES])
            yield piece
            self.bytes_sent += len(piece)
            pulse()

    def _ask(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, content: bytes | Iterator[bytes] = b""
    ) -> Answer:
        """Ask once and return a 2xx answer.

        Raises:
            LinkError: no answer, or an answer that is an error; its kind says which.
        """
        client = self._connected()
        try:
            with client.stream(method, path, headers={"Tus-Resumable": TUS, **(headers or {})}, content=content) as got:
                answer = Answer(got.status_code, got.headers, _bounded_body(got))
        except httpx.HTTPError as exc:
            self.close()
            raise _link_error(exc, self._center) from exc
        self._note_answer(answer)
        if not 200 <= answer.status < 300:
            if answer.headers.get("Connection", "").lower() == "close":
                self.close()
            raise _refusal(method, path, answer)
        return answer

    def _note_answer(self, answer: Answer) -> None:
        self._answered_mono_s = self._clock.mono_s()
        with suppress(ValueError, TypeError):
            said = parsedate_to_datetime(answer.headers.get("Date", ""))
            self._center_time = (round(said.timestamp()) * SECOND_US, self._answered_mono_s)

    def _connected(self) -> httpx.Client:
        files = (self._center.ca_file, self._center.cert_file, self._center.key_file)
        seen = tuple(_identity(path) for path in files)
        if self._client is not None and seen != self._files_seen:
            log.info("certificate files changed, connecting anew")
            self.close()
        if self._client is None:
            self._client = httpx.Client(
                base_url=self._center.ingest_url,
                verify=_tls(self._center),
                trust_env=False,
                follow_redirects=False,
                timeout=TIMEOUT,
                limits=httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=60.0),
            )
            self._files_seen = seen
        return self._client


def _tls(center: CenterConfig) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_verify_locations(cafile=center.ca_file)
    except (OSError, ssl.SSLError) as exc:
        raise LinkRefusedError(f"the center's CA file {center.ca_file} cannot be read, install it again") from exc
    try:
        context.load_cert_chain(center.cert_file, center.key_file)
    except (OSError, ssl.SSLError) as exc:
        text = f"the pole's certificate {center.cert_file} and key {center.key_file} cannot be read or do not match"
        raise LinkRefusedError(f"{text}, install both again") from exc
    return context


def _identity(path: Path) -> tuple[int, int, int]:
    try:
        stat = path.stat()
    except OSError:
        return (0, 0, 0)
    return (stat.st_ino, stat.st_mtime_ns, stat.st_size)


def _bounded_body(response: httpx.Response) -> bytes:
    body = bytearray()
    for piece in response.iter_raw(PIECE_BYTES):
        body += piece
        if len(body) > ANSWER_BYTES:
            raise httpx.RemoteProtocolError("the answer is too long", request=response.request)
    return bytes(body)


def _path(url: str) -> str:
    try:
        return httpx.URL(url).path
    except httpx.InvalidURL:
        return ""


def _offset(answer: Answer) -> int:
    text = answer.headers.get("Upload-Offset", "")
    if not (text.isascii() and text.isdigit()):
        raise LinkError("the center's answer carries no Upload-Offset, check its version")
    return int(text)


def _tls_cause(error: BaseException) -> ssl.SSLError | None:
    """Return the TLS error below `error`, if there is one: httpx and httpcore each wrap it once."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLError) and not isinstance(seen, ssl.SSLEOFError):
            return seen
        seen = seen.__cause__ or seen.__context__
    return None


def _link_error(error: httpx.HTTPError, center: CenterConfig) -> LinkError:
    cause = _tls_cause(error)
    url = center.ingest_url
    if isinstance(cause, ssl.SSLCertVerificationError):
        text = f"the center at {url} shows a certificate that {center.ca_file} does not vouch for"
        return LinkRefusedError(f"{text} ({cause.verify_message.lower()}), check ca_file and ingest_url")
    if cause is not None and "ALERT" in (cause.reason or ""):
        reason = (cause.reason or "").split("ALERT_")[-1].replace("_", " ").lower()
        return LinkRefusedError(f"the center at {url} refuses the pole's certificate ({reason}), have it renewed")
    if isinstance(error, httpx.TimeoutException):
        return LinkError(f"the center at {url} does not answer in time, check the dedicated link")
    if isinstance(error, httpx.ConnectError):
        return LinkError(f"the center at {url} cannot be reached, check the dedicated link ({error})")
    return LinkError(f"the connection to the center at {url} broke, it is tried again ({error})")


def _refusal(method: str, path: str, answer: Answer) -> LinkError:
    """Return the typed error for an answer outside 2xx: by the problem's code, else by its status."""
    problem: dict[str, Any] = {}
    with suppress(ValueError):
        read = json.loads(answer.body)
        problem = read if isinstance(read, dict) else {}
    kind = _BY_CODE.get(str(problem.get("code", "")), _BY_STATUS.get(answer.status, CenterFailedError))
    said = str(problem.get("detail") or problem.get("title") or "no reason given")[:300]
    return kind(f"the center answered {answer.status} to {method} {path}: {said}")
