"""`pole-center alarms` as a real process, and an MQTT client that plays a pole (or anybody) before it.

Run as a program it is the service with a quick beat: `python -m support.center_alarms center.toml [STEP]`; with STEP
it kills itself there with SIGKILL, as a power cut would.
"""

import os
import resource
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from agent.contract.messages import Alarm, AlarmReceipt, AlarmUpdate, ClockState, Heartbeat, Status, decode, encode
from agent.contract.topics import CENTER_BEAT, up
from center.pki import Issued
from center.store import Store
from support.broker import Broker
from support.payload_check import breach

REPOSITORY = Path(__file__).resolve().parents[2]
CLOCK = ClockState(synced=True, source="ntp", error_us=1000)
BEAT_S = 0.3


def eventually(condition: Callable[[], Any], timeout_s: float = 40.0) -> Any:
    """Return the first true value of `condition`; fails the test when none comes in time."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"nothing came within {timeout_s} s"
        time.sleep(0.02)
    return value


def make_alarm(
    pole: str = "pole-1", alarm_id: str = "alarm-1", incident_id: str = "incident-1", **fields: Any
) -> Alarm:
    known = {"press_number": 1, "pressed_at_us": 1_790_000_000_000_000, "clock": CLOCK, "line": "pressed", **fields}
    return Alarm(alarm_id=alarm_id, incident_id=incident_id, pole=pole, **known)


def make_heartbeat(pole: str = "pole-1", session: str = "s1", seq: int = 1, **fields: Any) -> Heartbeat:
    known = {"at_us": 1, "uptime_s": 1, "agent_version": "0.1.0", "clock": CLOCK, **fields}
    return Heartbeat(pole=pole, session=session, seq=seq, **known)


class AlarmCenter:
    """One center: its directory outlives every kill and restart."""

    def __init__(self, directory: Path, broker: Broker, silent_after_s: float = 20, more: str = "") -> None:
        directory.mkdir()
        self.config_file = directory / "center.toml"
        self._log_file = directory / "alarms.log"
        self.config_file.write_text(_config(broker, silent_after_s) + more)
        self.store = Store(directory / "state" / "center.sqlite")
        self._child: subprocess.Popen[bytes] | None = None
        self._pen: subprocess.Popen[bytes] | None = None

    def start(self, step: str = "") -> "AlarmCenter":
        self.kill()
        words = [sys.executable, "-m", "support.center_alarms", str(self.config_file), *([step] if step else [])]
        environment = {**os.environ, "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'tests'}"}
        with self._log_file.open("ab") as log:  # through a pipe: a limit on file sizes must not gag the log
            self._pen = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=log)
        self._child = subprocess.Popen(words, stderr=self._pen.stdin, env=environment)
        assert self._pen.stdin is not None
        self._pen.stdin.close()
        if not step:
            eventually(lambda: self.log_text().count("broker session up") >= 2)
        return self

    def refuse_writes(self, refuse: bool) -> None:
        """Let every write of the process to a file fail (EFBIG), as a full or dying disk does; or let it work again."""
        assert self._child is not None
        limit = 1 if refuse else resource.RLIM_INFINITY
        resource.prlimit(self._child.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    def signal(self, number: int) -> None:
        """Freeze it (SIGSTOP) or let it go on (SIGCONT)."""
        if self._child is not None:
            self._child.send_signal(number)

    def wait(self, timeout_s: float = 10) -> int:
        assert self._child is not None
        return self._child.wait(timeout_s)

    def terminate(self) -> float:
        """SIGTERM; return how long it took to end."""
        assert self._child is not None
        began = time.monotonic()
        self._child.terminate()
        self._child.wait(10)
        return time.monotonic() - began

    def kill(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.wait()
        if self._pen is not None:
            self._pen.wait()
        self._child = self._pen = None

    def log_text(self) -> str:
        return self._log_file.read_text()

    def close(self) -> None:
        self.kill()
        self.store.close()


class Client:
    """An MQTT client with a certificate of its choice; it collects what it is told."""

    def __init__(
        self,
        broker: Broker,
        who: Issued | None,
        *,
        client_id: str = "",
        version: MQTTProtocolVersion = MQTTProtocolVersion.MQTTv5,
        will: tuple[str, bytes] | None = None,
    ) -> None:
        self.who = who
        self.messages: list[tuple[str, bytes]] = []
        self.lost = threading.Event()
        self._connected = threading.Event()
        self._subscribed = threading.Event()
        self._reasons: dict[int, Any] = {}
        name = client_id or (who.name if who else "nobody")
        client = paho.Client(CallbackAPIVersion.VERSION2, name, protocol=version, reconnect_on_failure=False)
        client.tls_set_context(_context(broker, who))
        client.on_socket_open = lambda _c, _d, sock: sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.on_connect = lambda _c, _d, _f, reason, _p: reason.is_failure or self._connected.set()
        client.on_disconnect = lambda *_: self.lost.set()
        client.on_subscribe = lambda *_: self._subscribed.set()
        client.on_message = lambda _c, _d, message: self.messages.append((message.topic, bytes(message.payload)))
        client.on_publish = lambda _c, _d, mid, reason, _p: self._reasons.__setitem__(mid, reason)
        if will is not None:
            client.will_set(will[0], will[1], qos=1, retain=True)
        self._client = client
        try:
            client.connect("127.0.0.1", broker.port, keepalive=10)
        except OSError:
            self.lost.set()
            return
        client.loop_start()

    @property
    def accepted(self) -> bool:
        """Whether the broker took us in; waits until it said so or hung up."""
        eventually(lambda: self._connected.is_set() or self.lost.is_set())
        return self._connected.is_set()

    def listen(self, *topics: str) -> "Client":
        assert self.accepted
        self._subscribed.clear()
        self._client.subscribe([(topic, 1) for topic in topics])
        assert self._subscribed.wait(5)
        return self

    def send(self, topic: str, payload: bytes, qos: int = 1, retain: bool = False) -> str:
        """Publish and return the broker's reason, as its name."""
        assert self.accepted
        mid = self._client.publish(topic, payload, qos, retain).mid
        return str(eventually(lambda: self._reasons.get(mid) or (self.lost.is_set() and "connection lost")))

    def press(self, alarm: Alarm) -> None:
        self.send(up(alarm.pole, "alarm"), encode(alarm))

    def be_born(self, pole: str, session: str, state: str = "online") -> None:
        self.send(up(pole, "status"), encode(Status(pole=pole, session=session, state=state, at_us=1)), retain=True)

    def receipts(self) -> list[AlarmReceipt]:
        return [decode(payload, AlarmReceipt) for payload in self._heard("/down/receipt")]

    def answers(self) -> list[AlarmUpdate]:
        return [decode(payload, AlarmUpdate) for payload in self._heard("/down/answer")]

    def beats(self) -> int:
        return len(self._heard(CENTER_BEAT))

    def _heard(self, ending: str) -> list[bytes]:
        """Return the payloads heard on a topic; each must follow the published contract."""
        heard = [(topic, payload) for topic, payload in list(self.messages) if topic.endswith(ending)]
        assert [broken for topic, payload in heard if (broken := breach(topic, payload))] == []
        return [payload for _, payload in heard]

    def vanish(self) -> None:
        """Cut the connection without a word, so that the broker sends the will."""
        connection = self._client.socket()
        assert connection is not None
        connection.shutdown(socket.SHUT_RDWR)
        self.lost.wait(5)
        self._client.loop_stop()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def pole_client(broker: Broker, pole: str = "pole-1", **options: Any) -> Client:
    """A pole, listening as poles do."""
    client = Client(broker, broker.shop.pole(pole), **options)
    return client.listen(f"ps/v1/{pole}/down/#", "ps/v1/center/#")


def _context(broker: Broker, who: Issued | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(broker.shop.ca_file))
    if who is not None:
        context.load_cert_chain(who.cert_file, who.key_file)
    return context


def _config(broker: Broker, silent_after_s: float) -> str:
    alarms, telemetry = broker.shop.center("center-alarms"), broker.shop.center("center-telemetry")
    listen = f'host = "127.0.0.1"\nport = 1\ncert_file = "{alarms.cert_file}"\nkey_file = "{alarms.key_file}"'
    return f"""
state_dir = "state"
silent_after_s = {silent_after_s}
[ingest]
{listen}
ca_file = "{broker.shop.ca_file}"
[broker]
host = "127.0.0.1"
port = {broker.port}
ca_file = "{broker.shop.ca_file}"
alarms_cert_file = "{alarms.cert_file}"
alarms_key_file = "{alarms.key_file}"
telemetry_cert_file = "{telemetry.cert_file}"
telemetry_key_file = "{telemetry.key_file}"
[receipts]
key_file = "receipt.key"
[custodian]
key_dir = "custodian"
"""


def main() -> int:
    from center.alarms.service import run_alarms
    from center.config import load_config
    from center.process import log_to_stderr

    log_to_stderr()
    deadly = sys.argv[2] if len(sys.argv) > 2 else ""

    def step(name: str) -> None:
        if name == deadly:
            os.kill(os.getpid(), signal.SIGKILL)

    return run_alarms(load_config(Path(sys.argv[1])), step, BEAT_S)


if __name__ == "__main__":
    sys.exit(main())
