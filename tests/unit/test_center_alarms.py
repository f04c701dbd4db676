"""The desk, the beat and the answers without a broker: what is said, and in which order."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.center_alarms import make_alarm, make_heartbeat
from support.center_store import CenterClock, open_store

from agent.contract.messages import AlarmReceipt, CenterBeat, Status, decode, encode
from agent.contract.topics import CENTER_BEAT, up
from center.alarms.alarm_desk import AlarmDesk, Outlet
from center.alarms.answers import Answers
from center.alarms.beat import Beat
from center.alarms.callback_guard import guarded
from center.alarms.paho_session import Incoming
from center.alarms.telemetry_desk import TelemetryDesk
from center.store import database


class Wire:
    """Writes down, in order, what the center does towards the broker."""

    def __init__(self) -> None:
        self.log: list[tuple[str, str]] = []
        self.payloads: list[bytes] = []

    def publish(self, topic: str, payload: bytes) -> int:
        self.log.append(("publish", topic))
        self.payloads.append(payload)
        return len(self.payloads)

    def ack(self, incoming: Incoming) -> None:
        self.log.append(("ack", incoming.topic))


class Rig:
    """A desk and a beat on one store; `lock` makes the database refuse every write, as another writer's hang does."""

    def __init__(self, directory: Path) -> None:
        self.clock = CenterClock()
        self.store = open_store(directory, self.clock)
        self.wire = Wire()
        self.desk = AlarmDesk(self.store, Outlet(self.wire.publish, self.wire.ack), self.note)
        self.online = True
        self.beat = Beat(self.store, self.desk, self.wire.publish, lambda: self.online, self.clock)
        self._other = sqlite3.connect(directory / "center.sqlite", isolation_level=None)

    def note(self, step: str) -> None:
        self.wire.log.append(("step", step))

    def lock(self) -> None:
        self._other.execute("BEGIN IMMEDIATE")

    def unlock(self) -> None:
        self._other.execute("ROLLBACK")

    def close(self) -> None:
        self._other.close()
        self.store.close()


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    monkeypatch.setattr(database, "BUSY_S", 0.01)
    rig = Rig(tmp_path)
    yield rig
    rig.close()


def incoming(kind: str, payload: bytes, pole: str = "pole-1", retained: bool = False) -> Incoming:
    return Incoming(up(pole, kind), payload, retained, (1, 1))


PRESS = incoming("alarm", encode(make_alarm()))


def test_commit_then_receipt_then_ack_in_this_order(rig: Rig) -> None:
    rig.desk.take(PRESS)
    assert rig.wire.log == [("step", "committed"), ("publish", "ps/v1/pole-1/down/receipt"), ("ack", PRESS.topic)]
    assert decode(rig.wire.payloads[0], AlarmReceipt).alarm_id == "alarm-1"


def test_what_cannot_be_stored_gets_neither_receipt_nor_ack_and_is_taken_again(rig: Rig) -> None:
    rig.lock()
    rig.desk.take(PRESS)
    assert (rig.wire.log, rig.desk.waiting) == ([], 1)
    rig.unlock()
    rig.desk.retry()
    assert [what for what, _ in rig.wire.log] == ["step", "publish", "ack"]
    assert rig.desk.waiting == 0


def test_what_fails_again_waits_again(rig: Rig) -> None:
    rig.lock()
    rig.desk.take(PRESS)
    rig.desk.retry()
    assert (rig.wire.log, rig.desk.waiting) == ([], 1)
    rig.unlock()


def test_a_lost_connection_forgets_what_the_broker_will_bring_again(rig: Rig) -> None:
    rig.lock()
    rig.desk.take(PRESS)
    rig.desk.forget()
    rig.unlock()
    rig.desk.retry()
    assert rig.wire.log == []


@pytest.mark.parametrize("pole", ["person.kim", "center-alarms", "center", "X"])
def test_who_is_no_pole_raises_no_alarm(rig: Rig, pole: str) -> None:
    rig.desk.take(incoming("alarm", encode(make_alarm(pole)), pole))
    assert [what for what, _ in rig.wire.log] == ["ack"]
    assert list(rig.store.alarms.incidents("all")) == []
    assert len(rig.store.quarantine.newest()) == 1


def test_a_topic_that_is_not_ours_is_quarantined(rig: Rig) -> None:
    rig.desk.take(Incoming("elsewhere", b"x", False, (1, 1)))
    assert rig.store.quarantine.newest()[0].source == "elsewhere"


@pytest.mark.parametrize("number", [b"99999999999999999999999", b"18446744073709551615", b"-9223372036854775809"])
def test_a_number_that_can_never_be_stored_is_quarantined_and_does_not_stop_the_beat(rig: Rig, number: bytes) -> None:
    rig.desk.take(incoming("alarm", PRESS.payload.replace(b'"press_number":1', b'"press_number":' + number)))
    assert (rig.desk.waiting, len(rig.store.quarantine.newest())) == (0, 1)
    assert rig.beat.run_once()


def test_a_beat_follows_a_commit(rig: Rig) -> None:
    assert rig.beat.run_once()
    assert rig.wire.log == [("publish", CENTER_BEAT)]
    assert decode(rig.wire.payloads[0], CenterBeat).seq == 1
    assert rig.store.database.row("SELECT at_us FROM write_check") is not None


def test_no_beat_without_a_writable_database_and_the_outage_leaves_a_trace(rig: Rig) -> None:
    rig.lock()
    assert not rig.beat.run_once()
    assert rig.wire.log == []
    rig.unlock()
    since_us = rig.clock.us
    rig.clock.advance(60)
    assert rig.beat.run_once()
    (event,) = [event for event in rig.store.events.after(0) if event.kind == "center"]
    assert event.data == {"state": "store-recovered", "since_us": since_us}


def test_waiting_alarms_come_before_the_beat(rig: Rig) -> None:
    rig.lock()
    rig.desk.take(PRESS)
    rig.unlock()
    assert rig.beat.run_once()
    assert [topic for what, topic in rig.wire.log if what == "publish"] == ["ps/v1/pole-1/down/receipt", CENTER_BEAT]


def test_no_beat_is_counted_while_the_broker_is_away(rig: Rig) -> None:
    rig.online = False
    assert not rig.beat.run_once()
    rig.online = True
    rig.beat.run_once()
    assert decode(rig.wire.payloads[0], CenterBeat).seq == 1


def answers(rig: Rig) -> Answers:
    rig.desk.take(PRESS)
    rig.store.alarms.answer("incident-1", "kim")
    rig.wire.log.clear()
    rig.wire.payloads.clear()
    return Answers(rig.store, rig.wire.publish, rig.clock)


def test_an_answer_is_published_once_and_marked_after_its_puback(rig: Rig) -> None:
    worker = answers(rig)
    worker.run_once()
    worker.run_once()
    assert rig.wire.log == [("publish", "ps/v1/pole-1/down/answer")]
    assert len(rig.store.alarms.down_queue()) == 1
    worker.acknowledged(1, False)
    worker.run_once()
    assert list(rig.store.alarms.down_queue()) == []


def test_pubacks_of_receipts_and_refusals_mark_nothing(rig: Rig) -> None:
    worker = answers(rig)
    worker.run_once()
    worker.acknowledged(99, False)
    worker.acknowledged(1, True)
    worker.run_once()
    assert len(rig.store.alarms.down_queue()) == 1


def test_a_puback_that_cannot_be_written_down_is_not_forgotten(rig: Rig) -> None:
    worker = answers(rig)
    worker.run_once()
    rig.lock()
    worker.acknowledged(1, False)
    with pytest.raises(OSError, match="locked"):
        worker.run_once()
    rig.unlock()
    worker.run_once()
    assert list(rig.store.alarms.down_queue()) == []


def test_after_a_reconnect_the_last_word_goes_out_again(rig: Rig) -> None:
    worker = answers(rig)
    worker.run_once()
    worker.acknowledged(1, False)
    worker.run_once()
    worker.connected()
    worker.run_once()
    assert len(rig.wire.log) == 2


def test_telemetry_that_cannot_be_stored_stops_nothing(rig: Rig) -> None:
    desk = TelemetryDesk(rig.store, rig.clock)
    beat = incoming("heartbeat", encode(make_heartbeat()))
    rig.lock()
    desk.take(beat)
    rig.unlock()
    desk.take(beat)
    assert rig.store.poles.get("pole-1") is not None


def test_silence_is_judged_only_while_the_center_listens(rig: Rig) -> None:
    desk = TelemetryDesk(rig.store, rig.clock)
    desk.listening(True)
    desk.take(incoming("heartbeat", encode(make_heartbeat())))
    desk.listening(False)
    rig.clock.advance(1000)
    assert desk.watch(20) == 0
    desk.listening(True)
    assert desk.watch(20) == 0
    rig.clock.advance(51)
    assert desk.watch(20) == 1


@pytest.mark.parametrize(("retained", "told"), [(False, 1), (True, 0)])
def test_only_a_fresh_birth_is_told_the_answers_again(rig: Rig, retained: bool, told: int) -> None:
    worker = answers(rig)
    worker.run_once()
    worker.acknowledged(1, False)
    worker.run_once()
    status = encode(Status(pole="pole-1", session="s1", state="online", at_us=1))
    TelemetryDesk(rig.store, rig.clock).take(incoming("status", status, retained=retained))
    assert len(rig.store.alarms.down_queue()) == told


def test_a_removed_retained_state_is_no_damage(rig: Rig) -> None:
    TelemetryDesk(rig.store, rig.clock).take(incoming("status", b""))
    assert list(rig.store.quarantine.newest()) == []


def test_a_guarded_callback_never_raises(caplog: pytest.LogCaptureFixture) -> None:
    guarded(lambda: 1 / 0)()
    assert "callback failed" in caplog.text
