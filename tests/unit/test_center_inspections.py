"""Which bell proved itself, what failed, and the work order for the press that a person makes."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from support.center_alarms import CLOCK, make_heartbeat
from support.center_store import START_US, CenterClock, open_store

from agent.bell.contact_watch import LineReading
from agent.bell.self_test import center_point, lamp_points, line_point, press_points, round_trip_points
from agent.contract.faults import FAULTS
from agent.contract.messages import AlarmReceipt, ClockState, Inspection, InspectionPoint, decode, encode
from agent.contract.topics import up
from center.alarms.inspection_desk import InspectionDesk
from center.alarms.paho_session import Incoming
from center.errors import ContractError
from center.store import InspectionRow, Store
from center.store.inspections import OTHER_POINT, POINT_FAULTS, fault_code
from center.store.korean_day import day_of, day_span, month_span

S = 1_000_000
HOUR = 3600 * S
TODAY = date(2026, 9, 21)  # START_US in Korea


@pytest.fixture
def clock() -> CenterClock:
    clock = CenterClock()
    clock.advance(10)
    return clock


@pytest.fixture
def store(tmp_path: Path, clock: CenterClock) -> Iterator[Store]:
    store = open_store(tmp_path, clock)
    yield store
    store.close()


def make_inspection(name: str = "n1", pole: str = "pole-1", **fields: Any) -> Inspection:
    """An inspection; `points` is written as "line:pass press:fail"."""
    text = fields.pop("points", "line:pass lamps:pass round-trip:pass")
    points = [InspectionPoint(name=word.split(":")[0], result=word.split(":")[1]) for word in text.split()]
    at_us = fields.pop("at_us", START_US)
    known = {"kind": "self-test", "started_at_us": at_us - S, "finished_at_us": at_us, "clock": CLOCK, **fields}
    return Inspection(inspection_id=name, pole=pole, points=points, **known)


def add(store: Store, name: str = "n1", pole: str = "pole-1", **fields: Any) -> InspectionRow:
    inspection = make_inspection(name, pole, **fields)
    return store.inspections.add(inspection, encode(inspection))


def beat(store: Store, *poles: str) -> None:
    for pole in poles:
        heartbeat = make_heartbeat(pole)
        store.poles.note_heartbeat(heartbeat, encode(heartbeat))


def standing(store: Store) -> list[tuple[str, str]]:
    return [(row.code, row.subject) for row in store.faults.standing("pole-1")]


def coverage(store: Store, pole: str = "pole-1") -> Any:
    return next(row for row in store.inspections.coverage_day(TODAY).poles if row.pole == pole)


# --- intake ---


def test_the_same_inspection_twice_is_one_row_and_one_event(store: Store, clock: CenterClock) -> None:
    first = add(store)
    clock.advance(60)
    assert add(store) == first
    assert [event.kind for event in store.events.after(0)] == ["inspection"]


def test_what_was_found_is_read_back_with_its_points_and_the_raw_bytes(store: Store) -> None:
    point = InspectionPoint(name="lamps", result="pass", value="21 mA", detail="red")
    inspection = make_inspection(officer="이점검")
    raw = encode(Inspection(**{**{n: getattr(inspection, n) for n in inspection.__struct_fields__}, "points": [point]}))
    store.inspections.add(decode(raw, Inspection), raw)
    row = store.inspections.get("n1")
    assert row is not None
    assert (row.points, row.officer, row.passed) == ((point,), "이점검", True)
    kept = store.database.row("SELECT raw FROM inspection")
    assert kept is not None and bytes(kept["raw"]) == raw


def test_an_inspection_of_another_pole_is_refused(store: Store) -> None:
    add(store)
    with pytest.raises(ContractError, match="belongs to pole pole-1"):
        add(store, pole="pole-2")


@pytest.mark.parametrize(
    ("points", "passed"),
    [
        ("line:pass", True),
        ("line:pass press:not-fitted", True),
        ("line:pass press:fail", False),
        ("line:not-fitted", False),
        ("line:pass clock:fail", True),
        ("clock:pass", False),
        ("", False),
    ],
)
def test_it_passes_when_nothing_failed_and_something_was_tested(store: Store, points: str, passed: bool) -> None:
    assert add(store, points=points).passed == passed


@pytest.mark.parametrize(
    ("late_us", "synced", "right"),
    [(0, True, True), (20 * HOUR, True, True), (-HOUR, True, False), (24 * 70 * HOUR, True, False), (0, False, False)],
)
def test_it_counts_for_its_own_time_only_if_the_pole_s_clock_can_be_right(
    store: Store, clock: CenterClock, late_us: int, synced: bool, right: bool
) -> None:
    row = add(store, at_us=START_US - late_us - 7, clock=ClockState(synced=synced, source="ntp", error_us=1))
    assert row.at_us == (START_US - late_us - 7 if right else clock.us)
    assert row.finished_at_us == START_US - late_us - 7


def test_the_receipt_follows_the_commit_and_names_the_inspection(store: Store) -> None:
    sent: list[tuple[str, bytes]] = []
    desk = InspectionDesk(store, lambda topic, payload: sent.append((topic, payload)))
    incoming = Incoming(up("pole-1", "inspection"), encode(make_inspection()), False, (1, 1))
    assert desk.takes(incoming.topic) and not desk.takes(up("pole-1", "heartbeat"))
    desk.take(incoming)
    desk.take(incoming)
    assert [topic for topic, _ in sent] == ["ps/v1/pole-1/down/receipt"] * 2
    assert decode(sent[0][1], AlarmReceipt).alarm_id == "n1"
    assert sent[0] == sent[1]


@pytest.mark.parametrize("payload", [b"", b"[]", encode(make_inspection(pole="pole-2"))])
def test_a_damaged_or_forged_inspection_gets_no_receipt_and_is_kept(store: Store, payload: bytes) -> None:
    sent: list[str] = []
    InspectionDesk(store, lambda topic, _: sent.append(topic)).take(
        Incoming(up("pole-1", "inspection"), payload, False, (1, 1))
    )
    assert (sent, len(store.quarantine.newest())) == ([], 1)


# --- the fault log ---


def test_a_failed_point_stands_until_the_next_pass(store: Store, clock: CenterClock) -> None:
    add(store, "n1", points="line:fail lamps:pass")
    assert standing(store) == [("inspection-line-failed", "line")]
    clock.advance(3600)
    add(store, "n2", points="line:fail lamps:pass", at_us=clock.us)
    assert len(standing(store)) == 1
    clock.advance(3600)
    add(store, "n3", points="line:pass", at_us=clock.us)
    assert standing(store) == []
    (row,) = store.faults.between(0, 2**62)
    assert (row.since_us, row.closed_at_us, row.source) == (START_US, clock.us, "center")


def test_an_older_inspection_that_comes_late_changes_nothing_newer(store: Store, clock: CenterClock) -> None:
    clock.advance(3600)
    add(store, "new", points="line:pass", at_us=clock.us)
    add(store, "old", points="line:fail", at_us=START_US)
    assert standing(store) == []


def test_a_heartbeat_that_does_not_name_it_does_not_mend_what_an_inspection_found(store: Store) -> None:
    add(store, points="line:fail")
    beat(store, "pole-1")
    assert standing(store) == [("inspection-line-failed", "line")]


def test_a_part_that_is_not_fitted_has_no_standing_fault(store: Store) -> None:
    add(store, "n1", points="lamps-siren:fail")
    add(store, "n2", points="lamps-siren:not-fitted", at_us=START_US + 1)
    assert standing(store) == []


def test_a_clock_that_is_not_right_has_a_fault_of_its_own_and_none_here(store: Store) -> None:
    add(store, points="line:pass clock:fail")
    assert (standing(store), coverage(store).failures) == ([], {"clock": 1})


def test_the_points_of_the_pole_have_codes_that_name_the_part() -> None:
    points = lamp_points(True, False, None) + press_points("pressed", 1.0, 60.0) + round_trip_points(1.0)
    points += [center_point(1.0, 35.0), line_point(LineReading(good_polls=100))]
    assert OTHER_POINT not in {fault_code(point.name) for point in points}


def test_two_indicators_fail_and_mend_each_by_itself(store: Store) -> None:
    add(store, "n1", points="lamps-red:fail lamps-white:fail")
    add(store, "n2", points="lamps-red:pass lamps-white:fail", at_us=START_US + 1)
    assert standing(store) == [("inspection-indicator-failed", "lamps-white")]


def test_every_code_of_a_point_stands_in_the_catalogue() -> None:
    assert {*POINT_FAULTS.values(), OTHER_POINT} <= FAULTS.keys()
    assert fault_code("something-new") == OTHER_POINT


# --- coverage ---


def test_a_pole_that_never_tested_stands_in_the_coverage_unproved(store: Store) -> None:
    beat(store, "pole-2")
    add(store)
    today = store.inspections.coverage_day(TODAY)
    assert [(row.pole, row.proved) for row in today.poles] == [("pole-1", True), ("pole-2", False)]
    assert (today.proved, today.total) == (1, 2)


def test_a_failure_after_the_pass_takes_the_proof_back_until_the_next_pass(store: Store) -> None:
    add(store, "n1")
    assert coverage(store).proved_at_us == START_US
    add(store, "n2", points="line:fail lamps:pass", at_us=START_US + 1)
    assert (coverage(store).proved, coverage(store).proved_at_us) == (False, None)
    add(store, "n3", at_us=START_US + 2)
    assert coverage(store).proved_at_us == START_US + 2
    assert coverage(store).failures == {"line": 1}


def test_a_self_test_does_not_mend_a_failed_press_test(store: Store) -> None:
    add(store, "n1", kind="press-test", points="press:fail")
    add(store, "n2", at_us=START_US + 1)
    row = coverage(store)
    assert (row.self_test.proved, row.press_test.proved, row.proved) == (True, False, False)


@pytest.mark.parametrize(("offset_us", "counts"), [(-1, False), (0, True), (24 * HOUR - 1, True), (24 * HOUR, False)])
def test_a_day_is_a_korean_day(store: Store, clock: CenterClock, offset_us: int, counts: bool) -> None:
    clock.us = day_span(TODAY)[0] + 48 * HOUR
    beat(store, "pole-1")
    add(store, at_us=day_span(TODAY)[0] + offset_us)
    assert coverage(store).proved == counts


def test_a_month_holds_its_first_and_last_day(store: Store, clock: CenterClock) -> None:
    from_us, to_us = month_span(date(2026, 12, 15))
    assert (day_of(from_us), day_of(to_us - 1), day_of(to_us)) == (
        date(2026, 12, 1),
        date(2026, 12, 31),
        date(2027, 1, 1),
    )
    clock.us = to_us + HOUR
    beat(store, "pole-3")
    add(store, "n1", "pole-1", at_us=from_us)
    add(store, "n2", "pole-2", at_us=to_us - 1, kind="press-test", points="press:pass")
    add(store, "n3", "pole-3", at_us=to_us)
    month = store.inspections.coverage_month(date(2026, 12, 15))
    assert [row.proved for row in month.poles] == [True, True, False]
    assert month.poles[1].press_test.proved


def test_the_inspections_of_a_pole_are_newest_first(store: Store) -> None:
    add(store, "n1")
    add(store, "n2", at_us=START_US + 1)
    add(store, "other", "pole-2")
    assert [row.inspection_id for row in store.inspections.of_pole("pole-1", 0, 2**62)] == ["n2", "n1"]


# --- work orders ---


def test_an_order_is_made_once_a_month_and_pole(store: Store, clock: CenterClock) -> None:
    first = store.work_orders.create("pole-1", TODAY, "kim")
    clock.advance(60)
    assert store.work_orders.create("pole-1", date(2026, 9, 1), "lee") == first
    assert (first.work_order, first.month, first.created_by) == ("wo-202609-pole-1", "2026-09", "kim")
    assert store.work_orders.create("pole-1", date(2026, 10, 1), "kim").month == "2026-10"
    assert len(store.work_orders.open()) == 2
    assert len(store.work_orders.open(TODAY)) == 1


def test_orders_for_every_pole_are_made_once(store: Store) -> None:
    beat(store, "pole-1", "pole-2")
    store.work_orders.create("pole-1", TODAY, "kim")
    assert [row.pole for row in store.work_orders.create_all(TODAY, "kim")] == ["pole-2"]
    assert list(store.work_orders.create_all(TODAY, "kim")) == []


def test_a_passed_press_test_that_names_it_does_the_order(store: Store) -> None:
    order = store.work_orders.create("pole-1", TODAY, "kim").work_order
    add(store, kind="press-test", points="press:pass", work_order=order, officer="이점검")
    assert list(store.work_orders.open()) == []
    (row,) = store.work_orders.all(TODAY)
    assert (row.inspection_id, row.done_at_us) == ("n1", START_US)


@pytest.mark.parametrize(
    "change",
    [{"kind": "self-test"}, {"work_order": ""}, {"work_order": "wo-202610-pole-1"}, {"pole": "pole-2"}],
    ids=["a self-test", "no order", "another order", "another pole"],
)
def test_nothing_else_does_it(store: Store, change: dict[str, str]) -> None:
    order = store.work_orders.create("pole-1", TODAY, "kim").work_order
    fields = {"kind": "press-test", "points": "press:pass", "work_order": order, **change}
    add(store, **fields)
    assert [row.work_order for row in store.work_orders.open()] == [order]


def test_a_failed_press_test_leaves_the_order_open_and_says_so(store: Store) -> None:
    order = store.work_orders.create("pole-1", TODAY, "kim").work_order
    add(store, "n1", kind="press-test", points="press:fail", work_order=order)
    (row,) = store.work_orders.open()
    assert (row.failed_at_us, row.done_at_us) == (START_US, None)
    add(store, "n2", kind="press-test", points="press:pass", work_order=order, at_us=START_US + 1)
    assert list(store.work_orders.open()) == []


def test_a_press_test_from_before_its_order_does_it_when_it_is_made(store: Store) -> None:
    add(store, kind="press-test", points="press:pass", work_order="wo-202609-pole-1")
    assert store.work_orders.create("pole-1", TODAY, "kim").inspection_id == "n1"
    assert list(store.work_orders.open()) == []
