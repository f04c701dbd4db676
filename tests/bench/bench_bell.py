"""N5: press (stable contact) -> committed at the center -> receipt at the pole; TLS, QoS 1, both commits durable.

Real processes: `pole-agent bell`, `pole-center alarms`, mosquitto. The pole measures from the instant at which the
contact had been closed for the debounce time (computed, not seen: late scheduling counts) to the receipt's arrival in
the alarm machine, and logs it for every alarm. The reference alternates with the presses: a bare paho publish and its
PUBACK over
the same broker. `fsync` is a 4 KiB append and fsync on the same disk, for scale: a receipt needs two of them.
"""

import argparse
import contextlib
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import paho.mqtt.client as mqtt  # noqa: E402
from measure import machine, print_json, summary  # noqa: E402
from paho.mqtt.enums import CallbackAPIVersion  # noqa: E402
from support.broker import Broker  # noqa: E402
from support.certificates import CertificateShop  # noqa: E402

from agent.bell.control_socket import NAME, press_bell  # noqa: E402
from agent.contract.signed_note import NoteSigner  # noqa: E402
from center.pki import Issued  # noqa: E402

POLE, REFERENCE_POLE = "bench-bell", "bench-reference"
WARM_UP = 10
RECEIPT = re.compile(rb"press_to_receipt_ms=([0-9.]+)")


class BellService:
    """`pole-agent bell` and what it logs."""

    def __init__(self, config: Path, run_dir: Path) -> None:
        self._run_dir = run_dir
        self._values_ms: list[float] = []
        self._changed = threading.Condition()
        words = [sys.executable, "-m", "agent", "bell", "--config", str(config)]
        self._child = subprocess.Popen(words, stderr=subprocess.PIPE, cwd=ROOT)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def press(self) -> float:
        """Press once; return press to receipt in ms."""
        known = len(self._values_ms)
        press_bell(self._run_dir, random.randint(40, 60))
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._values_ms) > known, 30):
                raise SystemExit("no receipt within 30 s")
            return self._values_ms[known]

    def stop(self) -> None:
        self._child.terminate()
        self._child.wait(10)

    def _read(self) -> None:
        assert self._child.stderr is not None
        for line in self._child.stderr:
            found = RECEIPT.search(line)
            if found:
                with self._changed:
                    self._values_ms.append(float(found[1]))
                    self._changed.notify_all()
            elif b" INFO " not in line and b"bell pressed" not in line:
                sys.stderr.buffer.write(line)


class BarePaho:
    """The reference: publish at QoS 1, wait for the PUBACK. TCP_NODELAY as we set it."""

    def __init__(self, broker: Broker, who: Issued) -> None:
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, who.name, protocol=mqtt.MQTTv5)
        self._client.tls_set_context(broker.client_context(who))
        self._client.on_socket_open = lambda _c, _u, sock: sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._acknowledged, connected = threading.Event(), threading.Event()
        self._client.on_publish = lambda *_: self._acknowledged.set()
        self._client.on_connect = lambda *_: connected.set()
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()
        if not connected.wait(10):
            raise SystemExit("the reference client cannot connect")

    def publish(self) -> float:
        """Return publish to PUBACK in ms."""
        self._acknowledged.clear()
        start = time.perf_counter()
        self._client.publish(f"ps/v1/{REFERENCE_POLE}/up/reference", b"x" * 300, qos=1)
        self._acknowledged.wait(10)
        return (time.perf_counter() - start) * 1000

    def stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def measure(directory: Path, presses: int) -> dict[str, Any]:
    """Run everything in `directory`; return the values of each case in ms."""
    shop = CertificateShop(directory / "pki")
    values: dict[str, list[float]] = {"press_to_receipt": [], "bare_publish_puback": [], "fsync": []}
    with Broker(directory / "broker", shop) as broker, center_alarms(directory, broker):
        bell = BellService(write_pole_config(directory, broker), directory / "run")
        reference = BarePaho(broker, shop.pole(REFERENCE_POLE))
        try:
            wait_for_bell(directory / "run")
            for number in range(WARM_UP + presses):
                one = {
                    "press_to_receipt": bell.press(),
                    "bare_publish_puback": reference.publish(),
                    "fsync": fsync_once(directory / "fsync.probe"),
                }
                time.sleep(random.uniform(0.04, 0.08))  # the release must be debounced as well
                if number >= WARM_UP:
                    for name, value in one.items():
                        values[name].append(value)
        finally:
            reference.stop()
            bell.stop()
    return values


@contextlib.contextmanager
def center_alarms(directory: Path, broker: Broker) -> Iterator[None]:
    """Run `pole-center alarms`."""
    config = write_center_config(directory, broker)
    words = [sys.executable, "-m", "center", "alarms", "--config", str(config)]
    child = subprocess.Popen(words, cwd=ROOT, stderr=(directory / "center.log").open("wb"))
    try:
        yield
    finally:
        child.terminate()
        child.wait(15)


def write_center_config(directory: Path, broker: Broker) -> Path:
    """Write a `center.toml` of which only broker and state are used."""
    alarms, telemetry = broker.shop.center("center-alarms"), broker.shop.center("center-telemetry")
    (directory / "center").mkdir()
    config = directory / "center.toml"
    config.write_text(f"""\
state_dir = "{directory / "center"}"
[ingest]
host = "127.0.0.1"
port = 1
cert_file = "{alarms.cert_file}"
key_file = "{alarms.key_file}"
ca_file = "{alarms.ca_file}"
[broker]
host = "127.0.0.1"
port = {broker.port}
ca_file = "{alarms.ca_file}"
alarms_cert_file = "{alarms.cert_file}"
alarms_key_file = "{alarms.key_file}"
telemetry_cert_file = "{telemetry.cert_file}"
telemetry_key_file = "{telemetry.key_file}"
[receipts]
key_file = "{alarms.key_file}"
[custodian]
key_dir = "{directory / "center"}"
""")
    return config


def write_pole_config(directory: Path, broker: Broker) -> Path:
    """Write a `pole.toml` with a simulated bell."""
    who = broker.shop.pole(POLE)
    config = directory / "pole.toml"
    config.write_text(f"""\
run_dir = "{directory / "run"}"
state_dir = "{directory / "state"}"
[pole]
id = "{POLE}"
zone = "bench"
policy = "bench"
retention_days = 30
[center]
ingest_url = "https://127.0.0.1:1"
broker_host = "127.0.0.1"
broker_port = {broker.port}
ca_file = "{who.ca_file}"
cert_file = "{who.cert_file}"
key_file = "{who.key_file}"
receipt_key = "{NoteSigner.generate("bench").verifier_key}"
[sealing]
recipients_file = "{directory / "recipients"}"
[spool]
dir = "{directory / "spool"}"
max_bytes = 1073741824
min_free_bytes = 0
[[camera]]
id = "front"
management_number = "bench-1"
purpose = "crime-prevention"
source = "replay"
address = "none.mp4"
width = 1920
height = 1080
fps = 30
[bell]
simulate = true
""")
    return config


def wait_for_bell(run_dir: Path) -> None:
    """Wait until the button is there and the session had time to stand."""
    deadline = time.monotonic() + 20
    while not (run_dir / NAME).exists():
        if time.monotonic() > deadline:
            raise SystemExit("the bell service did not start")
        time.sleep(0.05)
    time.sleep(2)


def fsync_once(path: Path) -> float:
    """Append 4 KiB and fsync; return ms."""
    with path.open("ab", buffering=0) as file:
        start = time.perf_counter()
        file.write(b"\0" * 4096)
        os.fsync(file.fileno())
        return (time.perf_counter() - start) * 1000


def file_system(path: Path) -> str:
    """Return the type of the file system that holds `path`."""
    words = ["stat", "-f", "-c", "%T", str(path)]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="press to receipt (N5)")
    parser.add_argument("--presses", type=int, default=300)
    parser.add_argument("--dir", type=Path, help="where the databases lie (default: the temporary directory)")
    arguments = parser.parse_args()
    load_before = os.getloadavg()[0]
    directory = Path(tempfile.mkdtemp(prefix="bench-bell-", dir=arguments.dir))
    try:
        values = measure(directory, arguments.presses)
        disk = file_system(directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    ours = summary(values["press_to_receipt"])
    print_json(
        {
            "id": "N5",
            "what": "press (stable contact) to receipt in ms, beyond the debounce time",
            "goal": "median <= 3 ms, p99 <= 15 ms",
            "reached": ours["median"] <= 3 and ours["p99"] <= 15,
            "press_to_receipt_ms": ours,
            "reference_bare_publish_puback_ms": summary(values["bare_publish_puback"]),
            "fsync_4k_ms": summary(values["fsync"]),
            "not_measured": "3,300 poles beating in the background",
            "file_system": disk,
            "load_1min": {"before": load_before, "after": os.getloadavg()[0]},
            "broker": shutil.which("mosquitto") or "/usr/sbin/mosquitto",
            "machine": machine(),
        }
    )


if __name__ == "__main__":
    main()
