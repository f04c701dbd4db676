"""The MQTT 5 session over paho: one fresh client object and one fresh TLS context for every connection.

Facts that decide this code (FACTS, paho-mqtt 2.2 and mosquitto 2.0):
* an exception in a callback ends the network loop while `is_connected()` stays True: every callback is guarded, and the
  loop runs in our own worker, so that whatever else ends it is seen by the supervisor;
* a publish must not write to the TLS socket from the caller's thread (two threads in one SSL object): paho leaves the
  writing to the loop once `on_socket_register_write` is set;
* paho sets no TCP_NODELAY: `on_socket_open` does;
* it reports a TLS alert after the handshake (TLS 1.3) only to its log: the log callback keeps the text;
* mosquitto forgets acknowledged messages when killed: a PUBACK counts for health, never for delivery;
* a new client object per connection reads the certificates again and has no memory of its own: the outbox has.
"""

import logging
import socket
import ssl
import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion, LogLevel, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from agent.clock import Clock
from agent.errors import LinkError, LinkRefusedError
from agent.fault_board import FaultBoard
from agent.mqtt.guard import guarded
from agent.mqtt.link import LinkHandlers, LinkHealth, LinkSettings, Will, backoff_s, link_failure, reason_failure
from agent.supervise import WorkerContext

log = logging.getLogger(__name__)

CONNECT_S = 4.0
LOOP_S = 0.5
INFLIGHT = 100
QUEUED = 1000
SUBJECT = "broker"
DOWN_FAULT, REFUSED_FAULT = "broker-down", "link-refused"


class PahoLink:
    """Keeps the session; `make_will` gives the words for a new session id, `subscriptions` are topic -> QoS."""

    def __init__(
        self,
        settings: LinkSettings,
        subscriptions: dict[str, int],
        make_will: Callable[[str], Will],
        handlers: LinkHandlers,
        faults: FaultBoard,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._subscriptions = subscriptions
        self._make_will = make_will
        self._handlers = handlers
        self._faults = faults
        self._clock = clock
        self._where = f"{settings.host}:{settings.port}"
        self._hurry = threading.Event()
        self._session: _Session | None = None
        self._acks = _Acks(clock)
        self._failures = 0

    def run(self, context: WorkerContext) -> None:
        """Connect, serve, and connect again with back-off until the service stops."""
        while not context.stopping:
            self._hurry.clear()
            error = self._run_once(context)
            if error is not None:
                self._failures += 1
                self._report(error)
                self._pause(context, backoff_s(self._failures))

    def publish(self, topic: str, payload: bytes, *, qos: int) -> bool:
        """Hand a message to the session; False when there is none or its queue is full."""
        session = self._session
        if session is None:
            return False
        info = session.client.publish(topic, payload, qos=qos)
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            return False
        if qos > 0:
            self._acks.sent(session.id, info.mid)
        return True

    def hurry(self) -> None:
        """End the present back-off."""
        self._hurry.set()

    def health(self) -> LinkHealth:
        """Return the session's id and the time of the last PUBACK."""
        session = self._session
        return LinkHealth(session.id if session else "", self._acks.last_mono_s)

    def _run_once(self, context: WorkerContext) -> LinkError | None:
        """One honest attempt: returns why there is no session any more, None when the service stops."""
        session = _Session(uuid.uuid4().hex)
        try:
            client = self._client(session)
            client.connect(
                self._settings.host,
                self._settings.port,
                keepalive=self._settings.keepalive_s,
                clean_start=False,
                properties=_connect_properties(self._settings.session_expiry_s),
            )
        except (OSError, ValueError) as exc:
            return link_failure(exc, self._where)
        try:
            if self._serve(session, context):
                self._say_goodbye(session)
                return None
        finally:
            self._lose(session)
        return session.error or link_failure(session.log_text, self._where)

    def _serve(self, session: "_Session", context: WorkerContext) -> bool:
        """Run the network loop; return True when the service stops, False when the session is lost."""
        while not context.stopping:
            context.beat()
            if session.client.loop(timeout=LOOP_S) != MQTTErrorCode.MQTT_ERR_SUCCESS or session.error is not None:
                return False
        return True

    def _client(self, session: "_Session") -> Client:
        will = self._make_will(session.id)
        client = Client(CallbackAPIVersion.VERSION2, self._settings.client_id, protocol=MQTTv5)
        session.client, session.will = client, will
        client.connect_timeout = CONNECT_S
        client.tls_set_context(self._tls())
        client.max_inflight_messages_set(INFLIGHT)
        client.max_queued_messages_set(QUEUED)
        client.will_set(will.topic, will.death, qos=1, retain=True)
        client.on_socket_open = guarded(_set_nodelay)
        client.on_socket_register_write = guarded(_leave_writing_to_the_loop)
        client.on_log = guarded(session.keep_log)
        client.on_connect = guarded(lambda *told: self._connected(session, told[3]))
        client.on_disconnect = guarded(lambda *told: session.disconnected(told[3], self._where))
        client.on_publish = guarded(lambda *told: self._acknowledged(session, told[2], told[3]))
        client.on_subscribe = guarded(lambda *told: self._subscribed(session, told[3]))
        client.on_message = guarded(lambda *told: self._handlers.on_message(told[2].topic, bytes(told[2].payload)))
        return client

    def _tls(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.sslsocket_class = _HandshakeSocket
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        for file in (self._settings.ca_file, self._settings.cert_file, self._settings.key_file):
            file.open("rb").close()  # a missing file gets its name into the error, which OpenSSL leaves out
        context.load_verify_locations(self._settings.ca_file)
        context.load_cert_chain(self._settings.cert_file, self._settings.key_file)
        return context

    def _connected(self, session: "_Session", reason: Any) -> None:
        if reason.value >= 0x80:
            session.error = reason_failure(reason.value, reason.getName(), self._where)
            return
        subscriptions = [(topic, SubscribeOptions(qos=qos)) for topic, qos in self._subscriptions.items()]
        session.client.subscribe(subscriptions)

    def _subscribed(self, session: "_Session", reasons: list[Any]) -> None:
        """The session stands only now: what the center sends before the SUBACK of a fresh session would be lost."""
        self._failures = 0
        self._session = session
        self._handlers.on_up()
        session.client.publish(session.will.topic, session.will.birth, qos=1, retain=True)
        self._faults.clear(DOWN_FAULT, SUBJECT)
        self._faults.clear(REFUSED_FAULT, SUBJECT)
        log.info("session up broker=%s session=%s", self._where, session.id)
        for reason in reasons:
            if reason.value >= 0x80:
                self._report(reason_failure(reason.value, reason.getName(), self._where))

    def _acknowledged(self, session: "_Session", mid: int, reason: Any) -> None:
        ours = self._acks.acknowledged(session.id, mid)
        if reason.value >= 0x80:
            self._report(reason_failure(reason.value, reason.getName(), self._where))
        elif reason.value == 0x10:
            log.warning("nobody at the center subscribes to what this pole sends broker=%s", self._where)
        elif ours:
            self._faults.clear(REFUSED_FAULT, SUBJECT)

    def _say_goodbye(self, session: "_Session") -> None:
        """An orderly end: our own word instead of the will's."""
        if self._session is not session:
            return
        session.client.publish(session.will.topic, session.will.death, qos=1, retain=True)
        session.client.disconnect()
        for _ in range(4):
            if session.client.loop(timeout=0.05) != MQTTErrorCode.MQTT_ERR_SUCCESS:
                return

    def _lose(self, session: "_Session") -> None:
        was_up = self._session is session
        self._session = None
        for name in ("on_disconnect", "on_log", "on_publish", "on_message"):
            setattr(session.client, name, None)
        session.client.disconnect()
        _close_socket(session.client)
        if was_up:
            self._handlers.on_down()

    def _report(self, error: LinkError) -> None:
        code, other = (DOWN_FAULT, REFUSED_FAULT)
        if isinstance(error, LinkRefusedError):
            code, other = REFUSED_FAULT, DOWN_FAULT
        self._faults.clear(other, SUBJECT)
        self._faults.report(code, str(error), SUBJECT)

    def _pause(self, context: WorkerContext, seconds: float) -> None:
        end = self._clock.mono_s() + seconds
        while not context.stopping and self._clock.mono_s() < end:
            context.beat()
            if self._clock.wait(self._hurry, min(LOOP_S, end - self._clock.mono_s())):
                return


class _HandshakeSocket(ssl.SSLSocket):
    """Closes itself when the handshake fails; paho leaves that to the garbage collector."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


class _Session:
    """One connection: its id, its client, and why it ended."""

    def __init__(self, session_id: str) -> None:
        self.id = session_id
        self.client: Client
        self.will: Will
        self.error: LinkError | None = None
        self.log_text = ""

    def keep_log(self, _client: object, _userdata: object, level: int, text: str) -> None:
        if level == LogLevel.MQTT_LOG_ERR:
            self.log_text = text

    def disconnected(self, reason: Any, where: str) -> None:
        """Keep the broker's reason; a connection that merely broke has 0x80, which says nothing beyond the log."""
        if self.error is None and reason.value > 0x80:
            self.error = reason_failure(reason.value, reason.getName(), where)


class _Acks:
    """Which PUBACKs were ours. paho calls `on_publish` for QoS 0 too, and may call it before `publish` has returned."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._open: OrderedDict[tuple[str, int], bool] = OrderedDict()
        self.last_mono_s: float | None = None

    def sent(self, session: str, mid: int) -> None:
        with self._lock:
            self._settle((session, mid), acknowledged=False)

    def acknowledged(self, session: str, mid: int) -> bool:
        """Return whether this was the PUBACK of a message noted by `sent`."""
        with self._lock:
            return self._settle((session, mid), acknowledged=True)

    def _settle(self, key: tuple[str, int], *, acknowledged: bool) -> bool:
        before = self._open.pop(key, None)
        if before is None or before is acknowledged:
            self._open[key] = acknowledged
            while len(self._open) > 2 * QUEUED:
                self._open.popitem(last=False)
            return False
        self.last_mono_s = self._clock.mono_s()
        return True


def _connect_properties(session_expiry_s: int) -> Properties:
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = session_expiry_s
    return properties


def _set_nodelay(_client: object, _userdata: object, sock: Any) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _leave_writing_to_the_loop(_client: object, _userdata: object, _sock: object) -> None:
    """Exist: that alone keeps `publish` from writing in the caller's thread."""


def _close_socket(client: Client) -> None:
    sock = client.socket()
    if sock is not None:
        sock.close()
