"""A real mosquitto on a free port, configured as `pole-center broker-config` does it: TLS 1.3, both ways."""

import contextlib
import shutil
import socket
import ssl
import subprocess
import time
from pathlib import Path

from center.alarms.broker_config import BrokerFiles, write_broker_config
from center.pki import Issued
from support.certificates import CertificateShop

MOSQUITTO = shutil.which("mosquitto") or "/usr/sbin/mosquitto"


class Broker:
    """One broker. It may be killed and started again on the same port, with what it had persisted."""

    def __init__(self, directory: Path, shop: CertificateShop, server: Issued | None = None) -> None:
        self.shop = shop
        self.port = free_port()
        self._server = server or shop.center("center-broker")
        directory.mkdir(parents=True, exist_ok=True)
        files = BrokerFiles(
            "127.0.0.1", self.port, shop.ca_file, self._server.cert_file, self._server.key_file, shop.crl_file
        )
        self._config = write_broker_config(directory, files)
        self._log = directory / "broker.log"
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> "Broker":
        with self._log.open("ab") as log:
            self._child = subprocess.Popen([MOSQUITTO, "-c", str(self._config)], stdout=log, stderr=log)
        deadline = time.monotonic() + 10
        while not self._listens():
            assert self._child.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.02)
        return self

    def kill(self) -> None:
        """As a power cut: SIGKILL."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._child = None

    def log_text(self) -> str:
        return self._log.read_text()

    def client_context(self, who: Issued) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_verify_locations(self.shop.ca_file)
        context.load_cert_chain(who.cert_file, who.key_file)
        return context

    def _listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False

    def __enter__(self) -> "Broker":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
