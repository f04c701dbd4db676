"""One MQTT 5 session of the center over mutual TLS, with paho.

Rules (FACTS, paho-mqtt 2.2):
* MQTT 5 only: in 3.1.1 a publish that the access list denies looks like a success;
* TCP_NODELAY on every socket: without it press to receipt took 88 ms instead of 2.3 ms;
* `loop_start`, never `loop_forever` in a thread of ours: only then does paho's own thread do all the writing, so that
  two threads never write to one TLS socket;
* every callback is guarded; a message of QoS 1 is acknowledged by `ack`, by whoever stored it, never by paho;
* it reconnects for ever, after 1 s, then up to `MOST_WAIT_S`; `thread_alive` is the honest sign of life.
"""

import logging
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from center.alarms.callback_guard import guarded
from center.errors import ConfigError

log = logging.getLogger(__name__)

KEEPALIVE_S = 10
MOST_WAIT_S = 5
STOP_S = 2.0


@dataclass(frozen=True)
class Endpoint:
    """Where the broker is and who we are there; it keeps our session and queue for `expiry_s` while we are gone."""

    host: str
    port: int
    client_id: str
    ca_file: Path
    cert_file: Path
    key_file: Path
    expiry_s: int = 0


@dataclass(frozen=True)
class Incoming:
    """One message; `ticket` goes to `PahoSession.ack`. It holds only for the connection that brought it."""

    topic: str
    payload: bytes
    retained: bool
    ticket: tuple[int, int]


@dataclass(frozen=True)
class Listener:
    """Who is told, always from paho's thread: none of them may block for long; `puback` gets (mid, failed)."""

    message: Callable[[Incoming], object]
    connected: Callable[[], object] = lambda: None
    disconnected: Callable[[], object] = lambda: None
    puback: Callable[[int, bool], object] = lambda mid, failed: None


class PahoSession:
    """One session; `start` once, `stop` once."""

    def __init__(self, endpoint: Endpoint, topics: Sequence[tuple[str, int]], listener: Listener) -> None:
        """Prepare the session; nothing is sent yet.

        Raises:
            ConfigError: a certificate or key file is missing or unusable.
        """
        self._endpoint = endpoint
        self._topics = list(topics)
        self._listener = listener
        self._online = threading.Event()
        self._complained = False
        client = paho.Client(
            CallbackAPIVersion.VERSION2, endpoint.client_id, protocol=MQTTProtocolVersion.MQTTv5, manual_ack=True
        )
        client.tls_set_context(_tls(endpoint))
        client.reconnect_delay_set(1, MOST_WAIT_S)
        client.max_inflight_messages_set(1000)
        client.max_queued_messages_set(0)
        client.on_socket_open = guarded(_no_delay)
        client.on_connect = guarded(self._on_connect)
        client.on_connect_fail = guarded(self._on_connect_fail)
        client.on_disconnect = guarded(self._on_disconnect)
        client.on_message = guarded(self._on_message)
        client.on_publish = guarded(self._on_publish)
        self._client = client

    @property
    def online(self) -> bool:
        """Whether the broker accepted us and the connection stands."""
        return self._online.is_set()

    def thread_alive(self) -> bool:
        """Whether paho's network thread runs; when not, nothing is received although all looks well."""
        name = f"paho-mqtt-client-{self._endpoint.client_id}"
        return any(thread.name == name and thread.is_alive() for thread in threading.enumerate())

    def start(self) -> None:
        """Connect in the background, for ever."""
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = self._endpoint.expiry_s
        self._client.connect_async(
            self._endpoint.host,
            self._endpoint.port,
            KEEPALIVE_S,
            clean_start=self._endpoint.expiry_s == 0,
            properties=properties,
        )
        self._client.loop_start()

    def stop(self) -> None:
        """Disconnect and end the network thread."""
        self._client.disconnect()
        self._client.loop_stop()

    def publish(self, topic: str, payload: bytes, qos: int = 1) -> int:
        """Queue a message and return its id, which `Listener.puback` gets; paho sends it again after a reconnect."""
        return self._client.publish(topic, payload, qos).mid

    def ack(self, incoming: Incoming) -> None:
        """Tell the broker that the message is stored."""
        mid, qos = incoming.ticket
        if qos:
            self._client.ack(mid, qos)

    def _on_connect(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._complain(f"refused: {reason}")
            return
        self._complained = False
        self._client.subscribe(self._topics)
        self._online.set()
        log.info("broker session up identity=%s", self._endpoint.client_id)
        self._listener.connected()

    def _on_connect_fail(self, _client: Any, _data: Any) -> None:
        self._complain("no connection or no agreement on TLS")

    def _on_disconnect(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if self._online.is_set():
            log.warning("broker session lost identity=%s reason=%s", self._endpoint.client_id, reason)
        self._online.clear()
        self._listener.disconnected()

    def _on_message(self, _client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        ticket = (message.mid, message.qos)
        self._listener.message(Incoming(message.topic, bytes(message.payload), bool(message.retain), ticket))

    def _on_publish(self, _client: Any, _data: Any, mid: int, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            log.error("broker refused a message identity=%s reason=%s", self._endpoint.client_id, reason)
        self._listener.puback(mid, bool(reason.is_failure))

    def _complain(self, what: str) -> None:
        """Say once per outage that the broker is not to be had."""
        if not self._complained:
            where = f"{self._endpoint.host}:{self._endpoint.port}"
            log.error("broker not reached identity=%s at=%s reason=%s", self._endpoint.client_id, where, what)
        self._complained = True


def _no_delay(_client: Any, _data: Any, connection: Any) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _tls(endpoint: Endpoint) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=str(endpoint.ca_file))
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(endpoint.cert_file, endpoint.key_file)
    except (OSError, ssl.SSLError) as exc:
        files = f"{endpoint.ca_file}, {endpoint.cert_file}, {endpoint.key_file}"
        raise ConfigError(
            [f"broker: a certificate of {endpoint.client_id} cannot be used ({exc}); look at {files}"]
        ) from exc
    return context
