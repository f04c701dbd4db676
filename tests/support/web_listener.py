"""An HTTPS server that takes notices: a real one, with a certificate of the test's authority, and some bad manners."""

import http.server
import ssl
import threading
from types import TracebackType

from center.pki import Issued


class WebListener:
    """Serves on a free port of 127.0.0.1. `status` is answered; with `hang` it takes the notice and says nothing.

    With `drip` it sends one header after the other, for ever.
    """

    def __init__(self, certificate: Issued, status: int = 204) -> None:
        self.status = status
        self.hang = self.drip = False
        self.notices: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.released = threading.Event()
        listener = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                listener.headers.append({**dict(self.headers), ":path": self.path})
                listener.notices.append(body)
                if listener.hang:
                    listener.released.wait(30)
                    return
                self.send_response(listener.status)
                while listener.drip and not listener.released.wait(0.1):
                    self.send_header("X-Drop", "1")
                    self.flush_headers()
                if 300 <= listener.status < 400:
                    self.send_header("Location", self.path + "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing: the test looks at what came."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a refused handshake is the test
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.cert_file, certificate.key_file)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def url(self, path: str = "/bell", host: str = "127.0.0.1") -> str:
        return f"https://{host}:{self.port}{path}"

    def __enter__(self) -> "WebListener":
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
