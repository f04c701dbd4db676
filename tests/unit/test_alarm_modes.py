"""Presses in test and maintenance mode, through the bell's thread."""

import pytest
from support.bell_rig import POLE, Rig

from agent.bell.indicator import LightState
from agent.bell.mode import ModeError
from agent.contract import topics
from agent.contract.messages import AlarmReceipt, AlarmUpdate, encode


@pytest.fixture
def rig(tmp_path):
    rig = Rig(tmp_path)
    rig.bell.begin()
    rig.link.connect()
    rig.beat()
    yield rig
    rig.outbox.close()


def set_test_mode(rig, seconds=600.0):
    rig.wish(lambda bell: bell.set_mode("test", seconds, "kim", "order 7"))


def tried(rig):
    return rig.sent("test/alarm")


def test_a_press_in_test_mode_goes_to_the_test_topic_shows_its_own_light_and_no_siren(rig):
    set_test_mode(rig)
    assert rig.light.state is LightState.TEST
    rig.press()
    (alarm,) = tried(rig)
    assert (alarm.mode, rig.sent()) == ("test", [])
    assert rig.light.state is LightState.TEST_CALLING
    rig.pass_time(30)
    assert rig.light.state is LightState.TEST_CALLING
    assert not any(lamps.red or lamps.siren for lamps in rig.indicator.history if lamps.red != lamps.green)
    rig.receipt(alarm.alarm_id)
    assert rig.light.state is LightState.TEST_RECEIVED
    rig.pass_time(4)
    assert rig.light.state is LightState.TEST
    assert rig.bell.snapshot.presses == 0 and rig.bell.snapshot.waiting == 0


def test_a_test_is_sent_again_until_its_receipt(rig):
    set_test_mode(rig)
    rig.link.disconnect()
    rig.press()
    assert tried(rig) == []
    rig.link.connect()
    rig.pass_time(3)
    assert len(tried(rig)) == 2
    rig.receipt(tried(rig)[0].alarm_id)
    rig.pass_time(60)
    assert len(tried(rig)) == 2


def test_the_third_press_within_5_seconds_is_real_and_the_citizen_sees_it(rig):
    set_test_mode(rig)
    for _ in range(3):
        rig.press()
        rig.clock.advance(1)
    assert (len(tried(rig)), [alarm.mode for alarm in rig.sent()]) == (2, ["normal"])
    assert rig.light.state is LightState.CALLING
    assert rig.bell.snapshot.mode == "normal"


def test_the_test_ends_by_itself_and_the_next_press_is_real(rig):
    set_test_mode(rig, 60.0)
    rig.pass_time(61)
    rig.press()
    assert (tried(rig), len(rig.sent())) == ([], 1)


def test_the_end_of_the_mode_counts_at_the_press_even_if_no_time_was_left_for_upkeep(rig):
    set_test_mode(rig, 60.0)
    rig.clock.advance(61)
    rig.press()
    assert len(rig.sent()) == 1


def test_in_maintenance_a_press_is_real_and_says_so(rig):
    rig.wish(lambda bell: bell.set_mode("maintenance", 600.0, "kim", ""))
    assert rig.light.state is LightState.READY
    rig.press()
    assert [alarm.mode for alarm in rig.sent()] == ["maintenance"]
    assert rig.light.state is LightState.CALLING


def test_a_real_call_is_shown_before_any_test(rig):
    rig.press()
    set_test_mode(rig)
    assert rig.light.state is LightState.CALLING
    rig.press()
    assert rig.light.state is LightState.CALLING
    rig.receipt(rig.sent()[0].alarm_id)
    assert rig.light.state is LightState.TEST_CALLING
    rig.receipt(tried(rig)[0].alarm_id)
    rig.pass_time(4)
    assert rig.light.state is LightState.RECEIVED


def test_each_test_run_is_an_incident_of_its_own_apart_from_the_real_ones(rig):
    rig.press()
    real = rig.sent()[0]
    rig.receipt(real.alarm_id)
    incidents = []
    for _ in range(2):
        set_test_mode(rig, 60.0)
        rig.press()
        rig.receipt(tried(rig)[-1].alarm_id)
        incidents.append(tried(rig)[-1].incident_id)
        rig.pass_time(61)
    assert len({real.incident_id, *incidents}) == 3
    update = AlarmUpdate(incident_id=incidents[1], state="closed", at_us=9, by="kim")
    rig.link.deliver(topics.down(POLE, "answer"), encode(update))
    assert rig.light.state is LightState.RECEIVED


def test_a_test_leaves_nothing_behind_a_restart_but_the_mode(rig):
    set_test_mode(rig)
    rig.press()
    rig.idle()
    rig.outbox.close()
    rig.begin()
    rig.bell.begin()
    rig.link.connect()
    assert (tried(rig), rig.bell.snapshot.mode) == ([], "test")


def test_a_test_that_nobody_receipts_is_given_up_after_its_run(rig):
    set_test_mode(rig, 60.0)
    rig.press()
    rig.pass_time(130)
    assert rig.light.state is not LightState.TEST_CALLING
    sent = len(tried(rig))
    rig.pass_time(60)
    assert len(tried(rig)) == sent


def test_the_mode_and_its_end_are_told(rig):
    set_test_mode(rig, 60.0)
    assert rig.bell.snapshot.mode == "test"
    assert rig.bell.snapshot.mode_until_us == rig.clock.utc_us() + 60_000_000


def test_what_no_mode_may_be_is_refused_before_it_reaches_the_bell(rig):
    with pytest.raises(ModeError):
        rig.bell.set_mode("test", 901, "kim", "")
    with pytest.raises(ModeError):
        rig.bell.expect_press("7", "kim", 1000)
    assert rig.bell._inbox.empty()


def test_a_receipt_that_fits_nothing_is_counted(rig):
    set_test_mode(rig)
    rig.link.deliver(topics.down(POLE, "receipt"), encode(AlarmReceipt(alarm_id="x", committed_at_us=1)))
    assert rig.bell.snapshot.ignored == 1
