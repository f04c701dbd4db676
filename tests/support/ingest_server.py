"""The real ingest as a child process on its own port, and a real spool to send from: both sides over real TLS.

Run as a program it is the child: `python -m support.ingest_server center.toml [STEP]`; with STEP it kills itself
there with SIGKILL, as a power cut would.
"""

import json
import os
import random
import signal
import socket
import ssl
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import httpx

from agent.clock import Clock, SystemClock
from agent.config import CenterConfig, PoleConfig, SpoolConfig
from agent.contract.age_format import AgeWriter, generate_identity, parse_recipient, recipient_id
from agent.contract.messages import ClockState
from agent.contract.records import SegmentRecord, TornRecord
from agent.contract.signed_note import NoteSigner
from agent.recording.journal import SegmentHeader
from agent.recording.open_segment import OpenSegment
from agent.recording.spool import Spool
from center.config import load_config
from center.custodian.recipients import RecipientRow, write_recipients
from center.ingest.service import run_ingest
from center.pki import Issued
from center.store import Store
from support.certificates import CertificateShop

POLE = "pole-1"
CAMERA = "front"
START_US = 1_790_000_000_000_000
SEGMENT_US = 10_000_000
REPOSITORY = Path(__file__).resolve().parents[2]


def free_port() -> int:
    """Return a port that nobody listens on now, below the range that outgoing connections are given."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class IngestServer:
    """One center: its directory outlives every kill and restart, its port stays."""

    def __init__(self, directory: Path, certificates: CertificateShop, *, min_free_bytes: int = 0) -> None:
        self.directory = directory
        self.state_dir = directory / "state"
        self.port = free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        self.certificates = certificates
        self.signer = NoteSigner.generate("center.test")
        self._recipients: list[str] = []
        self._child: subprocess.Popen[bytes] | None = None
        directory.mkdir(parents=True)
        (directory / "keys").mkdir()
        (directory / "receipt.key").write_text(self.signer.private_text)
        self.config_file = directory / "center.toml"
        self.configure(min_free_bytes)
        self.trust()

    def configure(self, min_free_bytes: int = 0) -> None:
        """Write center.toml anew; takes effect at the next start."""
        own = self.certificates.center()
        broker = "\n".join(
            f"{name}_{kind}_file = {json.dumps(str(path))}"
            for name in ("alarms", "telemetry")
            for kind, path in (("cert", own.cert_file), ("key", own.key_file))
        )
        self.config_file.write_text(
            f"""
state_dir = {json.dumps(str(self.state_dir))}
[ingest]
host = "127.0.0.1"
port = {self.port}
cert_file = {json.dumps(str(own.cert_file))}
key_file = {json.dumps(str(own.key_file))}
ca_file = {json.dumps(str(self.certificates.ca_file))}
crl_file = {json.dumps(str(self.certificates.crl_file))}
min_free_bytes = {min_free_bytes}
[broker]
host = "127.0.0.1"
port = 8883
ca_file = {json.dumps(str(self.certificates.ca_file))}
{broker}
[receipts]
key_file = {json.dumps(str(self.directory / "receipt.key"))}
[custodian]
key_dir = {json.dumps(str(self.directory / "keys"))}
"""
        )

    def trust(self, *recipients: str) -> None:
        """Let the center hold keys for these recipients as well."""
        self._recipients += recipients
        rows = [
            RecipientRow(id=recipient_id(text), recipient=text, zone="z", created_us=0) for text in self._recipients
        ]
        write_recipients(self.directory / "keys", rows)

    def start(self, die_at: str = "") -> None:
        """Start the child and wait until it listens."""
        words = [sys.executable, "-m", "support.ingest_server", str(self.config_file), die_at]
        environment = {**os.environ, "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{REPOSITORY / 'tests'}"}
        with (self.directory / "log").open("ab") as log:
            self._child = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=log, env=environment)
        assert self._child.stdout is not None
        assert self._child.stdout.readline() == b"ready\n", (self.directory / "log").read_text()

    def kill(self) -> None:
        """Kill it with SIGKILL, as a crash does."""
        assert self._child is not None
        self._child.kill()
        self.wait_dead()

    def stop(self) -> int:
        """End it in order and return its exit status."""
        if self._child is None:
            return 0
        self._child.send_signal(signal.SIGTERM)
        return self.wait_dead()

    def wait_dead(self) -> int:
        """Wait until the child ended by itself."""
        assert self._child is not None and self._child.stdout is not None
        status = self._child.wait(timeout=20)
        self._child.stdout.close()
        self._child = None
        return status

    def store(self) -> Store:
        """Open the center's store beside the running child; the caller closes it."""
        return Store(self.state_dir / "center.sqlite")

    def link_config(self, identity: Issued | None = None) -> CenterConfig:
        """Return what the pole's configuration says of this center."""
        identity = identity or self.certificates.pole(POLE)
        return CenterConfig(
            ingest_url=self.url,
            broker_host="127.0.0.1",
            broker_port=8883,
            ca_file=identity.ca_file,
            cert_file=identity.cert_file,
            key_file=identity.key_file,
            receipt_key=self.signer.verifier_key,
        )

    def client(self, identity: Issued | None = None) -> httpx.Client:
        """Return a plain HTTP client with the pole's certificate, nothing of our link in it."""
        identity = identity or self.certificates.pole(POLE)
        context = ssl.create_default_context(cafile=str(self.certificates.ca_file))
        context.load_cert_chain(identity.cert_file, identity.key_file)
        return httpx.Client(base_url=self.url, verify=context, trust_env=False, timeout=20)


class PoleSide:
    """A pole's spool with sealed segments in it."""

    def __init__(
        self, directory: Path, clock: Clock | None = None, camera: str = CAMERA, start_us: int = START_US
    ) -> None:
        self.clock = clock or SystemClock()
        self.config = SpoolConfig(dir=directory / "spool", max_bytes=1 << 32, min_free_bytes=0)
        self.pole = PoleConfig(id=POLE, zone="zone-1", policy="osan", retention_days=30)
        self.clock_synced = True
        self.spool = Spool(self.config, POLE, self.clock, clock_state=self._clock_state)
        self.camera = camera
        self.secret, self.recipient = generate_identity()
        self._next_us = start_us
        self.spool.start_camera(camera, start_us)

    def _clock_state(self) -> ClockState:
        return ClockState(synced=self.clock_synced, source="ntp" if self.clock_synced else "free-running", error_us=10)

    def seal(self, size: int = 100_000, recipient: str = "") -> SegmentRecord:
        """Seal one segment of `size` clear bytes, ten seconds after the last one."""
        return self._write(size, recipient).seal(self._next_us, 250)

    def tear(self, size: int = 200_000) -> TornRecord:
        """Begin a segment, lose the process, and recover what was on disk."""
        self._write(size, "").abandon()
        [record] = self.spool.recover(self.camera)
        assert isinstance(record, TornRecord)
        return record

    def _write(self, size: int, recipient: str) -> OpenSegment:
        recipient = recipient or self.recipient
        start_us, self._next_us = self._next_us, self._next_us + SEGMENT_US
        header = SegmentHeader(
            camera=self.camera,
            management_number="A-1",
            purpose="crime-prevention",
            start_us=start_us,
            recipient=recipient_id(recipient),
            codec="h264",
            width=1280,
            height=720,
            source_has_sound=False,
        )
        segment = self.spool.begin(header)
        writer = AgeWriter(segment.write, [parse_recipient(recipient)])
        writer.write(os.urandom(size))
        writer.close()
        segment.progress(self._next_us, 250)
        return segment

    def path(self, record: SegmentRecord) -> Path:
        """Return where the segment's file lies while the pole has it."""
        return self.config.dir / record.camera / f"{record.segment}.mp4.age"


class CuttingProxy:
    """A TCP proxy that cuts each connection after so many bytes from the pole; 0 lets everything through."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.cuts: list[int] = []
        self.cut_count = 0
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept, name="proxy", daemon=True)
        self._accepting.start()

    def close(self) -> None:
        """Stop accepting and wait for what runs."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join(10)
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            limit = self.cuts.pop(0) if self.cuts else 0
            thread = threading.Thread(target=self._serve, args=(near, limit), name="proxied", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, near: socket.socket, limit: int) -> None:
        with near:
            try:
                far = socket.create_connection(("127.0.0.1", self._target), 5)
            except OSError:
                return
            with far:
                back = threading.Thread(target=_pump, args=(far, near, 0), name="proxied-back", daemon=True)
                back.start()
                if _pump(near, far, limit):
                    self.cut_count += 1
                for side in (near, far):
                    with suppress(OSError):
                        side.shutdown(socket.SHUT_RDWR)
                back.join(10)


def _pump(source: socket.socket, target: socket.socket, limit: int) -> bool:
    """Copy until the end or `limit` bytes; return whether the limit was reached."""
    copied = 0
    with suppress(OSError):
        while data := source.recv(min(16384, limit - copied) if limit else 16384):
            target.sendall(data)
            copied += len(data)
            if limit and copied >= limit:
                return True
        target.shutdown(socket.SHUT_WR)
    return False


def main() -> int:
    """Be the child."""

    def step(name: str) -> None:
        if name == sys.argv[2]:
            os.kill(os.getpid(), signal.SIGKILL)

    config = load_config(Path(sys.argv[1]))
    return run_ingest(config, step, lambda: print("ready", flush=True))


if __name__ == "__main__":
    sys.exit(main())
