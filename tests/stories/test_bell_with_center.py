"""The pole's bell and the center's alarm service, both real, with a real broker between them that may die."""

import random
import time

import pytest
from support.bell_pole import POLE, BellInProcess, BellProcess, bell_config
from support.broker import Broker
from support.center_alarms import AlarmCenter, eventually
from support.certificates import certificates

from agent.bell.control_socket import press_bell

__all__ = ["certificates"]


@pytest.fixture
def broker(tmp_path, certificates):
    with Broker(tmp_path / "broker", certificates) as broker:
        yield broker


@pytest.fixture
def center(tmp_path, broker):
    center = AlarmCenter(tmp_path / "center", broker)
    yield center
    center.close()


@pytest.fixture
def bell(tmp_path, broker):
    with BellInProcess(bell_config(tmp_path, broker.port, broker.shop.pole(POLE))) as bell:
        yield bell


def light(name):
    return lambda status: status.bell.light == name


def incidents(center):
    return center.store.alarms.incidents("all")


def test_from_press_to_close_and_to_the_next_incident(center, bell):
    center.start()
    bell.wait_for(light("ready"))
    bell.press()
    bell.wait_for(light("received"))
    (incident,) = eventually(lambda: incidents(center))
    center.store.alarms.answer(incident.incident_id, "kim")
    bell.wait_for(light("answered"))
    center.store.alarms.close(incident.incident_id, "kim", "inspection")
    bell.wait_for(light("ready"))
    bell.press()
    bell.wait_for(light("received"))
    assert len(incidents(center)) == 2


def test_a_press_while_the_center_is_down_is_shown_once_when_it_returns(center, bell):
    bell.wait_for(lambda s: s.bell.line == "idle")
    bell.press()
    bell.wait_for(lambda s: s.bell.outbox_waiting == 1)
    center.start()
    bell.wait_for(light("received"))
    assert [incident.presses for incident in incidents(center)] == [1]


def test_a_press_while_the_session_stands_and_the_center_dies_is_shown_once(center, bell):
    center.start()
    bell.wait_for(light("ready"))
    center.kill()
    bell.press()
    bell.wait_for(light("calling"))
    center.start()
    bell.wait_for(light("received"))
    assert [incident.presses for incident in incidents(center)] == [1]


def test_a_press_after_the_close_was_clicked_is_not_lost_in_it(center, broker, bell):
    """The close waits in the broker's queue while the pole is cut off and pressed again."""
    center.start()
    bell.wait_for(light("ready"))
    bell.press()
    bell.wait_for(light("received"))
    (incident,) = incidents(center)
    broker.kill()
    bell.wait_for(lambda s: any(fault.code == "broker-down" for fault in s.faults))
    center.store.alarms.close(incident.incident_id, "kim", "prank")
    bell.press()
    broker.start()
    bell.wait_for(lambda s: s.bell.outbox_waiting == 0)
    eventually(lambda: incidents(center)[0].presses == 2)
    assert incidents(center)[0].state == "open"
    assert bell.wait_for(lambda s: s.bell.outbox_waiting == 0).bell.light == "received"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_press_is_lost_or_shown_twice_while_everything_dies_at_random(center, broker, tmp_path):
    """N6 in small: SIGKILL of pole, broker and center between and during presses."""
    config = bell_config(tmp_path, broker.port, broker.shop.pole(POLE))
    dice = random.Random(20261120)
    center.start()
    bell = BellProcess(config, tmp_path)
    bell.wait_for(lambda s: s.bell.line == "idle")
    pressed = 0
    for _ in range(60):
        press_bell(config.run_dir, 60)
        pressed += 1
        time.sleep(dice.uniform(0.0, 0.1))
        victim = dice.choice(["nobody", "bell", "broker", "center"])
        if victim == "bell":
            time.sleep(0.05)  # the press above was stable, but a release cut off by the kill would be no new press
            bell.kill()
            bell = BellProcess(config, tmp_path)
            bell.wait_for(lambda s: s.bell.line == "idle")
        elif victim == "broker":
            broker.kill()
            broker.start()
        elif victim == "center":
            center.start()
        time.sleep(0.1)
    with bell:
        bell.wait_for(lambda s: s.bell.outbox_waiting == 0, 60)
        store = center.store.alarms
        shown = [press.alarm_id for incident in incidents(center) for press in store.presses(incident.incident_id)]
        assert (len(shown), len(set(shown))) == (pressed, pressed)
