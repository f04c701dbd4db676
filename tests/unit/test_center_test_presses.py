"""Test and real never mix; and where it is not sure which, it is real."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.center_alarms import make_alarm
from support.center_store import CenterClock, open_store

from agent.contract import topics
from agent.contract.messages import Alarm, AlarmReceipt, decode, encode
from agent.contract.topics import up
from center.alarms.alarm_desk import AlarmDesk, Outlet
from center.alarms.escalation import Ladder
from center.alarms.escalator import Escalator
from center.alarms.paho_session import Incoming
from center.alarms.telemetry_desk import TelemetryDesk
from center.errors import ContractError
from center.store import Store

TEST = make_alarm(mode="test")


class Desk:
    """A desk on a store, and what it sent."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.receipts: list[AlarmReceipt] = []
        self.acks = 0
        self.desk = AlarmDesk(store, Outlet(self._publish, self._ack))

    def on_test_topic(self, alarm: Alarm) -> None:
        self.desk.take(Incoming(topics.test_up(alarm.pole, "alarm"), encode(alarm), False, (1, 1)))

    def on_real_topic(self, alarm: Alarm) -> None:
        self.desk.take(Incoming(up(alarm.pole, "alarm"), encode(alarm), False, (1, 1)))

    def breaches(self) -> list[str]:
        return [row.reason for row in self.store.quarantine.newest()]

    def kinds(self) -> list[str]:
        return [event.kind for event in self.store.events.after(0)]

    def _publish(self, topic: str, payload: bytes) -> None:
        assert topic.endswith("/down/receipt")
        self.receipts.append(decode(payload, AlarmReceipt))

    def _ack(self, _incoming: Incoming) -> None:
        self.acks += 1


@pytest.fixture
def clock() -> CenterClock:
    return CenterClock()


@pytest.fixture
def desk(tmp_path: Path, clock: CenterClock) -> Iterator[Desk]:
    store = open_store(tmp_path, clock)
    yield Desk(store)
    store.close()


def test_a_test_press_gets_its_receipt_and_a_banner_and_is_in_no_list(desk: Desk) -> None:
    desk.on_test_topic(TEST)
    (trace,) = desk.store.alarms.test_presses()
    assert (desk.receipts[0].alarm_id, desk.receipts[0].committed_at_us) == (trace.alarm_id, trace.committed_at_us)
    assert desk.kinds() == ["test-press"]
    assert list(desk.store.alarms.incidents("all")) == []
    assert list(desk.store.alarms.presses("incident-1")) == []
    assert desk.store.alarms.answer_times(0, 2**62, simulated=True).count == 0
    assert (desk.breaches(), desk.acks) == ([], 1)


def test_a_test_press_never_escalates(desk: Desk, clock: CenterClock) -> None:
    desk.on_test_topic(TEST)
    clock.advance(3600)
    assert Escalator(desk.store, Ladder(), clock).run_once() == 0


def test_the_same_test_press_twice_is_one_trace_and_the_same_receipt(desk: Desk, clock: CenterClock) -> None:
    desk.on_test_topic(TEST)
    clock.advance(9)
    desk.on_test_topic(TEST)
    assert desk.receipts[0] == desk.receipts[1]
    assert (len(desk.store.alarms.test_presses()), desk.kinds()) == (1, ["test-press"])


@pytest.mark.parametrize("mode", ["normal", "maintenance"])
def test_a_real_press_on_the_test_topic_is_real_and_the_breach_is_shown(desk: Desk, mode: str) -> None:
    desk.on_test_topic(make_alarm(mode=mode))
    (incident,) = desk.store.alarms.incidents("open")
    assert incident.incident_id == "incident-1"
    assert "came on the test topic; it was taken as real" in desk.breaches()[0]
    assert sorted(desk.kinds()) == ["alarm", "quarantine"]
    assert len(desk.receipts) == 1


def test_a_test_press_on_the_topic_of_real_ones_is_real_and_the_breach_is_shown(desk: Desk) -> None:
    desk.on_real_topic(TEST)
    (incident,) = desk.store.alarms.incidents("open")
    assert incident.mode == "normal"
    assert "topic of real alarms; it was taken as real" in desk.breaches()[0]
    assert list(desk.store.alarms.test_presses()) == []


def test_a_breach_that_is_sent_again_is_kept_once(desk: Desk) -> None:
    desk.on_real_topic(TEST)
    desk.on_real_topic(TEST)
    assert (len(desk.breaches()), len(desk.receipts)) == (1, 2)


def test_a_press_in_maintenance_is_real(desk: Desk) -> None:
    desk.on_real_topic(make_alarm(mode="maintenance"))
    (incident,) = desk.store.alarms.incidents("open")
    assert (incident.mode, desk.breaches()) == ("maintenance", [])


def test_a_test_press_on_a_real_incident_is_counted_there(desk: Desk) -> None:
    desk.on_real_topic(make_alarm())
    desk.on_test_topic(make_alarm(alarm_id="alarm-2", press_number=2, mode="test"))
    (incident,) = desk.store.alarms.incidents("open")
    assert (incident.presses, list(desk.store.alarms.test_presses())) == (2, [])


def test_a_test_press_that_became_real_is_real_and_its_resent_test_stays_a_test(desk: Desk) -> None:
    desk.on_test_topic(TEST)
    desk.on_real_topic(make_alarm(alarm_id="alarm-3", press_number=3))
    desk.on_test_topic(TEST)
    (incident,) = desk.store.alarms.incidents("open")
    assert (incident.presses, len(desk.store.alarms.test_presses())) == (1, 1)


def test_the_same_alarm_sent_as_a_test_and_then_as_real_is_real(desk: Desk) -> None:
    desk.on_test_topic(TEST)
    desk.on_real_topic(make_alarm())
    assert len(desk.store.alarms.incidents("open")) == 1


def test_a_real_alarm_that_comes_again_as_a_test_stays_real_with_the_same_receipt(desk: Desk) -> None:
    desk.on_real_topic(make_alarm())
    desk.on_test_topic(TEST)
    assert desk.receipts[0] == desk.receipts[1]
    assert list(desk.store.alarms.test_presses()) == []


def test_a_test_press_of_another_pole_is_refused(desk: Desk) -> None:
    desk.on_test_topic(TEST)
    with pytest.raises(ContractError, match="belongs to pole pole-1"):
        desk.store.alarms.commit_test(make_alarm("pole-2", mode="test"), b"")


@pytest.mark.parametrize("kind", ["reply", "audit", "weather", "test/heartbeat"])
def test_kinds_that_nobody_reads_are_kept_and_stop_nothing(desk: Desk, clock: CenterClock, kind: str) -> None:
    telemetry = TelemetryDesk(desk.store, clock)
    for payload in (b"", b"{}", b"\xff", encode(make_alarm())):
        telemetry.take(Incoming(up("pole-1", kind), payload, False, (1, 1)))
    assert all("no reader for messages of kind" in reason for reason in desk.breaches())
    desk.on_real_topic(make_alarm())
    assert len(desk.receipts) == 1
