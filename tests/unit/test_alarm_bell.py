"""The bell's one thread, stepped by hand: order of actions, failing disk, freshness of the center."""

import pytest
from support.bell_rig import POLE, Rig

from agent.bell.bell import BEAT_MAX_S, MESSAGES, RETRY_S, SESSION_LOST_S, FromCenter, SetMode
from agent.bell.contact_watch import LineReading
from agent.bell.indicator import Lamps, LightState
from agent.bell.line import Actuation
from agent.bell.outbox import OutboxError
from agent.contract import topics
from agent.contract.messages import AlarmReceipt, AlarmUpdate, CenterBeat, encode


@pytest.fixture
def rig(tmp_path):
    rig = Rig(tmp_path)
    rig.bell.begin()
    rig.link.connect()
    yield rig
    rig.outbox.close()


def test_the_light_comes_first_then_the_commit_then_the_publish(rig, monkeypatch):
    order = []
    drive, add, publish = rig.indicator.drive, rig.outbox.add, rig.link.publish
    rig.indicator.drive = lambda lamps: (order.append("light"), drive(lamps))
    rig.outbox.add = lambda alarm: (order.append("commit"), add(alarm))
    rig.link.publish = lambda *args, **kind: (order.append("publish"), publish(*args, **kind))[1]
    rig.press()
    assert order[:3] == ["light", "commit", "publish"]


def test_the_light_does_not_wait_for_the_thread_that_writes(rig):
    rig.bell.post(Actuation("pressed", rig.clock.mono_s(), False))
    assert rig.indicator.lit().red, "nobody has served the inbox yet"
    rig.bell.tick()
    assert rig.light.state is LightState.CALLING, "and a tick with the press still waiting does not take it back"


def test_a_press_in_test_mode_does_not_flash_as_a_real_call(rig):
    rig.bell.handle(SetMode("test", 60.0, "kim", "monthly"))
    rig.bell.post(Actuation("pressed", rig.clock.mono_s(), False))
    assert rig.light.state is LightState.TEST


def test_a_session_that_is_lost_takes_the_white_light_with_it_after_five_seconds(rig):
    rig.beat()
    assert rig.light.state is LightState.READY
    rig.link.disconnect()
    rig.pass_time(SESSION_LOST_S - 1)
    assert rig.light.state is LightState.READY, "a short break is no reason to frighten anybody"
    rig.pass_time(3)
    assert rig.light.state is LightState.OUT_OF_SERVICE
    rig.link.connect()
    rig.pass_time(1)
    assert rig.light.state is LightState.READY


def test_a_failing_disk_stops_neither_light_nor_alarm_and_is_made_good_later(rig):
    rig.outbox.failing = True
    rig.outbox.close()
    rig.press()
    assert rig.indicator.lit().red
    assert len(rig.sent()) == 1
    assert ("outbox-unwritable", "") in rig.codes()
    rig.receipt(rig.sent()[0].alarm_id)
    assert rig.bell.snapshot.waiting == 0
    rig.outbox.failing = False
    rig.pass_time(RETRY_S + 1)
    assert ("outbox-unwritable", "") not in rig.codes()
    assert rig.outbox.load(POLE, 0.0).receipted_at_us == 7


def test_an_outbox_that_comes_back_late_gives_its_old_alarms_to_be_sent(rig):
    rig.link.disconnect()
    rig.press()
    rig.outbox.close()
    rig.begin()
    rig.outbox.failing = True
    rig.bell.begin()
    rig.link.connect()
    assert rig.sent() == []
    rig.press()
    rig.outbox.failing = False
    rig.pass_time(RETRY_S + 1)
    assert len({alarm.alarm_id for alarm in rig.sent()}) == 2


def test_a_damaged_outbox_is_begun_anew_with_what_is_still_known(rig):
    rig.press()
    rig.outbox.close()
    for part in ("-wal", "-shm", ""):
        rig.outbox._path.with_name(rig.outbox._path.name + part).unlink(missing_ok=True)
    rig.outbox._path.write_bytes(b"garbage" * 1000)
    rig.press()
    rig.pass_time(RETRY_S + 1)
    assert ("outbox-unwritable", "quarantine") in rig.codes()
    rig.outbox.close()
    rig.begin()
    rig.bell.begin()
    assert rig.bell.snapshot.waiting == 2


def test_a_press_without_a_session_hurries_the_link(rig):
    rig.link.disconnect()
    rig.press()
    assert rig.link.hurried == 1
    rig.link.connect()
    assert len(rig.sent()) == 1


def test_an_unreceipted_alarm_is_resent_and_a_receipted_one_is_not(rig):
    rig.press()
    rig.pass_time(7)
    assert len(rig.sent()) == 3
    rig.receipt(rig.sent()[0].alarm_id)
    rig.pass_time(60)
    assert len(rig.sent()) == 3
    assert rig.bell.snapshot.press_to_receipt_ms == pytest.approx(7000)


def test_white_needs_a_fresh_beat_and_a_good_line(rig):
    assert rig.indicator.lit() != Lamps(white=True)
    rig.beat()
    assert rig.indicator.lit() == Lamps(white=True)
    rig.pass_time(BEAT_MAX_S)
    assert rig.indicator.lit() == Lamps(white=True)
    rig.pass_time(1)
    assert not rig.indicator.lit().white
    assert ("link-down", "center") in rig.codes()
    rig.beat(2)
    assert rig.indicator.lit() == Lamps(white=True)
    assert rig.codes() == []
    rig.line = LineReading("cut", False, rig.clock.mono_s())
    rig.bell.tick()
    assert not rig.indicator.lit().white


def test_the_same_beat_again_proves_nothing(rig):
    rig.beat(1)
    rig.pass_time(BEAT_MAX_S + 1)
    rig.beat(1)
    assert not rig.indicator.lit().white


def test_a_line_that_nobody_reads_any_more_is_not_ready(rig):
    rig.beat()
    rig.clock.advance(1.5)
    rig.bell.tick()
    assert not rig.indicator.lit().white


@pytest.mark.parametrize("kind", ["receipt", "answer", "beat"])
def test_a_bad_message_is_a_fault_until_a_good_one_of_its_kind(rig, kind):
    topic = topics.CENTER_BEAT if kind == "beat" else topics.down(POLE, kind)
    good = {
        "receipt": AlarmReceipt(alarm_id="x", committed_at_us=1),
        "answer": AlarmUpdate(incident_id="x", state="answered", at_us=1, by="kim"),
        "beat": CenterBeat(seq=5, at_us=5),
    }
    rig.link.deliver(topic, b"\xff")
    assert ("message-invalid", kind) in rig.codes()
    rig.link.deliver(topic, encode(good[kind]))
    assert ("message-invalid", kind) not in rig.codes()


def test_an_answer_to_an_unknown_incident_is_counted(rig):
    update = AlarmUpdate(incident_id="nobody", state="answered", at_us=1, by="kim")
    rig.link.deliver(topics.down(POLE, "answer"), encode(update))
    assert rig.bell.snapshot.ignored == 1


def test_a_flood_of_messages_is_bounded_and_a_press_still_gets_in(rig):
    for _ in range(2 * MESSAGES):
        rig.bell.post(FromCenter(topics.CENTER_BEAT, b""))
    rig.bell.post(Actuation("pressed", 0.0, False))
    assert rig.bell._inbox.qsize() == MESSAGES + 1


def test_footage_windows_name_every_press_until_received_closed_and_past(rig):
    rig.press()
    rig.pass_time(1)
    (window,) = rig.bell.snapshot.incidents or rig.bell._windows()
    assert window.incident_id == rig.sent()[0].incident_id
    rig.receipt(rig.sent()[0].alarm_id)
    update = AlarmUpdate(incident_id=window.incident_id, state="closed", at_us=10, by="kim")
    rig.link.deliver(topics.down(POLE, "answer"), encode(update))
    rig.pass_time(600)
    assert rig.bell._windows() == (window,)
    rig.pass_time(120)
    assert rig.bell._windows() == ()


def test_windows_are_told_even_when_the_outbox_fails(rig):
    rig.outbox.failing = True
    rig.outbox.close()
    rig.press()
    rig.bell._tend()
    rig.bell.tick()
    assert [window.incident_id for window in rig.bell.snapshot.incidents] == [rig.sent()[0].incident_id]


def test_an_error_of_the_outbox_names_its_fault():
    assert OutboxError.fault == "outbox-unwritable"
