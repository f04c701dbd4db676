"""The alarm service of the center, as a process, before a real broker: presses, kills, a dead disk, silent poles."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.broker import Broker
from support.center_alarms import AlarmCenter, Client, eventually, make_alarm, make_heartbeat, pole_client
from support.certificates import CertificateShop, certificates

from agent.contract.messages import Fault, Status, encode
from agent.contract.topics import up

__all__ = ["certificates"]


@pytest.fixture
def broker(tmp_path: Path, certificates: CertificateShop) -> Iterator[Broker]:
    with Broker(tmp_path / "broker", certificates) as running:
        yield running


@pytest.fixture
def stopped(tmp_path: Path, broker: Broker) -> Iterator[AlarmCenter]:
    center = AlarmCenter(tmp_path / "center", broker, silent_after_s=1)
    yield center
    center.close()


@pytest.fixture
def center(stopped: AlarmCenter) -> AlarmCenter:
    return stopped.start()


@pytest.fixture
def pole(broker: Broker) -> Iterator[Client]:
    client = pole_client(broker)
    yield client
    client.close()


def test_a_press_is_stored_and_then_receipted(center: AlarmCenter, pole: Client) -> None:
    pole.press(make_alarm())
    receipt = eventually(pole.receipts)[0]
    (press,) = center.store.alarms.presses("incident-1")
    assert (press.alarm_id, press.committed_at_us) == (receipt.alarm_id, receipt.committed_at_us)


def test_the_same_alarm_twice_is_one_press_and_the_same_receipt_twice(center: AlarmCenter, pole: Client) -> None:
    pole.press(make_alarm())
    pole.press(make_alarm())
    first, second = eventually(lambda: len(pole.receipts()) == 2 and pole.receipts())
    assert first == second
    (incident,) = center.store.alarms.incidents("all")
    assert incident.presses == 1


def test_killed_between_commit_and_receipt_the_resend_gives_one_incident_and_a_receipt(
    stopped: AlarmCenter, pole: Client
) -> None:
    stopped.start(step="committed")
    eventually(lambda: "session up identity=center-alarms" in stopped.log_text())
    pole.press(make_alarm())
    assert stopped.wait() == -9
    assert pole.receipts() == []
    stopped.start()
    pole.press(make_alarm())
    eventually(pole.receipts)
    (incident,) = stopped.store.alarms.incidents("all")
    assert incident.presses == 1


def test_a_press_while_the_center_is_down_is_receipted_when_it_is_back(center: AlarmCenter, pole: Client) -> None:
    center.kill()
    pole.press(make_alarm())
    center.start()
    assert eventually(pole.receipts)[0].alarm_id == "alarm-1"


def test_with_a_disk_that_refuses_there_is_no_receipt_and_no_beat_until_it_recovers(
    center: AlarmCenter, pole: Client
) -> None:
    eventually(pole.beats)
    center.refuse_writes(True)
    pole.press(make_alarm())
    eventually(lambda: "alarm not stored" in center.log_text() and "the beat stops" in center.log_text())
    beats = pole.beats()
    pole.press(make_alarm(alarm_id="alarm-2"))
    eventually(lambda: center.log_text().count("alarm not stored") >= 1)
    assert not pole.lost.wait(1.0)
    assert (pole.receipts(), pole.beats()) == ([], beats)
    center.refuse_writes(False)
    eventually(lambda: {receipt.alarm_id for receipt in pole.receipts()} == {"alarm-1", "alarm-2"})
    eventually(lambda: pole.beats() > beats)
    assert any(event.kind == "center" for event in center.store.events.after(0))


def test_a_killed_broker_is_joined_again_by_itself(broker: Broker, center: AlarmCenter) -> None:
    broker.kill()
    eventually(lambda: "broker session lost identity=center-alarms" in center.log_text())
    broker.start()
    eventually(lambda: center.log_text().count("session up identity=center-alarms") == 2)
    pole = pole_client(broker)
    pole.press(make_alarm())
    eventually(pole.receipts)
    pole.close()


def test_an_answer_and_a_close_reach_the_pole(center: AlarmCenter, pole: Client) -> None:
    pole.press(make_alarm())
    eventually(pole.receipts)
    center.store.alarms.answer("incident-1", "kim")
    eventually(lambda: [answer.state for answer in pole.answers()] == ["answered"])
    center.store.alarms.close("incident-1", "kim", "mistake")
    eventually(lambda: [answer.state for answer in pole.answers()] == ["answered", "closed"])
    eventually(lambda: center.store.alarms.down_queue() == [])


def test_an_answer_given_while_the_pole_was_gone_is_told_at_its_return(center: AlarmCenter, broker: Broker) -> None:
    pole = pole_client(broker)
    pole.press(make_alarm())
    eventually(pole.receipts)
    pole.close()
    center.store.alarms.answer("incident-1", "kim")
    eventually(lambda: center.store.alarms.down_queue() == [])
    back = pole_client(broker)
    back.be_born("pole-1", "s2")
    eventually(back.answers)
    back.close()


def test_a_killed_broker_does_not_swallow_an_answer(center: AlarmCenter, broker: Broker) -> None:
    pole = pole_client(broker)
    pole.press(make_alarm())
    eventually(pole.receipts)
    broker.kill()
    center.store.alarms.answer("incident-1", "kim")
    broker.start()
    back = pole_client(broker)
    eventually(back.answers)
    back.close()


@pytest.mark.parametrize("payload", [b"", b"{", b'{"v":2}', b"\xff\xfe", encode(make_alarm("pole-2"))])
def test_a_damaged_or_forged_alarm_is_quarantined_and_the_next_one_works(
    center: AlarmCenter, pole: Client, payload: bytes
) -> None:
    pole.send(up("pole-1", "alarm"), payload)
    (kept,) = eventually(center.store.quarantine.newest)
    assert (kept.pole, kept.payload) == ("pole-1", payload)
    pole.press(make_alarm())
    eventually(pole.receipts)
    assert [incident.pole for incident in center.store.alarms.incidents("all")] == ["pole-1"]


def test_a_damaged_heartbeat_is_quarantined_and_the_next_one_works(center: AlarmCenter, pole: Client) -> None:
    pole.send(up("pole-1", "heartbeat"), b"[]")
    eventually(center.store.quarantine.newest)
    pole.send(up("pole-1", "heartbeat"), encode(make_heartbeat()), qos=0)
    eventually(lambda: center.store.poles.get("pole-1"))


def test_faults_of_heartbeats_open_and_close_in_the_log(center: AlarmCenter, pole: Client) -> None:
    fault = Fault(code="camera-source-lost", subject="front", since_us=5)
    pole.send(up("pole-1", "heartbeat"), encode(make_heartbeat(faults=[fault])), qos=0)
    eventually(lambda: [row.code for row in center.store.faults.standing("pole-1")] == ["camera-source-lost"])
    pole.send(up("pole-1", "heartbeat"), encode(make_heartbeat(seq=2)), qos=0)
    eventually(lambda: not center.store.faults.standing("pole-1"))
    (row,) = center.store.faults.between(0, 2**62)
    assert (row.since_us, row.closed_at_us is not None) == (5, True)


def test_a_pole_whose_line_is_cut_is_silent_until_it_is_back(center: AlarmCenter, broker: Broker) -> None:
    will = encode(Status(pole="pole-1", session="s1", state="offline", at_us=1))
    pole = pole_client(broker, will=(up("pole-1", "status"), will))
    pole.be_born("pole-1", "s1")
    eventually(lambda: center.store.poles.get("pole-1"))
    pole.vanish()
    eventually(lambda: center.store.poles.get("pole-1").silent)
    back = pole_client(broker)
    back.be_born("pole-1", "s2")
    eventually(lambda: not center.store.poles.get("pole-1").silent)
    back.close()


def test_a_pole_that_stays_connected_but_stops_beating_is_silent(center: AlarmCenter, pole: Client) -> None:
    pole.send(up("pole-1", "heartbeat"), encode(make_heartbeat()), qos=0)
    eventually(lambda: center.store.poles.get("pole-1"))
    pole.send(up("pole-1", "heartbeat"), encode(make_heartbeat(seq=2)), qos=0)
    eventually(lambda: center.store.poles.get("pole-1").silent)


def test_it_ends_within_five_seconds_of_sigterm(center: AlarmCenter) -> None:
    assert center.terminate() < 5
    assert center.wait() == 0


def test_a_missing_certificate_is_a_configuration_mistake_not_a_traceback(stopped: AlarmCenter) -> None:
    text = stopped.config_file.read_text()
    stopped.config_file.write_text(text.replace("center-alarms.key", "gone.key"))
    words = [sys.executable, "-m", "center", "alarms", "--config", str(stopped.config_file)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 78
    assert "gone.key" in done.stderr
    assert "Traceback" not in done.stderr
