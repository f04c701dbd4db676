"""The smallest center that keeps its word: takes an alarm, remembers it by `alarm_id`, then sends the receipt."""

import threading

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from agent.contract import topics
from agent.contract.messages import Alarm, AlarmReceipt, AlarmUpdate, CenterBeat, Heartbeat, Status, decode, encode
from support.broker import Broker
from support.payload_check import breach


class TinyCenter:
    """`alarms`: what was committed; `deliveries`: every copy that came. With `answering=False` it commits nothing."""

    def __init__(self, broker: Broker, answering: bool = True) -> None:
        self.alarms: dict[str, Alarm] = {}
        self.deliveries: list[str] = []
        self.heartbeats: list[Heartbeat] = []
        self.statuses: list[Status] = []
        self.breaches: list[str] = []
        self.answering = answering
        self._seq = 0
        self._changed = threading.Condition()
        self._subscribed = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, "center-alarms", protocol=mqtt.MQTTv5)
        self._client.tls_set_context(broker.client_context(broker.shop.center("center-alarms")))
        self._client.on_connect = lambda client, *_: client.subscribe("ps/v1/+/up/#", qos=1)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._take
        self._client.reconnect_delay_set(1, 1)
        self._client.connect("127.0.0.1", broker.port, clean_start=True)
        self._client.loop_start()
        assert self._subscribed.wait(10)

    def beat(self) -> None:
        self._seq += 1
        self.send(topics.CENTER_BEAT, encode(CenterBeat(seq=self._seq, at_us=self._seq)))

    def answer(self, pole: str, incident_id: str, state: str, at_us: int = 4_000_000_000_000_000) -> None:
        update = AlarmUpdate(incident_id=incident_id, state=state, at_us=at_us, by="kim")
        self.send(topics.down(pole, "answer"), encode(update))

    def send(self, topic: str, payload: bytes) -> None:
        self._client.publish(topic, payload, qos=1)

    def wait_for(self, condition, timeout_s: float = 20) -> bool:
        with self._changed:
            return self._changed.wait_for(condition, timeout_s)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _take(self, _client: object, _userdata: object, message: mqtt.MQTTMessage) -> None:
        pole, kind = topics.pole_of(message.topic) or ("", "")
        broken = breach(message.topic, message.payload)
        with self._changed:
            self.breaches += [broken] if broken else []
            if kind == "alarm":
                self._take_alarm(pole, decode(message.payload, Alarm))
            elif kind == "heartbeat":
                self.heartbeats.append(decode(message.payload, Heartbeat))
            elif kind == "status":
                self.statuses.append(decode(message.payload, Status))
            self._changed.notify_all()

    def _take_alarm(self, pole: str, alarm: Alarm) -> None:
        self.deliveries.append(alarm.alarm_id)
        if self.answering:
            self.alarms[alarm.alarm_id] = alarm
            receipt = AlarmReceipt(alarm_id=alarm.alarm_id, committed_at_us=1)
            self.send(topics.down(pole, "receipt"), encode(receipt))

    def __enter__(self) -> "TinyCenter":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        assert self.breaches == [], "the pole published what is not in the contract"
