"""What signed commands may ask of the bell reaches its thread, or is refused in words."""

import pytest
from support.bell_rig import Rig

from agent.mqtt.command_error import CommandFailedError
from agent.wiring.bell_duties import ServiceDuties


@pytest.fixture
def rig(tmp_path):
    rig = Rig(tmp_path)
    rig.bell.begin()
    rig.link.connect()
    yield rig
    rig.outbox.close()


def test_a_self_test_is_begun_and_its_inspection_follows(rig):
    rig.wish(lambda bell: ServiceDuties(bell).self_test("kim"))
    rig.idle()
    assert [found.kind for found in rig.inspections()] == ["self-test"]


def test_a_press_test_carries_its_work_order_and_officer(rig):
    rig.wish(lambda bell: ServiceDuties(bell).bell_test(60, "order 7", "lee"))
    rig.press()
    rig.receipt(rig.sent("test/alarm")[0].alarm_id)
    (inspection,) = rig.inspections()
    assert (inspection.work_order, inspection.officer) == ("order 7", "lee")


def test_a_mode_is_set_and_ended_with_who_and_why(rig):
    rig.wish(lambda bell: ServiceDuties(bell).set_mode("maintenance", 600, "kim", "order 7"))
    assert (rig.modes.state.mode, rig.modes.state.by, rig.modes.state.reason) == ("maintenance", "kim", "order 7")
    rig.wish(lambda bell: ServiceDuties(bell).set_mode("normal", 0, "kim", "done"))
    assert rig.modes.state.mode == "normal"


@pytest.mark.parametrize(("mode", "seconds"), [("off", 10), ("test", 901), ("maintenance", 0)])
def test_a_mode_that_may_not_be_is_refused_in_words(rig, mode, seconds):
    with pytest.raises(CommandFailedError, match="mode"):
        ServiceDuties(rig.bell).set_mode(mode, seconds, "kim", "")


def test_a_press_test_longer_than_a_test_may_last_is_refused(rig):
    with pytest.raises(CommandFailedError, match="at most"):
        ServiceDuties(rig.bell).bell_test(1000, "order 7", "lee")
