"""Every failure of the link is one clear sentence under the right fault; PUBACKs are told from mere writes."""

import socket
import ssl

import pytest

from agent.clock import SimulatedClock
from agent.errors import LinkRefusedError
from agent.mqtt.guard import guarded
from agent.mqtt.link import backoff_s, link_failure, reason_failure
from agent.mqtt.paho_link import _Acks

WHERE = "broker.example:8883"


def verify_error(code):
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = code, "because"
    return error


@pytest.mark.parametrize(
    ("cause", "refused", "words"),
    [
        (verify_error(10), True, "has expired; renew it at the center"),
        (verify_error(9), True, "check this pole's clock"),
        (verify_error(19), True, "another authority; compare ca_file"),
        (verify_error(62), True, "another host name"),
        (verify_error(1), True, "does not verify: because"),
        (
            "[SSL: SSLV3_ALERT_CERTIFICATE_EXPIRED] sslv3 alert certificate expired",
            True,
            "pole's certificate has expired",
        ),
        ("[SSL: SSLV3_ALERT_CERTIFICATE_REVOKED] alert", True, "is revoked"),
        ("[SSL: TLSV1_ALERT_UNKNOWN_CA] tlsv1 alert unknown ca", True, "does not know the authority"),
        ("[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED]", True, "asks for a certificate"),
        ("[SSL: SOME_OTHER_ALERT] alert no. 99", True, "tls was refused"),
        (ssl.SSLError(1, "[SSL: KEY_VALUES_MISMATCH] key values mismatch"), True, "key_file does not belong"),
        ("", False, "closed by the broker"),
        (ConnectionRefusedError(111, "refused"), False, "nothing listens there"),
        (socket.gaierror(-2, "unknown"), False, "host name is unknown"),
        (TimeoutError(), False, "no answer in time"),
        (OSError(101, "network is unreachable"), False, "check the dedicated link"),
        (FileNotFoundError(2, "No such file", "/etc/pole.crt"), True, "/etc/pole.crt cannot be read"),
    ],
)
def test_a_failure_says_what_to_do(cause, refused, words):
    error = link_failure(cause, WHERE)
    assert isinstance(error, LinkRefusedError) == refused
    assert words in str(error)


@pytest.mark.parametrize(("code", "refused"), [(0x87, True), (0x85, True), (0x8E, True), (0x88, False), (0x97, False)])
def test_a_reason_code_is_a_refusal_or_a_broken_link(code, refused):
    error = reason_failure(code, "Name", WHERE)
    assert isinstance(error, LinkRefusedError) == refused
    assert f"0x{code:02x}" in str(error)


def test_the_back_off_doubles_from_1_to_15_seconds():
    assert [backoff_s(failures) for failures in (0, 1, 2, 3, 4, 5, 6, 99)] == [1, 1, 2, 4, 8, 15, 15, 15]


def test_a_guarded_callback_never_raises(caplog):
    @guarded
    def on_message(payload):
        raise ValueError(payload)

    on_message("bad")
    assert "callback failed" in caplog.text


def test_a_puback_counts_whichever_of_publish_and_callback_comes_first():
    clock = SimulatedClock()
    acks = _Acks(clock)
    acks.sent("s", 1)
    assert acks.last_mono_s is None
    assert acks.acknowledged("s", 1)
    first = acks.last_mono_s
    clock.advance(5)
    assert not acks.acknowledged("s", 2)
    acks.sent("s", 2)
    assert acks.last_mono_s == first + 5


def test_the_writing_of_a_heartbeat_is_no_puback():
    acks = _Acks(SimulatedClock())
    for mid in range(5000):
        acks.acknowledged("s", mid)
    assert acks.last_mono_s is None
    assert len(acks._open) <= 2000
