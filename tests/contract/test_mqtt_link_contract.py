"""What every Link must do: the one in memory, and paho against a real mosquitto over mutual TLS."""

import socket
import threading
import time

import pytest
from support.broker import Broker
from support.certificates import certificates  # noqa: F401
from support.tiny_center import TinyCenter

from agent.clock import SystemClock
from agent.contract import topics
from agent.contract.messages import Status, encode
from agent.fault_board import FaultBoard
from agent.mqtt.link import LinkHandlers, LinkSettings, Will
from agent.mqtt.memory_link import MemoryLink
from agent.mqtt.paho_link import PahoLink
from agent.supervise import WorkerContext

POLE = "pole-1"
DOWN = topics.down(POLE, "answer")


class Told:
    """What the link told us."""

    def __init__(self):
        self.ups, self.downs, self.messages = 0, 0, []
        self.changed = threading.Condition()

    def handlers(self):
        return LinkHandlers(self.up, self.down, self.message)

    def up(self):
        with self.changed:
            self.ups += 1
            self.changed.notify_all()

    def down(self):
        with self.changed:
            self.downs += 1
            self.changed.notify_all()

    def message(self, topic, payload):
        with self.changed:
            self.messages.append((topic, payload))
            self.changed.notify_all()
        if payload == b"trap":
            raise RuntimeError("a mistake of ours")

    def wait_for(self, condition):
        with self.changed:
            return self.changed.wait_for(lambda: condition(self), 20)


class MemoryRig:
    def __init__(self, _tmp_path, _shop):
        self.told = Told()
        self.link = MemoryLink(self.told.handlers(), SystemClock())
        self.lose, self.restore = self.link.disconnect, self.link.connect

    def send(self, payload):
        self.link.deliver(DOWN, payload)

    def arrived(self):
        return [message.payload for message in self.link.published]

    def close(self):
        pass


class PahoRig:
    def __init__(self, tmp_path, shop):
        self.told, self.broker = Told(), Broker(tmp_path, shop).start()
        who = shop.pole(POLE)
        settings = LinkSettings("127.0.0.1", self.broker.port, who.ca_file, who.cert_file, who.key_file, POLE)
        will = Will(topics.up(POLE, "status"), self.status("online"), self.status("offline"))
        clock = SystemClock()
        self.faults = FaultBoard(clock)
        subscriptions = {topics.down(POLE, "answer"): 1}
        self.link = PahoLink(settings, subscriptions, lambda _: will, self.told.handlers(), self.faults, clock)
        self.center = TinyCenter(self.broker)
        self.received = []
        self.center._client.on_message = lambda _client, _data, message: self.received.append(
            (message.topic, message.payload)
        )
        self.lose, self.restore = self.broker.kill, self.broker.start

    @staticmethod
    def status(state):
        return encode(Status(pole=POLE, session="s", state=state, at_us=1))

    def send(self, payload):
        self.center.send(DOWN, payload)

    def arrived(self):
        return [payload for topic, payload in self.received if topic.endswith("/alarm")]

    def close(self):
        self.center.close()
        self.broker.kill()


@pytest.fixture(params=[MemoryRig, PahoRig])
def rig(request, tmp_path, certificates):  # noqa: F811
    rig = request.param(tmp_path, certificates)
    yield rig
    rig.close()


@pytest.fixture
def running(rig):
    stop = threading.Event()
    thread = threading.Thread(target=rig.link.run, args=(WorkerContext(SystemClock(), stop),), daemon=True)
    thread.start()
    assert rig.told.wait_for(lambda told: told.ups == 1)
    yield rig
    stop.set()
    thread.join(10)
    assert not thread.is_alive()


def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def publish(rig, payload=b"alarm", qos=1):
    return rig.link.publish(topics.up(POLE, "alarm"), payload, qos=qos)


def test_without_a_session_nothing_is_taken_and_nothing_is_queued(rig):
    assert not publish(rig)
    assert rig.link.health().session == ""
    assert rig.arrived() == []


def test_with_a_session_a_message_arrives_and_its_acknowledgement_is_known(running):
    assert publish(running)
    until(lambda: running.arrived() == [b"alarm"])
    until(lambda: running.link.health().last_puback_mono_s is not None)


def test_a_message_without_acknowledgement_is_no_sign_of_health(running):
    assert publish(running, qos=0)
    until(lambda: running.arrived())
    assert running.link.health().last_puback_mono_s is None


def test_a_message_from_the_other_side_is_handed_over(running):
    running.send(b"hello")
    assert running.told.wait_for(lambda told: told.messages == [(DOWN, b"hello")])


def test_an_error_in_our_handler_does_not_end_the_session(running):
    running.send(b"trap")
    running.send(b"after")
    assert running.told.wait_for(lambda told: len(told.messages) == 2)
    assert publish(running)
    until(lambda: running.arrived())


def test_a_lost_session_is_told_and_the_next_one_has_another_id(running):
    first = running.link.health().session
    running.lose()
    assert running.told.wait_for(lambda told: told.downs == 1)
    assert not publish(running)
    running.restore()
    running.link.hurry()
    assert running.told.wait_for(lambda told: told.ups == 2)
    assert running.link.health().session not in ("", first)


def test_publishing_from_many_threads_at_once_loses_nothing(running):
    threads = [threading.Thread(target=publish, args=(running, str(number).encode())) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    until(lambda: len(running.arrived()) == 20)


def test_the_socket_to_the_broker_does_not_wait_to_fill_packets(tmp_path, certificates):  # noqa: F811
    """FACTS: press to receipt took 88 ms without TCP_NODELAY, 2.3 ms with it."""
    rig = PahoRig(tmp_path, certificates)
    stop = threading.Event()
    thread = threading.Thread(target=rig.link.run, args=(WorkerContext(SystemClock(), stop),), daemon=True)
    thread.start()
    assert rig.told.wait_for(lambda told: told.ups == 1)
    sock = rig.link._session.client.socket()
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    stop.set()
    thread.join(10)
    rig.close()


def test_a_topic_that_the_broker_does_not_allow_is_a_fault(tmp_path, certificates):  # noqa: F811
    """FACTS: in MQTT 3.1.1 a denied publish looks like success; 5.0 says 0x87."""
    rig = PahoRig(tmp_path, certificates)
    stop = threading.Event()
    thread = threading.Thread(target=rig.link.run, args=(WorkerContext(SystemClock(), stop),), daemon=True)
    thread.start()
    assert rig.told.wait_for(lambda told: told.ups == 1)
    rig.link.publish(topics.up("another-pole", "alarm"), b"forged", qos=1)
    until(lambda: any(fault.code == "link-refused" for fault in rig.faults.standing()))
    publish(rig)
    until(lambda: rig.faults.standing() == [])
    stop.set()
    thread.join(10)
    rig.close()
