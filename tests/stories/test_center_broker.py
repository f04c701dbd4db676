"""The broker under our configuration: who may enter, write and read. A real mosquitto, real certificates."""

import os
import signal
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from paho.mqtt.enums import MQTTProtocolVersion
from support.broker import Broker
from support.center_alarms import Client, eventually, pole_client
from support.certificates import CertificateShop, certificates

from center import pki

__all__ = ["certificates"]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory, certificates: CertificateShop) -> Iterator[Broker]:
    with Broker(tmp_path_factory.mktemp("broker"), certificates) as running:
        yield running


@pytest.fixture
def center(broker: Broker) -> Iterator[Client]:
    client = Client(broker, broker.shop.center("center-alarms")).listen("ps/v1/+/up/#")
    yield client
    client.close()


@pytest.fixture
def pole(broker: Broker) -> Iterator[Client]:
    client = pole_client(broker)
    yield client
    client.close()


def test_what_a_pole_sends_reaches_the_center(pole: Client, center: Client) -> None:
    assert pole.send("ps/v1/pole-1/up/alarm", b"mine") == "Success"
    eventually(lambda: ("ps/v1/pole-1/up/alarm", b"mine") in center.messages)


@pytest.mark.parametrize(
    "topic",
    [
        "ps/v1/pole-2/up/alarm",
        "ps/v1/pole-1/down/receipt",
        "ps/v1/center/beat",
        "ps/v1/center/state",
        "elsewhere",
        "$SYS/x",
    ],
)
def test_a_pole_cannot_write_outside_its_own_topics(pole: Client, center: Client, topic: str) -> None:
    listener = center.listen("ps/v1/#", "elsewhere")
    assert pole.send(topic, b"forged") == "Not authorized"
    pole.send("ps/v1/pole-1/up/alarm", b"after")
    eventually(lambda: ("ps/v1/pole-1/up/alarm", b"after") in listener.messages)
    assert (topic, b"forged") not in listener.messages


def test_a_pole_hears_what_is_sent_to_it_and_the_center_beat(pole: Client, center: Client) -> None:
    center.send("ps/v1/pole-1/down/receipt", b"r")
    center.send("ps/v1/center/beat", b"b")
    eventually(lambda: len(pole.messages) == 2)


def test_a_pole_cannot_hear_others_whatever_it_subscribes_to(broker: Broker, center: Client) -> None:
    curious = pole_client(broker, "pole-3").listen("ps/v1/+/down/#", "ps/v1/pole-1/up/#", "#")
    center.send("ps/v1/pole-1/down/answer", b"private")
    pole_client(broker, "pole-1").send("ps/v1/pole-1/up/alarm", b"private")
    center.send("ps/v1/pole-3/down/answer", b"own")
    eventually(lambda: ("ps/v1/pole-3/down/answer", b"own") in curious.messages)
    assert all(payload != b"private" for _, payload in curious.messages)
    curious.close()


def test_a_pole_cannot_take_over_the_session_of_another(broker: Broker, pole: Client) -> None:
    thief = Client(broker, broker.shop.pole("pole-2"), client_id="pole-1")
    assert thief.accepted
    assert pole.send("ps/v1/pole-1/up/alarm", b"still here") in ("Success", "No matching subscribers")
    assert not pole.lost.is_set()
    thief.close()


def test_a_persons_certificate_writes_on_no_poles_topic(broker: Broker) -> None:
    person = Client(broker, broker.shop.person())
    assert person.send("ps/v1/pole-1/up/alarm", b"forged") == "Not authorized"
    assert person.send("ps/v1/kim-operator/up/alarm", b"forged") == "Not authorized"
    person.close()


def test_without_a_certificate_nobody_enters(broker: Broker) -> None:
    assert not Client(broker, None).accepted


def test_a_foreign_certificate_does_not_enter(broker: Broker) -> None:
    assert not Client(broker, broker.shop.foreign_pole()).accepted


def test_an_expired_certificate_does_not_enter(broker: Broker) -> None:
    assert not Client(broker, broker.shop.expired_pole()).accepted


def test_older_tls_does_not_enter(broker: Broker) -> None:
    context = broker.client_context(broker.shop.pole("pole-1"))
    context.check_hostname = False
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    with socket.create_connection(("127.0.0.1", broker.port)) as raw, pytest.raises(ssl.SSLError, match="version"):
        context.wrap_socket(raw)


def test_mqtt_311_is_bound_by_the_same_rights(broker: Broker, center: Client) -> None:
    old = Client(broker, broker.shop.pole("pole-4"), version=MQTTProtocolVersion.MQTTv311)
    old.send("ps/v1/pole-1/up/alarm", b"forged")
    old.send("ps/v1/pole-4/up/alarm", b"own")
    eventually(lambda: ("ps/v1/pole-4/up/alarm", b"own") in center.messages)
    assert ("ps/v1/pole-1/up/alarm", b"forged") not in center.messages
    old.close()


def test_a_message_over_the_limit_does_not_pass(broker: Broker, center: Client) -> None:
    loud = Client(broker, broker.shop.pole("pole-5"))
    assert loud.accepted
    loud._client.publish("ps/v1/pole-5/up/alarm", bytes(70_000), 1)
    assert loud.lost.wait(5)
    assert all(topic != "ps/v1/pole-5/up/alarm" for topic, _ in center.messages)


def test_a_revoked_pole_does_not_enter_again(tmp_path: Path) -> None:
    shop = CertificateShop(tmp_path / "pki")
    with Broker(tmp_path / "broker", shop) as own:
        thief = shop.pole("pole-stolen")
        before = Client(own, thief)
        assert before.accepted
        before.close()
        pki.revoke(shop.directory, thief.cert_file)
        assert own._child is not None
        os.kill(own._child.pid, signal.SIGHUP)
        eventually(lambda: not _enters(own, "pole-stolen"))
        assert _enters(own, "pole-1")


def _enters(broker: Broker, pole: str) -> bool:
    client = Client(broker, broker.shop.pole(pole))
    try:
        return client.accepted
    finally:
        client.close()
