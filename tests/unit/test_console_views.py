"""What the pages say about incidents, faults, poles and their parts."""

import json
import os
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from agent.contract.faults import FAULTS
from agent.contract.messages import BellReading, CameraReading, ClockState, Heartbeat, UploadReading
from center.console.catalogue import load_catalogues
from center.console.fault_view import fault_views, severity_of, worst_mark
from center.console.incident_view import Around, IncidentView, by_urgency
from center.console.incident_view import incident_view as view_of
from center.console.places import Places
from center.console.pole_facts import CameraFacts, Fact, camera_facts, pole_groups
from center.console.pole_pages import LIST_LIMIT, camera_time, choose_window, civil_instant, recording_lines
from center.console.poles_pages import count, pole_state, worst_first
from center.console.recording_pages import typed_reason
from center.console.rendering import amount, clock_time, iso, stamp, stopwatch
from center.console.status_strip import freshness
from center.store import FaultRow, IncidentRow, PoleRow, TimelineSpan

S = 1_000_000
NOW_US = 1_790_000_000 * S
KO = load_catalogues()["ko"]
EN = load_catalogues()["en"]
CLOCK = ClockState(synced=True, source="ntp", error_us=900)


def incident(name: str = "i", state: str = "open", first_s: int = 0, answered_s: int | None = None) -> IncidentRow:
    return IncidentRow(
        incident_id=name,
        pole="p",
        state=state,  # type: ignore[arg-type]
        presses=1,
        line="pressed",
        simulated=False,
        first_pressed_at_us=first_s * S,
        last_pressed_at_us=first_s * S,
        opened_at_us=first_s * S,
        answered_at_us=None if answered_s is None else answered_s * S,
        answered_by="",
        closed_at_us=None,
        closed_by="",
        reason="",
    )


def incident_view(row: IncidentRow, place: str, language: str, officer: str = "") -> IncidentView:
    return view_of(row, Around(place), officer, language)


def fault(code: str, age_s: int = 0, subject: str = "", source: str = "pole") -> FaultRow:
    opened_us = NOW_US - age_s * S
    return FaultRow(1, "p", source, code, subject, "", opened_us, opened_us, None)  # type: ignore[arg-type]


def pole(name: str = "p", *faults: FaultRow, seen_s: int = 0, heartbeat: Heartbeat | None = None) -> PoleRow:
    return PoleRow(name, "online", "s", NOW_US - seen_s * S, 30 * S, None, heartbeat, b"", faults)


def silent(name: str, seen_s: int) -> PoleRow:
    return pole(name, fault("pole-silent", seen_s, source="center"), seen_s=seen_s)


def heartbeat(**parts: object) -> Heartbeat:
    fields = {
        "pole": "p",
        "session": "s",
        "seq": 1,
        "at_us": NOW_US,
        "uptime_s": 60,
        "agent_version": "1",
        "clock": CLOCK,
    }
    return Heartbeat(**{**fields, **parts})  # type: ignore[arg-type]


def value(facts: list[Fact], label: str) -> tuple[str, str]:
    return next((fact.value, fact.mark) for fact in facts if fact.label == label)


# --- incidents ------------------------------------------------------------------------------------------------


def test_unanswered_come_before_answered_and_the_longest_wait_first() -> None:
    rows = [incident("taken", "answered", 1), incident("young", first_s=9), incident("old", first_s=2)]
    assert [row.incident_id for row in sorted(rows, key=by_urgency)] == ["old", "young", "taken"]


def test_a_card_is_drawn_anew_exactly_when_something_on_it_changed() -> None:
    first = incident_view(incident(), "", "ko").rev
    assert incident_view(incident(), "", "ko").rev == first
    changed = [
        incident_view(incident(state="answered", answered_s=3), "", "ko"),
        incident_view(incident(), "공원", "ko"),
    ]
    changed.append(incident_view(incident(), "", "en"))
    assert first not in {view.rev for view in changed}


@pytest.mark.parametrize(
    ("pressed_s", "opened_s", "odd"),
    [(100, 101, False), (100, 96, False), (100, 90, True), (0, 90_000, True), (3_700, 90_000, False)],
)
def test_a_press_by_an_impossible_clock_is_timed_by_its_arrival(pressed_s: int, opened_s: int, odd: bool) -> None:
    row = replace(incident(first_s=pressed_s), opened_at_us=opened_s * S)
    view = incident_view(row, "", "ko")
    assert view.clock_odd is odd
    assert view.called_us == (opened_s if odd else pressed_s) * S
    assert view.pressed_us == pressed_s * S, "the footage is named by the pole's own clock"


def test_the_response_time_is_never_negative() -> None:
    assert incident_view(incident(first_s=10, answered_s=4), "", "ko").answered_after_s == 0
    assert incident_view(incident(first_s=10, answered_s=14), "", "ko").answered_after_s == 4
    assert incident_view(incident(), "", "ko").answered_after_s is None


@pytest.mark.parametrize(("age_s", "mark"), [(None, "unknown"), (0, "ok"), (90, "ok"), (91, "warning")])
def test_a_number_that_stopped_moving_is_no_health(age_s: int | None, mark: str) -> None:
    assert freshness(None if age_s is None else NOW_US - age_s * S, NOW_US, 90 * S) == mark


# --- faults and poles -----------------------------------------------------------------------------------------


def test_every_known_fault_has_text_and_next_step_in_both_languages() -> None:
    for code in FAULTS:
        for words in (KO, EN):
            (view,) = fault_views([fault(code)], words, NOW_US)
            assert view.text and view.next_step and view.text != code


def test_an_unknown_fault_is_shown_as_it_came_and_counts_as_major() -> None:
    (view,) = fault_views([fault("brand-new", subject="front")], KO, NOW_US)
    assert (view.text, view.next_step, view.severity, view.mark) == ("brand-new", "", "major", "warning")
    assert severity_of("brand-new") == "major"


def test_the_worst_fault_gives_the_pole_its_shape() -> None:
    assert worst_mark([]) == "ok"
    assert worst_mark([fault("clock-unsynced")]) == "minor"
    assert worst_mark([fault("clock-unsynced"), fault("link-down")]) == "warning"
    assert worst_mark([fault("link-down"), fault("bell-line-cut")]) == "critical"


def test_the_order_is_silent_then_worst_then_name() -> None:
    rows = [pole("b"), pole("a"), pole("cut", fault("bell-line-cut")), silent("gone", 60), silent("long-gone", 600)]
    assert [row.pole for row in worst_first(rows, NOW_US)] == ["long-gone", "gone", "cut", "a", "b"]
    counted = count(rows)
    assert (counted.all, counted.ok, counted.faulty, counted.silent) == (5, 2, 1, 2)
    assert [pole_state(row) for row in rows] == ["ok", "ok", "faulty", "silent", "silent"]


# --- a pole's facts -------------------------------------------------------------------------------------------


def camera(**changes: object) -> CameraReading:
    fields: dict[str, object] = {
        "state": "recording",
        "source": "rtsp",
        "last_frame_age_s": 0.1,
        "sound_checked_at_us": 1,
    }
    return CameraReading(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "is_silent", "mark"),
    [
        ({}, False, "ok"),
        ({"last_frame_age_s": 16.0}, False, "warning"),
        ({"last_frame_age_s": None}, False, "warning"),
        ({"state": "waiting"}, False, "warning"),
        ({"state": "stopped"}, False, "critical"),
        ({}, True, "unknown"),
        ({"state": "stopped"}, True, "unknown"),
    ],
)
def test_a_camera_is_judged_by_frames_that_move(changes: dict[str, object], is_silent: bool, mark: str) -> None:
    assert camera_facts("front", camera(**changes), is_silent, KO).mark == mark


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "checked, no sound"),
        ({"source_has_sound": True}, "source has sound, discarded"),
        ({"sound_checked_at_us": None}, "not checked yet"),
    ],
)
def test_the_sound_check_says_what_was_checked(changes: dict[str, object], text: str) -> None:
    facts: CameraFacts = camera_facts("front", camera(**changes), False, EN)
    assert value(facts.facts, "fact.sound")[0] == text


def test_a_part_that_did_not_report_is_absent() -> None:
    assert [title for title, _ in pole_groups(heartbeat(), KO)] == ["group.machine"]


def test_limits_are_marked() -> None:
    bell = BellReading(line="cut", line_poll_age_s=3, light="odd", presses=0, outbox_waiting=2)
    upload = UploadReading(certificate_days_left=12)
    clock = ClockState(synced=False, source="rtc", error_us=5_000_000)
    groups = dict(pole_groups(heartbeat(bell=bell, upload=upload, clock=clock), EN))
    assert value(groups["group.bell"], "fact.line") == ("line cut", "warning")
    assert value(groups["group.bell"], "fact.light") == ("odd", "")
    assert value(groups["group.bell"], "fact.outbox") == ("2", "warning")
    assert value(groups["group.bell"], "fact.center_beat") == ("none yet", "warning")
    assert value(groups["group.link"], "fact.certificate") == ("12 days left", "warning")
    assert value(groups["group.machine"], "fact.clock") == ("not synchronised · rtc · ±5000.0 ms", "warning")


# --- windows and lists ----------------------------------------------------------------------------------------


def test_the_window_is_an_hour_unless_asked_otherwise() -> None:
    assert choose_window("", "", NOW_US).start_us == NOW_US - 3600 * S
    assert choose_window("day", "", NOW_US).start_us == NOW_US - 86_400 * S
    assert choose_window("odd", "-5", NOW_US).name == "hour"


def test_around_a_press_half_a_minute_before_and_a_minute_after_are_listed() -> None:
    window = choose_window("", str(NOW_US), NOW_US)
    assert window.list_span == (NOW_US - 30 * S, NOW_US + 60 * S)
    spans = [
        TimelineSpan("segment", NOW_US + start * S, NOW_US + (start + 10) * S, str(start))
        for start in range(-60, 90, 10)
    ]
    assert [line.segment for line in recording_lines({"front": spans}, window)] == [
        str(start) for start in range(-30, 60, 10)
    ]
    assert camera_time("front", spans, window).press_x == 473.7


def test_the_list_of_an_hour_is_bounded_and_newest_first() -> None:
    window = choose_window("", "", NOW_US)
    spans = [
        TimelineSpan("segment", NOW_US - start * S, NOW_US - (start - 10) * S, str(start))
        for start in range(10, 3600, 10)
    ]
    lines = recording_lines({"front": spans}, window)
    assert len(lines) == LIST_LIMIT
    assert lines[0].segment == "10"


def test_a_time_is_typed_in_the_poles_civil_time() -> None:
    wanted = datetime(2026, 11, 20, 20, 5, tzinfo=ZoneInfo("Asia/Seoul"))
    assert civil_instant("2026-11-20T20:05") == str(round(wanted.timestamp() * S))
    assert [civil_instant(text) for text in ("", "x", "9999", "2026-13-01T00:00")] == ["", "", "", ""]


def test_how_much_was_recorded_is_told() -> None:
    window = choose_window("", "", NOW_US)
    half = TimelineSpan("segment", NOW_US - 3600 * S, NOW_US - 1800 * S, "a")
    assert camera_time("front", [half], window).covered_percent == pytest.approx(50)


# --- places, reasons, numbers ---------------------------------------------------------------------------------


def test_places_are_read_again_when_the_file_changes(tmp_path: Path) -> None:
    file = tmp_path / "places.json"
    file.write_text(json.dumps({"p": "공원"}), encoding="utf-8")
    places = Places(file)
    assert (places.of("p"), places.of("q")) == ("공원", "")
    file.write_text(json.dumps({"p": "학교"}), encoding="utf-8")
    os.utime(file, ns=(1, 1))
    assert places.of("p") == "학교"


@pytest.mark.parametrize("text", ["{", "[1]", '"x"', "7"])
def test_a_broken_places_file_keeps_the_last_good_words(tmp_path: Path, text: str) -> None:
    file = tmp_path / "places.json"
    file.write_text(json.dumps({"p": "공원"}), encoding="utf-8")
    places = Places(file)
    assert places.of("p") == "공원"
    file.write_text(text, encoding="utf-8")
    os.utime(file, ns=(1, 1))
    assert places.of("p") == "공원"
    file.unlink()
    assert places.of("p") == "공원"


def test_without_a_places_file_a_pole_has_only_its_name() -> None:
    assert Places(None).of("p") == ""


@pytest.mark.parametrize(
    ("typed", "reason"),
    [("", None), (" a  b ", None), ("  현장   확인 ", "현장 확인"), ("x" * 500, "x" * 500), ("x" * 501, None)],
)
def test_a_reason_is_four_characters_at_least(typed: str, reason: str | None) -> None:
    assert typed_reason({"reason": typed}) == reason


def test_times_are_civil_and_carry_their_instant() -> None:
    at_us = 1_790_000_000 * S
    assert stamp(at_us) == "2026-09-21 23:13:20"
    assert clock_time(at_us) == "23:13:20"
    assert iso(at_us) == "2026-09-21T14:13:20+00:00"


def test_numbers_read_well() -> None:
    assert [amount(count) for count in (0, 999, 1000, 14_800_000, 5e15)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "14.8 MB",
        "5000.0 TB",
    ]
    assert [stopwatch(seconds) for seconds in (-1, 0, 61, 3600, 93_784)] == [
        "00:00",
        "00:00",
        "01:01",
        "1:00:00",
        "26:03:04",
    ]
