"""Asks an RTSP server what it offers, before libav opens it: DESCRIBE only, nothing is set up (RFC 2326, 7826).

Rules:
* the answer tells whether the camera offers sound, although no sound track is ever set up (R-AUDIO);
* its failures are our own words: the address's user, password, path and query are in no error text (some cameras
  carry the password in the path);
* authentication: Digest (MD5, SHA-256; RFC 7616) before Basic, only after the server asked.
"""

import base64
import contextlib
import hashlib
import re
import secrets
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from agent.errors import SourceError

_DEFAULT_PORT = 554
_MAX_ANSWER = 1 << 18


@dataclass(frozen=True)
class RtspAddress:
    """A camera's address, taken apart. `name` is what may be shown; `url` has no credentials."""

    host: str
    port: int
    url: str
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    @property
    def name(self) -> str:
        """Return what may be shown of the address: host and port."""
        return f"camera rtsp://{self.host}:{self.port}"


def parse_address(address: str) -> RtspAddress:
    """Take `rtsp://[user:password@]host[:port]/path` apart.

    Raises:
        SourceError: not such an address; does not repeat it.
    """
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port or _DEFAULT_PORT
    except ValueError:
        parts, host, port = urlsplit(""), None, _DEFAULT_PORT
    if parts.scheme != "rtsp" or not host:
        raise SourceError("the camera's address is not rtsp://host[:port]/path; correct it in the configuration")
    location = f"[{host}]" if ":" in host else host
    url = f"rtsp://{location}:{port}{parts.path}" + (f"?{parts.query}" if parts.query else "")
    return RtspAddress(host, port, url, unquote(parts.username or ""), unquote(parts.password or ""))


def offers_sound(sdp: str) -> bool:
    """Return whether a session description has a media section of sound."""
    return any(line.strip().lower().startswith("m=audio") for line in sdp.splitlines())


@contextlib.contextmanager
def described(address: RtspAddress, timeout_s: float) -> Iterator[str]:
    """Give the session description of the camera's stream; the connection stays open until the block ends.

    A server that shares one pipeline (gst-rtsp-server) tears it down with the last connection and answers 503 to
    who comes meanwhile: libav opens inside the block.

    Raises:
        SourceError: unreachable, silent, refused, no such stream, or no RTSP server; says which.
    """
    link, sdp = _describe(address, timeout_s)
    with link:
        yield sdp


def _describe(address: RtspAddress, timeout_s: float) -> tuple[socket.socket, str]:
    deadline_s = time.monotonic() + timeout_s
    with contextlib.ExitStack() as cleanup:
        try:
            link = cleanup.enter_context(socket.create_connection((address.host, address.port), timeout_s))
            sdp = _ask(link, address, deadline_s)
        except SourceError:
            raise
        except OSError as exc:
            raise SourceError(f"{address.name} {_link_failure(exc, timeout_s)}") from exc
        cleanup.pop_all()
        return link, sdp


def _link_failure(exc: OSError, timeout_s: float) -> str:
    if isinstance(exc, ConnectionRefusedError):
        return "refused the connection; check power, address and port"
    if isinstance(exc, TimeoutError):
        return f"did not answer within {timeout_s:g} s; check power and cable"
    if isinstance(exc, socket.gaierror):
        return "has a host name that is not known; check the address"
    return f"cannot be reached: {(exc.strerror or 'broken link').lower()}; check the cable and the network"


def _ask(link: socket.socket, address: RtspAddress, deadline_s: float) -> str:
    status, headers, body = _exchange(link, address, 1, None, deadline_s)
    if status == 401 and address.user:
        authorization = answer_challenge(headers.get("www-authenticate", []), address, "DESCRIBE")
        status, headers, body = _exchange(link, address, 2, authorization, deadline_s)
    if status == 200:
        return body
    raise SourceError(f"{address.name} {_refusal(status)}")


def _refusal(status: int) -> str:
    if status in (401, 403):
        return "refused the credentials; check user and password"
    if status == 404:
        return "has no stream of that path; check the address"
    return f"answered {status} instead of describing its stream; check the camera's own page"


def _exchange(
    link: socket.socket, address: RtspAddress, sequence: int, authorization: str | None, deadline_s: float
) -> tuple[int, dict[str, list[str]], str]:
    lines = [
        f"DESCRIBE {address.url} RTSP/1.0",
        f"CSeq: {sequence}",
        "Accept: application/sdp",
        "User-Agent: pole-agent",
    ]
    if authorization:
        lines.append(f"Authorization: {authorization}")
    link.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += _receive(link, address, deadline_s, len(answer))
    head, body = answer.split(b"\r\n\r\n", 1)
    status, headers = _parse_head(head.decode(errors="replace"), address)
    wanted = int((headers.get("content-length") or ["0"])[0]) if _digits(headers) else 0
    while len(body) < wanted:
        body += _receive(link, address, deadline_s, len(body))
    return status, headers, body.decode(errors="replace")


def _digits(headers: dict[str, list[str]]) -> bool:
    return (headers.get("content-length") or [""])[0].isdigit()


def _receive(link: socket.socket, address: RtspAddress, deadline_s: float, so_far: int) -> bytes:
    left_s = deadline_s - time.monotonic()
    if left_s <= 0:
        raise TimeoutError
    link.settimeout(left_s)
    data = link.recv(65536)
    if not data or so_far > _MAX_ANSWER:
        raise SourceError(f"{address.name} does not answer as an rtsp server does; check the port")
    return data


def _parse_head(head: str, address: RtspAddress) -> tuple[int, dict[str, list[str]]]:
    first, *rest = head.split("\r\n")
    matched = re.match(r"RTSP/\d\.\d (\d{3})", first)
    if matched is None:
        raise SourceError(f"{address.name} does not answer as an rtsp server does; check the port")
    headers: dict[str, list[str]] = {}
    for line in rest:
        key, _, value = line.partition(":")
        headers.setdefault(key.strip().lower(), []).append(value.strip())
    return int(matched.group(1)), headers


def answer_challenge(challenges: list[str], address: RtspAddress, method: str) -> str | None:
    """Return the Authorization header for a server's WWW-Authenticate headers, or None when we know none of them."""
    for challenge in challenges:
        if challenge.lower().startswith("digest "):
            answer = _digest(challenge[7:], address, method)
            if answer:
                return answer
    if any(challenge.lower().startswith("basic") for challenge in challenges):
        return "Basic " + base64.b64encode(f"{address.user}:{address.password}".encode()).decode()
    return None


def _digest(challenge: str, address: RtspAddress, method: str) -> str | None:
    found = re.findall(r'(\w+)=(?:"([^"]*)"|([^\s,]+))', challenge)
    given = {key.lower(): quoted or plain for key, quoted, plain in found}
    algorithm = given.get("algorithm", "MD5").upper()
    if algorithm not in ("MD5", "SHA-256") or "nonce" not in given:
        return None

    def hashed(text: str) -> str:
        # MD5 is what cameras ask for; it guards a password on the camera's own cable, nothing of ours.
        name = algorithm.lower().replace("-", "")
        return hashlib.new(name, text.encode(), usedforsecurity=False).hexdigest()

    realm, nonce = given.get("realm", ""), given["nonce"]
    secret, action = hashed(f"{address.user}:{realm}:{address.password}"), hashed(f"{method}:{address.url}")
    fields = {"username": address.user, "realm": realm, "nonce": nonce, "uri": address.url}
    if "auth" in given.get("qop", "").split(","):
        cnonce = secrets.token_hex(8)
        fields["response"] = hashed(f"{secret}:{nonce}:00000001:{cnonce}:auth:{action}")
        extra = f', qop=auth, nc=00000001, cnonce="{cnonce}"'
    else:
        fields["response"] = hashed(f"{secret}:{nonce}:{action}")
        extra = ""
    if "opaque" in given:
        fields["opaque"] = given["opaque"]
    if "algorithm" in given:
        extra += f", algorithm={algorithm}"
    return "Digest " + ", ".join(f'{key}="{value}"' for key, value in fields.items()) + extra
