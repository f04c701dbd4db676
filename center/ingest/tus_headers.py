"""The headers of tus 1.0.0, read strictly: what is not exactly right is refused, nothing is guessed.

Pure. `Upload-Metadata` is a list of `key base64`; keys are the three of the seams (`segment`, `sha256`, `record`),
each once. Others may stand beside them (a general tus client sends `filename`) and are ignored.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from center.ingest.problem import Refusal

VERSION = "1.0.0"
EXTENSIONS = "creation,creation-defer-length,checksum,termination"
ALGORITHMS = ("sha1", "sha256")
METADATA_BYTES = 32 * 1024
CHUNK_TYPE = "application/offset+octet-stream"

_NUMBER = re.compile(r"[0-9]{1,18}")
_KEY = re.compile(r"[!-+\--~]{1,64}")
_HEX = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Announcement:
    """What a creation announces. `length` is None when it is deferred."""

    segment: str
    sha256: str
    record: bytes
    length: int | None


@dataclass(frozen=True)
class Checksum:
    """The announced checksum of one chunk."""

    new: Callable[[], Any]
    digest: bytes


def parse_number(name: str, text: str | None) -> int:
    """Return a header's non-negative number.

    Raises:
        Refusal: absent or not a plain decimal number.
    """
    if text is None or not _NUMBER.fullmatch(text):
        raise Refusal("bad-request", f"{name} must be a decimal number of bytes")
    return int(text)


def parse_length(length: str | None, defer: str | None) -> int | None:
    """Return the announced length, or None when it is deferred; exactly one of both headers must be there."""
    if (length is None) == (defer is None):
        raise Refusal("bad-request", "exactly one of Upload-Length and Upload-Defer-Length must be given")
    if length is not None:
        return parse_number("Upload-Length", length)
    if defer != "1":
        raise Refusal("bad-request", "Upload-Defer-Length must be 1")
    return None


def parse_metadata(text: str | None) -> dict[str, bytes]:
    """Return the pairs of `Upload-Metadata`.

    Raises:
        Refusal: too long, a key twice, or not strict base64.
    """
    if text is None or not text:
        raise Refusal("bad-request", "Upload-Metadata must name segment, sha256 and record")
    if len(text) > METADATA_BYTES:
        raise Refusal("too-large", f"Upload-Metadata may have {METADATA_BYTES} characters")
    pairs: dict[str, bytes] = {}
    for item in text.split(","):
        key, _, value = item.strip(" ").partition(" ")
        if not _KEY.fullmatch(key) or key in pairs:
            raise Refusal("bad-request", f"Upload-Metadata has the key {key[:64]!r} twice or not as tus writes it")
        try:
            pairs[key] = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError) as exc:
            raise Refusal("bad-request", f"Upload-Metadata's {key} is not base64") from exc
    return pairs


def parse_announcement(metadata: str | None, length: str | None, defer: str | None) -> Announcement:
    """Return what a creation announces.

    Raises:
        Refusal: something is missing or malformed.
    """
    pairs = parse_metadata(metadata)
    missing = [key for key in ("segment", "sha256", "record") if key not in pairs]
    if missing:
        raise Refusal("bad-request", f"Upload-Metadata lacks {', '.join(missing)}")
    try:
        segment, sha256 = pairs["segment"].decode("ascii"), pairs["sha256"].decode("ascii")
    except UnicodeDecodeError as exc:
        raise Refusal("bad-request", "Upload-Metadata's segment and sha256 must be ASCII") from exc
    if not _HEX.fullmatch(sha256):
        raise Refusal("bad-request", "Upload-Metadata's sha256 must be 64 lower-case hexadecimal digits")
    return Announcement(segment, sha256, pairs["record"], parse_length(length, defer))


def parse_checksum(text: str | None) -> Checksum | None:
    """Return the announced checksum of a chunk, or None without one.

    Raises:
        Refusal: an algorithm that we do not announce, or not base64 of its length.
    """
    if text is None:
        return None
    name, _, value = text.partition(" ")
    if name not in ALGORITHMS:
        raise Refusal("bad-request", f"Upload-Checksum must use one of {', '.join(ALGORITHMS)}")
    new: Callable[[], Any] = hashlib.sha256 if name == "sha256" else _sha1
    try:
        digest = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise Refusal("bad-request", "Upload-Checksum is not base64") from exc
    if len(digest) != new().digest_size:
        raise Refusal("bad-request", f"Upload-Checksum has not the length of {name}")
    return Checksum(new, digest)


def _sha1() -> Any:
    return hashlib.sha1(usedforsecurity=False)
