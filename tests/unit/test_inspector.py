"""Self-tests and assisted press tests through the bell's thread: proven, failed, interrupted, kept until receipted."""

import dataclasses
import json
from pathlib import Path

import jsonschema
import pytest
from support.bell_rig import POLE, Rig

from agent.bell.bell import RETRY_S
from agent.bell.inspector import PATIENCE_S, RESEND_S, SETTLE_S
from agent.bell.self_test import AGAIN_S, FIRST_S, GOOD_POLLS, RECEIPT_S
from agent.bell.switch import SimulatedSwitch
from agent.contract.messages import encode

SCHEMA = json.loads((Path(__file__).parents[2] / "docs/contract/schemas/inspection.json").read_text())


class LitSense(SimulatedSwitch):
    """Closed while a lamp that works is lit."""

    rig = None
    burnt_out = ""

    def closed(self):
        lit = self.rig.indicator.lit()
        return any(getattr(lit, name) for name in ("white", "red", "green", "call112") if name != self.burnt_out)


@pytest.fixture
def rig(tmp_path):
    rig = started(Rig(tmp_path))
    yield rig
    rig.outbox.close()


@pytest.fixture
def sensing(tmp_path):
    sense = LitSense()
    rig = sense.rig = started(Rig(tmp_path, sense=sense))
    yield rig
    rig.outbox.close()


def started(rig):
    rig.bell.begin()
    rig.link.connect()
    rig.beat()
    return rig


def restarted(rig, failing=False):
    rig.outbox.close()
    rig.begin()
    rig.outbox.failing = failing
    started(rig)


def self_test(rig):
    rig.wish(lambda bell: bell.run_self_test("kim"))
    for _ in range(20):
        rig.idle(0.1)


def points(inspection):
    return {point.name: point.result for point in inspection.points}


def failed(rig):
    return ("bell-self-test-failed", "bell") in rig.codes()


def test_a_self_test_is_an_inspection_whose_receipt_proves_the_way(rig):
    self_test(rig)
    (inspection,) = rig.inspections()
    jsonschema.validate(json.loads(encode(inspection)), SCHEMA)
    assert (inspection.kind, inspection.pole) == ("self-test", POLE)
    assert points(inspection) == {
        "line": "pass",
        "outputs": "pass",
        "lamps": "not-fitted",
        "outbox": "pass",
        "center": "pass",
        "clock": "pass",
    }
    assert rig.bell.snapshot.self_test_round_trip_ms is None
    rig.clock.advance(0.5)
    rig.receipt(inspection.inspection_id)
    assert 500 <= rig.bell.snapshot.self_test_round_trip_ms <= 3000
    assert rig.bell.snapshot.self_test_at_us == inspection.finished_at_us
    assert not failed(rig)


def test_the_next_inspection_carries_the_round_trip(rig):
    self_test(rig)
    rig.receipt(rig.inspections()[0].inspection_id)
    self_test(rig)
    assert points(rig.inspections()[-1])["round-trip"] == "pass"


def test_a_failed_point_is_a_fault_until_the_next_self_test_passes(rig):
    rig.line = type(rig.line)("cut", False, rig.clock.mono_s(), 0)
    self_test(rig)
    rig.receipt(rig.inspections()[0].inspection_id)
    assert failed(rig)
    rig.line = type(rig.line)("idle", True, rig.clock.mono_s(), 500)
    for step in range(round(AGAIN_S / 10) + 1):
        rig.clock.advance(9)
        rig.beat(step + 2)
        rig.idle(1.0)
    rig.receipt(rig.inspections()[-1].inspection_id)
    assert len({found.inspection_id for found in rig.inspections()}) == 2
    assert not failed(rig)


def test_a_self_test_without_a_receipt_is_a_fault_and_is_repeated_when_the_way_is_open_again(rig):
    self_test(rig)
    rig.pass_time(RECEIPT_S + 1)
    assert failed(rig)
    rig.beat(2)
    rig.receipt(rig.inspections()[0].inspection_id)
    rig.pass_time(2)
    second = rig.inspections()[-1]
    assert second.inspection_id != rig.inspections()[0].inspection_id
    rig.receipt(second.inspection_id)
    assert not failed(rig)


def test_a_pole_that_never_had_one_begins_after_a_minute_and_a_restarted_one_does_not(rig):
    rig.pass_time(FIRST_S - 1)
    assert rig.inspections() == []
    rig.beat(2)
    rig.pass_time(2)
    first = rig.inspections()[0]
    rig.receipt(first.inspection_id)
    restarted(rig)
    rig.pass_time(2 * FIRST_S)
    assert rig.inspections() == []


def test_it_is_daily(rig):
    days = 3
    for step in range(days * 144):
        rig.clock.advance(599)
        rig.beat(step + 2)
        rig.idle(1.0)
        for found in rig.inspections():
            rig.receipt(found.inspection_id)
    assert len({found.inspection_id for found in rig.inspections()}) in (days, days + 1)


def test_a_failed_self_test_stays_a_fault_over_a_restart(rig):
    rig.line = type(rig.line)("cut", False, rig.clock.mono_s(), 0)
    self_test(rig)
    restarted(rig)
    rig.idle()
    assert failed(rig)


def test_an_inspection_waits_on_disk_until_its_receipt(rig):
    rig.link.disconnect()
    self_test(rig)
    assert rig.inspections() == []
    restarted(rig)
    rig.idle()
    (inspection,) = rig.inspections()
    rig.receipt(inspection.inspection_id)
    restarted(rig)
    rig.pass_time(2 * RESEND_S)
    assert rig.inspections() == []


def test_what_waits_is_sent_again_now_and_then_but_never_before_an_alarm(rig):
    self_test(rig)
    rig.pass_time(RESEND_S + 1)
    sent = len(rig.inspections())
    assert sent == 2
    rig.press()
    rig.pass_time(2 * RESEND_S)
    assert len(rig.inspections()) == sent
    rig.receipt(rig.sent()[0].alarm_id)
    rig.pass_time(1)
    assert len(rig.inspections()) > sent


def test_a_self_test_waits_while_an_alarm_waits(rig):
    rig.press()
    self_test(rig)
    assert rig.inspections() == []
    rig.receipt(rig.sent()[0].alarm_id)
    rig.idle()
    assert len(rig.inspections()) == 1


def test_a_disk_that_fails_fails_the_point_and_the_inspection_goes_out_and_is_stored_later(rig):
    rig.outbox.failing = True
    rig.outbox.close()
    self_test(rig)
    (inspection,) = rig.inspections()
    assert points(inspection)["outbox"] == "fail"
    assert failed(rig) and ("outbox-unwritable", "") in rig.codes()
    rig.outbox.failing = False
    rig.pass_time(2 * RETRY_S)
    assert ("outbox-unwritable", "") not in rig.codes()
    restarted(rig)
    rig.idle()
    assert inspection.inspection_id in {found.inspection_id for found in rig.inspections()}


def test_a_book_that_is_readable_late_gives_what_waited(rig):
    rig.link.disconnect()
    self_test(rig)
    restarted(rig, failing=True)
    rig.idle()
    assert rig.inspections() == []
    rig.outbox.failing = False
    rig.pass_time(2 * RETRY_S + RESEND_S)
    assert rig.inspections()


def test_with_a_current_sense_every_lamp_is_proven(sensing):
    self_test(sensing)
    (inspection,) = sensing.inspections()
    assert points(inspection)["lamps"] == "pass"


def test_a_self_test_just_after_a_press_waits_until_the_line_was_good_for_long_enough(rig):
    rig.line = dataclasses.replace(rig.line, good_polls=GOOD_POLLS // 2)
    self_test(rig)
    assert rig.inspections() == []
    rig.line = dataclasses.replace(rig.line, good_polls=GOOD_POLLS)
    rig.idle()
    (inspection,) = rig.inspections()
    assert next(p.result for p in inspection.points if p.name == "line") == "pass"


def test_a_line_that_never_settles_fails_its_point_and_one_that_is_bad_is_not_waited_for(rig):
    rig.line = dataclasses.replace(rig.line, good_polls=GOOD_POLLS // 2)
    self_test(rig)
    for _ in range(round(SETTLE_S / 0.2) + 1):
        rig.idle()
    (inspection,) = rig.inspections()
    assert next(p.result for p in inspection.points if p.name == "line") == "fail"
    rig.line = dataclasses.replace(rig.line, good=False, good_polls=0)
    self_test(rig)
    assert len(rig.inspections()) == 2


def test_a_burnt_out_lamp_fails_the_self_test(sensing):
    sensing.sense.burnt_out = "red"
    self_test(sensing)
    (inspection,) = sensing.inspections()
    assert "replace: red" in next(p.detail for p in inspection.points if p.name == "lamps")
    assert failed(sensing)


def test_a_press_breaks_the_lamp_test_off_and_the_self_test_is_repeated_later(sensing):
    sensing.wish(lambda bell: bell.run_self_test("kim"))
    sensing.idle(0.1)
    sensing.press()
    assert sensing.indicator.lit().red
    sensing.receipt(sensing.sent()[0].alarm_id)
    sensing.idle()
    assert sensing.inspections() == []
    sensing.pass_time(PATIENCE_S + 1)
    for _ in range(20):
        sensing.idle(0.1)
    assert len({found.inspection_id for found in sensing.inspections()}) == 1


def expect_press(rig, wait_s=60.0):
    rig.wish(lambda bell: bell.expect_press("order 7", "lee", wait_s))
    rig.idle()


def test_an_assisted_press_is_a_point_with_its_latency_and_ends_the_test_mode_it_began(rig):
    expect_press(rig)
    assert rig.bell.snapshot.mode == "test"
    rig.press()
    (alarm,) = rig.sent("test/alarm")
    rig.clock.advance(0.25)
    rig.receipt(alarm.alarm_id)
    (inspection,) = rig.inspections()
    jsonschema.validate(json.loads(encode(inspection)), SCHEMA)
    assert (inspection.kind, inspection.work_order, inspection.officer) == ("press-test", "order 7", "lee")
    assert points(inspection) == {"press": "pass", "contacts": "pass", "clock": "pass"}
    assert next(p.value for p in inspection.points if p.name == "press") == "250.0 ms"
    rig.pass_time(2)
    assert rig.bell.snapshot.mode == "normal"
    assert rig.sent() == []


def test_nobody_pressing_fails_the_press_test(rig):
    expect_press(rig, 20.0)
    rig.pass_time(22)
    (inspection,) = rig.inspections()
    assert points(inspection)["press"] == "fail"
    assert rig.bell.snapshot.mode == "normal"


def test_a_press_test_without_a_receipt_fails(rig):
    expect_press(rig)
    rig.press()
    rig.pass_time(RECEIPT_S + 1)
    assert points(rig.inspections()[0])["press"] == "fail"


def test_a_press_test_inside_a_test_mode_leaves_that_mode_standing(rig):
    rig.wish(lambda bell: bell.set_mode("test", 600.0, "kim", "order 6"))
    expect_press(rig)
    rig.press()
    rig.receipt(rig.sent("test/alarm")[0].alarm_id)
    rig.idle()
    assert rig.bell.snapshot.mode == "test"
