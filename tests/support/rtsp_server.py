"""A real RTSP camera on loopback: gst-rtsp-server in a child process run by the system's Python (it has gi).

`RtspServer(...)` is a context manager with `.url`; `freeze` (SIGSTOP) and `kill` make it fail as cameras do.
"""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType

SYSTEM_PYTHON = "/usr/bin/python3"
_SOUND = {
    None: "",
    "aac": " audiotestsrc is-live=true ! audioconvert ! voaacenc ! rtpmp4gpay name=pay1 pt=97",
    "pcmu": " audiotestsrc is-live=true ! audioconvert ! audioresample ! audio/x-raw,rate=8000,channels=1"
    " ! mulawenc ! rtppcmupay name=pay1 pt=0",
}
_VIDEO = {
    "h264": "x264enc threads=1 tune=zerolatency speed-preset=ultrafast key-int-max=15 ! h264parse ! rtph264pay"
    " name=pay0 pt=96 config-interval=-1",
    "mjpeg": "jpegenc ! rtpjpegpay name=pay0 pt=26",
}


def available() -> bool:
    """Return whether this machine can run the server."""
    check = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"
    return (
        Path(SYSTEM_PYTHON).exists()
        and not subprocess.run([SYSTEM_PYTHON, "-c", check], capture_output=True).returncode
    )


class RtspServer:
    """Serves `rtsp://127.0.0.1:<free port>/video`; with `user` it asks for credentials (`auth`: basic or digest)."""

    def __init__(
        self,
        *,
        sound: str | None = None,
        codec: str = "h264",
        user: str = "",
        password: str = "",
        auth: str = "digest",
        port: int | None = None,
    ) -> None:
        self._pipeline = (
            "( videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=15/1,format=I420 ! "
            f"{_VIDEO[codec]}{_SOUND[sound]} )"
        )
        self.port = port or free_port()
        self._login = [user, password, auth]
        credentials = f"{user}:{password}@" if user else ""
        self.url = f"rtsp://{credentials}127.0.0.1:{self.port}/video"

    def __enter__(self) -> "RtspServer":
        self._process = subprocess.Popen(
            [SYSTEM_PYTHON, __file__, str(self.port), self._pipeline, *self._login],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"
        return self

    def freeze(self) -> None:
        """Stop serving without closing anything, as a hung camera does."""
        self._process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        """Die at once, as a camera that loses power does (its host still answers)."""
        self._process.kill()
        self._process.wait()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        assert self._process.stdout is not None
        self._process.stdout.close()


class ScriptedRtsp:
    """An RTSP server of one thread that answers as told and keeps every request; it never sends video.

    `answers` maps a method to the raw answers of its first, second, ... request (the last one is repeated);
    `{cseq}` stands for the request's number. A method without an answer gets silence.
    """

    def __init__(self, answers: dict[str, list[str]]) -> None:
        self._answers = answers
        self.requests: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"rtsp://127.0.0.1:{self.port}/video"

    def __enter__(self) -> "ScriptedRtsp":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()

    def methods(self) -> list[str]:
        """Return the requests' methods in order."""
        return [request.split(" ", 1)[0] for request in self.requests]

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                link, _ = self._listener.accept()
                threading.Thread(target=self._talk, args=(link,), daemon=True).start()

    def _talk(self, link: socket.socket) -> None:
        with link, contextlib.suppress(OSError):
            pending = ""
            while data := link.recv(65536):
                pending += data.decode()
                while "\r\n\r\n" in pending:
                    request, pending = pending.split("\r\n\r\n", 1)
                    self._answer(link, request)

    def _answer(self, link: socket.socket, request: str) -> None:
        method = request.split(" ", 1)[0]
        seen = self.methods().count(method)
        self.requests.append(request)
        scripted = self._answers.get(method)
        if scripted:
            cseq = re.search(r"CSeq: *(\d+)", request, re.I)
            text = scripted[min(seen, len(scripted) - 1)]
            link.sendall(text.replace("{cseq}", cseq.group(1) if cseq else "0").encode())


def reply(status: str, headers: str = "", body: str = "") -> str:
    """Return an RTSP answer for `ScriptedRtsp`; `headers` one a line."""
    lines = [f"RTSP/1.0 {status}", "CSeq: {cseq}", *headers.splitlines()]
    if body:
        lines += ["Content-Type: application/sdp", f"Content-Length: {len(body)}"]
    return "\r\n".join(lines) + "\r\n\r\n" + body


SDP_VIDEO = (
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=camera\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
    "a=fmtp:96 packetization-mode=1;sprop-parameter-sets=Z0LAFdoFB+wFqDAwNSgAAAMACAAAAwD0eLF1,aM48gA==\r\n"
    "a=control:trackV\r\n"
)
SDP_SOUND = "m=audio 0 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=control:trackA\r\n"


def free_port() -> int:
    """Return a TCP port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _serve(port: str, pipeline: str, user: str, password: str, auth_kind: str) -> None:
    import gi

    gi.require_version("Gst", "1.0")
    gi.require_version("GstRtsp", "1.0")
    gi.require_version("GstRtspServer", "1.0")
    from gi.repository import GLib, Gst, GstRtsp, GstRtspServer

    Gst.init(None)
    server = GstRtspServer.RTSPServer(address="127.0.0.1", service=port)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(pipeline)
    factory.set_shared(True)
    if user:
        auth = GstRtspServer.RTSPAuth()
        token = GstRtspServer.RTSPToken()
        token.set_string("media.factory.role", "viewer")
        if auth_kind == "digest":
            auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
            auth.add_digest(user, password, token)
        else:
            auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
        server.set_auth(auth)
        permissions = GstRtspServer.RTSPPermissions()
        permissions.add_permission_for_role("viewer", "media.factory.access", True)
        permissions.add_permission_for_role("viewer", "media.factory.construct", True)
        factory.set_permissions(permissions)
    server.get_mount_points().add_factory("/video", factory)
    server.attach(None)
    print("ready", flush=True)
    GLib.timeout_add_seconds(1, lambda: os.getppid() != 1 or os._exit(0))
    GLib.MainLoop().run()


if __name__ == "__main__":
    _serve(*sys.argv[1:])
