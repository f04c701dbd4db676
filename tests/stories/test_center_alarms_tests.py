"""Test presses and inspections before the real broker: receipted like a bell, kept apart from every bell."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.broker import Broker
from support.center_alarms import CLOCK, AlarmCenter, Client, eventually, make_alarm, pole_client
from support.certificates import CertificateShop, certificates

from agent.contract import topics
from agent.contract.messages import Alarm, Inspection, InspectionPoint, encode
from agent.contract.topics import up
from center.store.korean_day import day_of
from center.store.store import utc_now_us

__all__ = ["certificates"]


@pytest.fixture
def broker(tmp_path: Path, certificates: CertificateShop) -> Iterator[Broker]:
    with Broker(tmp_path / "broker", certificates) as running:
        yield running


@pytest.fixture
def center(tmp_path: Path, broker: Broker) -> Iterator[AlarmCenter]:
    center = AlarmCenter(tmp_path / "center", broker)
    yield center.start()
    center.close()


@pytest.fixture
def pole(broker: Broker) -> Iterator[Client]:
    client = pole_client(broker)
    yield client
    client.close()


def press_in_test_mode(pole: Client, alarm: Alarm) -> None:
    pole.send(topics.test_up(alarm.pole, "alarm"), encode(alarm))


def make_inspection(name: str = "n1", result: str = "pass", **fields: str) -> Inspection:
    point = InspectionPoint(name="press", result=result)
    known = {"kind": "press-test", "started_at_us": 1, "finished_at_us": 2, "clock": CLOCK, "points": [point], **fields}
    return Inspection(inspection_id=name, pole="pole-1", **known)


def test_a_test_press_comes_back_as_a_receipt_and_stays_out_of_every_list(center: AlarmCenter, pole: Client) -> None:
    press_in_test_mode(pole, make_alarm(mode="test"))
    receipt = eventually(pole.receipts)[0]
    (trace,) = center.store.alarms.test_presses()
    assert (trace.alarm_id, trace.committed_at_us) == (receipt.alarm_id, receipt.committed_at_us)
    assert list(center.store.alarms.incidents("all")) == []
    assert [event.kind for event in center.store.events.after(0) if "press" in event.kind] == ["test-press"]


def test_a_test_press_while_the_center_is_down_is_receipted_when_it_is_back(center: AlarmCenter, pole: Client) -> None:
    center.kill()
    press_in_test_mode(pole, make_alarm(mode="test"))
    center.start()
    assert eventually(pole.receipts)[0].alarm_id == "alarm-1"


def test_a_press_whose_topic_and_mode_disagree_rings_for_real(center: AlarmCenter, pole: Client) -> None:
    press_in_test_mode(pole, make_alarm())
    eventually(pole.receipts)
    (incident,) = center.store.alarms.incidents("open")
    assert incident.state == "open"
    assert "taken as real" in center.store.quarantine.newest()[0].reason


def test_an_inspection_is_receipted_and_does_its_work_order(center: AlarmCenter, pole: Client) -> None:
    month = day_of(utc_now_us())
    order = center.store.work_orders.create("pole-1", month, "kim").work_order
    for _ in range(2):
        pole.send(up("pole-1", "inspection"), encode(make_inspection(work_order=order)))
    first, second = eventually(lambda: len(pole.receipts()) == 2 and pole.receipts())
    assert first == second
    assert first.alarm_id == "n1"
    assert list(center.store.work_orders.open()) == []
    (row,) = center.store.inspections.coverage_month(month).poles
    assert row.press_test.proved


def test_a_failed_inspection_stands_as_a_fault(center: AlarmCenter, pole: Client) -> None:
    pole.send(up("pole-1", "inspection"), encode(make_inspection(result="fail")))
    eventually(pole.receipts)
    assert [row.code for row in center.store.faults.standing("pole-1")] == ["inspection-press-failed"]


def test_an_inspection_that_cannot_be_stored_is_not_receipted_and_comes_again(
    center: AlarmCenter, pole: Client
) -> None:
    center.refuse_writes(True)
    pole.send(up("pole-1", "inspection"), encode(make_inspection()))
    eventually(lambda: "inspection not stored" in center.log_text())
    assert pole.receipts() == []
    center.refuse_writes(False)
    pole.send(up("pole-1", "inspection"), encode(make_inspection()))
    assert eventually(pole.receipts)[0].alarm_id == "n1"


@pytest.mark.parametrize("kind", ["reply", "audit", "weather", "test/weather"])
def test_words_of_other_kinds_stop_neither_bells_nor_inspections(center: AlarmCenter, pole: Client, kind: str) -> None:
    for payload in (b"", b"{", b"\xff" * 100, encode(make_alarm())):
        pole.send(up("pole-1", kind), payload)
    pole.press(make_alarm())
    pole.send(up("pole-1", "inspection"), encode(make_inspection()))
    eventually(lambda: {receipt.alarm_id for receipt in pole.receipts()} == {"alarm-1", "n1"})


def test_seen_answered_dispatched_and_closed_reach_the_pole_in_order(center: AlarmCenter, pole: Client) -> None:
    pole.press(make_alarm())
    eventually(pole.receipts)
    center.store.alarms.seen("incident-1", "kim")
    center.store.alarms.answer("incident-1", "kim")
    center.store.alarms.take_over("incident-1", "lee")
    center.store.alarms.dispatch("incident-1", "lee", "119")
    center.store.alarms.close("incident-1", "lee", "real")
    told = ["seen", "answered", "answered", "dispatched", "closed"]
    eventually(lambda: [answer.state for answer in pole.answers()] == told)
    eventually(lambda: center.store.alarms.down_queue() == [])
