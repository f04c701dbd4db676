"""What the desk, the wall and the pages about bells say: pure views, no server."""

from dataclasses import replace
from datetime import date

import pytest

from agent.contract.messages import BellReading, ClockState, CommandAudit, Heartbeat, encode
from center.console.answer_chart import HEIGHT, chart, time_y
from center.console.catalogue import load_catalogues
from center.console.coverage_view import bell_lines, failed_points, kind_view, point_view
from center.console.footage import AFTER_US, BEFORE_US, clips_around
from center.console.incident_desk import refusal_text, typed_who
from center.console.incident_view import Around, by_urgency, chain_of, escalation_of, incident_view
from center.console.mode_board import modes_of
from center.console.places import Spot, place_of, spot_of
from center.console.press_test import PRESS_S, judge_press_test
from center.console.security_view import audit_line, quarantine_line, security_line, security_lines
from center.console.status_strip import StepClock, count_waiting
from center.store import EventRow, IncidentRow, PoleRow, TimelineSpan
from center.store.answer_times import DayAnswerTimes
from center.store.commands import AuditRow, CommandRow
from center.store.escalations import StepRow
from center.store.inspections import Coverage, InspectionRow, KindCoverage, PoleCoverage
from center.store.quarantine import QuarantineRow

S = 1_000_000
NOW_US = 1_790_000_000 * S
KO = load_catalogues()["ko"]
EN = load_catalogues()["en"]
CLOCK = ClockState(synced=True, source="ntp", error_us=900)


def incident(name: str = "i", first_s: int = 0, **changes: object) -> IncidentRow:
    row = IncidentRow(
        incident_id=name,
        pole="p",
        state="open",
        presses=1,
        line="pressed",
        simulated=False,
        first_pressed_at_us=first_s * S,
        last_pressed_at_us=first_s * S,
        opened_at_us=first_s * S,
        answered_at_us=None,
        answered_by="",
        closed_at_us=None,
        closed_by="",
        reason="",
        called_at_us=first_s * S,
    )
    return replace(row, **changes)  # type: ignore[arg-type]


ANSWERED = incident(
    state="answered", owner="박서준", owned_since_us=NOW_US, answered_at_us=NOW_US, answered_by="박서준"
)


# --- the desk -------------------------------------------------------------------------------------------------------


def test_the_most_pressed_call_comes_first_and_then_the_longest_wait() -> None:
    rows = [incident("old", 1), incident("often", 9, presses=3), incident("young", 5), replace(ANSWERED, presses=9)]
    assert [row.incident_id for row in sorted(rows, key=by_urgency)] == ["often", "old", "young", "i"]


def test_the_chain_names_every_state_with_its_time_and_person() -> None:
    links = chain_of(replace(ANSWERED, seen_at_us=NOW_US, seen_by="이도윤"))
    assert [link.state for link in links] == ["open", "seen", "answered", "dispatched", "closed"]
    assert [link.at_us is not None for link in links] == [True, True, True, False, False]
    assert [link.state for link in links if link.is_now] == ["answered"]
    assert [link.who for link in links] == ["", "이도윤", "박서준", "", ""]


def test_a_call_after_the_close_is_timed_from_its_own_press() -> None:
    row = incident(first_s=10, calls=2, called_at_us=500 * S, answered_at_us=504 * S, state="answered")
    view = incident_view(row, Around(pressed_us=499 * S), "kim", "ko")
    assert (view.called_us, view.pressed_us, view.answered_after_s, view.clock_odd) == (500 * S, 499 * S, 4, False)


@pytest.mark.parametrize("change", [{"presses": 2}, {"dispatched_who": "순찰차"}, {"owner": "b"}, {"state": "seen"}])
def test_a_card_is_drawn_anew_when_anything_on_it_changed(change: dict[str, object]) -> None:
    first = incident_view(ANSWERED, Around("공원"), "kim", "ko").rev
    assert incident_view(ANSWERED, Around("공원"), "kim", "ko").rev == first
    assert incident_view(replace(ANSWERED, **change), Around("공원"), "kim", "ko").rev != first  # type: ignore[arg-type]
    assert incident_view(ANSWERED, Around("공원"), "박서준", "ko").mine


def test_only_this_call_s_steps_are_shown_and_the_others_stand_as_not_yet() -> None:
    old = StepRow("i", 1, "wall", 1, 1, 0, "", 1)
    hook = StepRow("i", 2, "hook", 2, 2, 3, "HTTP 503", None)
    steps = {step.step: step for step in escalation_of([old, hook], 2)}
    assert list(steps) == ["second", "wall", "hook"]
    assert steps["wall"].raised_at_us is None
    assert (steps["hook"].attempts, steps["hook"].result, steps["hook"].finished) == (3, "HTTP 503", False)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (None, "그런 사건이 없습니다"),
        (ANSWERED, "박서준 님이"),
        (replace(ANSWERED, state="closed", closed_by="이도윤", closed_at_us=NOW_US), "이도윤 님이"),
        (incident(), "먼저 ‘응답’"),
        (replace(ANSWERED, owner="kim"), "as it came"),
    ],
)
def test_a_refusal_names_who_has_it_in_the_officer_s_language(row: IncidentRow | None, says: str) -> None:
    assert says in refusal_text(row, "kim", KO, "as it came")


@pytest.mark.parametrize(("typed", "who"), [("", None), ("  ", None), (" 순찰  3호 ", "순찰 3호"), ("x" * 201, None)])
def test_a_dispatch_names_somebody(typed: str, who: str | None) -> None:
    assert typed_who({"who": typed}) == who


# --- escalation as it is heard --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("waited_s", "raised", "step"),
    [
        (3, "", ""),
        (14, "second", "second"),
        (19, "", ""),
        (20, "", "second"),
        (36, "second", "wall"),
        (5, "hook", "hook"),
    ],
)
def test_a_step_counts_when_raised_and_also_when_nobody_raised_it_in_time(
    waited_s: int, raised: str, step: str
) -> None:
    row = incident(called_at_us=NOW_US - waited_s * S)
    assert StepClock(15, 30).step_of(row, raised, NOW_US) == step


def test_a_call_on_the_wall_rings_at_the_second_desk_too() -> None:
    waiting = count_waiting(["", "second", "wall", "hook"])
    assert (waiting.all, waiting.second, waiting.wall) == (4, 3, 2)


# --- clips, places, modes -------------------------------------------------------------------------------------------


def span(start_s: int, stored: bool = True, kind: str = "segment") -> TimelineSpan:
    return TimelineSpan(kind, NOW_US + start_s * S, NOW_US + (start_s + 10) * S, str(start_s), "", stored)  # type: ignore[arg-type]


def test_the_clips_are_what_overlaps_half_a_minute_before_to_a_minute_after() -> None:
    clips = clips_around([span(at) for at in range(-60, 90, 10)], NOW_US, NOW_US + 300 * S)
    assert [clip.segment for clip in clips] == [str(at) for at in range(-30, 60, 10)]
    assert [clip.segment for clip in clips if clip.has_press] == ["0"]
    assert clips_around([span(-35)], NOW_US, NOW_US)[0].segment == "-35", "one that began before still overlaps"


def test_what_is_not_here_yet_stands_there_all_the_same() -> None:
    clips = clips_around([span(-30), span(-20, stored=False), span(0)], NOW_US, NOW_US + 40 * S)
    assert [(clip.kind, clip.stored) for clip in clips] == [
        ("segment", True),
        ("segment", False),
        ("unknown", False),
        ("segment", True),
        ("unknown", False),
    ]
    assert clips[-1].end_us == NOW_US + 40 * S, "the future is not missing"
    assert [clip.kind for clip in clips_around([], NOW_US, NOW_US)] == ["unknown"]
    assert clips_around([], NOW_US, NOW_US + 999 * S)[0].end_us - NOW_US == AFTER_US
    assert NOW_US - clips_around([], NOW_US, NOW_US)[0].start_us == BEFORE_US


@pytest.mark.parametrize(
    ("entry", "spot"),
    [
        ({"place": "공원", "plan": "a.svg", "x": 0.5, "y": 1}, Spot("a.svg", 50, 100)),
        ({"x": 0, "y": 0.25}, Spot("all.png", 0, 25)),
        ({"plan": "../secret.svg", "x": 0.5, "y": 0.5}, None),
        ({"plan": "keys.pem", "x": 0.5, "y": 0.5}, None),
        ({"plan": "a.svg", "x": 1.1, "y": 0.5}, None),
        ({"plan": "a.svg", "x": True, "y": 0.5}, None),
        ({"plan": "a.svg", "x": float("nan"), "y": 0.5}, None),
        ({"plan": 7, "x": 0.5, "y": 0.5}, None),
        ({"plan": "a.svg"}, None),
        ("공원", None),
    ],
)
def test_a_pole_stands_on_a_plan_beside_the_file_or_on_none(entry: object, spot: Spot | None) -> None:
    assert spot_of(entry, "all.png") == spot
    assert place_of(entry) in ("공원", "")


def pole(name: str, mode: str = "normal", until_s: int | None = None, raw: bytes | None = None) -> PoleRow:
    bell = BellReading(
        line="idle",
        line_poll_age_s=0,
        light="ready",
        presses=0,
        outbox_waiting=0,
        mode=mode,  # type: ignore[arg-type]
        mode_until_us=None if until_s is None else NOW_US + until_s * S,
    )
    beat = Heartbeat(pole=name, session="s", seq=1, at_us=1, uptime_s=1, agent_version="1", clock=CLOCK, bell=bell)
    return PoleRow(name, "online", "s", NOW_US, 30 * S, NOW_US, None, encode(beat) if raw is None else raw)


def test_a_mode_stands_until_its_time_and_what_ends_first_comes_first() -> None:
    rows = [
        pole("forever", "maintenance"),
        pole("late", "maintenance", 900),
        pole("soon", "test", 60),
        pole("over", "test", -1),
        pole("real"),
        pole("damaged", raw=b"{"),
        pole("silent", raw=b""),
    ]
    assert [mode.pole for mode in modes_of(rows, NOW_US)] == ["soon", "late", "forever"]


# --- coverage -------------------------------------------------------------------------------------------------------

PASSED, FAILED, NONE = KindCoverage(NOW_US), KindCoverage(NOW_US - 5, NOW_US), KindCoverage()


def covered(name: str, self_test: KindCoverage, press: KindCoverage, **failures: int) -> PoleCoverage:
    return PoleCoverage(name, self_test, press, failures)


def test_a_bell_that_failed_stands_above_one_that_was_not_tested() -> None:
    poles = (covered("fine", PASSED, PASSED), covered("new", NONE, NONE), covered("broken", FAILED, PASSED, line=2))
    coverage = Coverage(0, 1, poles)
    lines = bell_lines(coverage, coverage, lambda pole: "", KO)
    assert [(line.pole, line.state) for line in lines] == [("broken", "failed"), ("new", "none"), ("fine", "proved")]
    assert kind_view(FAILED).at_us == NOW_US


def test_a_bell_that_proved_itself_last_week_is_not_proved_today() -> None:
    month = Coverage(0, 1, (covered("p", PASSED, PASSED),))
    (line,) = bell_lines(Coverage(0, 1, (covered("p", NONE, NONE),)), month, lambda pole: "", KO)
    assert (line.state, line.today.state, line.press_test.state) == ("none", "none", "proved")


def test_failures_are_counted_by_point_over_poles_with_their_next_step() -> None:
    poles = [covered("a", FAILED, NONE, line=3, lamps=1), covered("b", FAILED, NONE, line=1)]
    first, second = failed_points(poles, EN)
    assert (first.name, first.poles, first.times, second.name) == ("line", 2, 4, "lamps")
    assert first.next_step and second.next_step and first.text != second.text
    assert point_view("clock", 1, EN).text != point_view("line", 1, EN).text


# --- the assisted press test ----------------------------------------------------------------------------------------


def command(op: str, state: str, ago_s: int = 5, **args: object) -> CommandRow:
    at_us = NOW_US - ago_s * S
    return CommandRow(
        jti=f"{op}{ago_s}",
        pole="p",
        op=op,
        args=args,
        officer="jung",
        role="crew",
        kid="k",
        approver="",
        reason="wo: x",
        nonce="",
        iat_us=at_us,
        exp_us=at_us + 300 * S,
        payload_sha256="",
        state=state,  # type: ignore[arg-type]
        code="",
        detail="",
        created_at_us=at_us,
        ended_at_us=at_us if state in ("done", "failed", "refused", "interrupted", "challenged") else None,
        raw=b"",
    )


def inspection(committed_ago_s: int, passed: bool = True) -> InspectionRow:
    at_us = NOW_US - committed_ago_s * S
    return InspectionRow("i", "p", "press-test", at_us, at_us, at_us, at_us, passed, "wo", "jung", ())


TEST_ON = command("mode", "done", 60, mode="test", for_s=900)
ARMED = command("bell-test", "done", 10, wait_s=PRESS_S)


@pytest.mark.parametrize(
    ("commands", "stage", "sending"),
    [
        ([], "start", ""),
        ([command("mode", "queued", mode="test", for_s=900)], "start", "mode"),
        ([command("mode", "refused", mode="test", for_s=900)], "start", ""),
        ([TEST_ON], "ready", ""),
        ([command("mode", "done", 1000, mode="test", for_s=900)], "start", ""),
        ([command("bell-test", "begun"), TEST_ON], "ready", "bell-test"),
        ([ARMED, TEST_ON], "press", ""),
        ([command("mode", "done", 1, mode="normal"), ARMED, TEST_ON], "start", ""),
    ],
)
def test_a_stage_is_reached_only_by_the_pole_s_own_word(commands: list[CommandRow], stage: str, sending: str) -> None:
    test = judge_press_test(commands, [], NOW_US, mode_until_us=None)
    assert (test.stage, test.sending) == (stage, sending)


def test_the_result_is_the_inspection_since_the_newest_order_to_press() -> None:
    assert judge_press_test([ARMED, TEST_ON], [inspection(3)], NOW_US, mode_until_us=None).stage == "result"
    assert judge_press_test([ARMED, TEST_ON], [inspection(30)], NOW_US, mode_until_us=None).stage == "press"
    again = [command("bell-test", "queued", 1), ARMED, TEST_ON]
    assert judge_press_test(again, [inspection(3)], NOW_US, mode_until_us=None).stage == "ready"


def test_a_pole_that_says_nothing_and_a_press_that_never_comes_are_said_so() -> None:
    assert judge_press_test([command("mode", "queued", 21)], [], NOW_US, mode_until_us=None).is_slow
    late = [command("bell-test", "done", PRESS_S + 16), command("mode", "done", 400, mode="test", for_s=900)]
    assert judge_press_test(late, [], NOW_US, mode_until_us=None).is_overdue
    refused = judge_press_test([command("mode", "refused")], [], NOW_US, mode_until_us=None)
    assert refused.problem is not None and refused.problem.state == "refused"


def test_a_test_mode_set_at_the_pole_s_key_switch_is_enough() -> None:
    assert judge_press_test([], [], NOW_US, mode_until_us=NOW_US + S).stage == "ready"
    assert judge_press_test([], [], NOW_US, mode_until_us=NOW_US - S).stage == "start"


# --- statistics and security ----------------------------------------------------------------------------------------


def test_every_day_has_its_place_and_an_unanswered_percentile_is_open_ended() -> None:
    good = DayAnswerTimes(date(2026, 11, 1), 10, 0, 9, 0.9, 4.0, 9.0, 30.0)
    bad = DayAnswerTimes(date(2026, 11, 3), 4, 2, 2, 0.5, 8.0, None, None)
    drawn = chart([good, bad], date(2026, 11, 1), date(2026, 11, 4))
    assert [column.count for column in drawn.columns] == [10, 0, 4, 0]
    assert [column.kept for column in drawn.columns] == [True, False, False, False]
    assert (drawn.columns[2].p90_open, drawn.columns[2].p90_y, drawn.columns[1].p90_y) == (True, 0.0, None)
    assert drawn.columns[0].p50_y is not None and drawn.columns[0].p50_y > drawn.goal_time_y
    assert [time_y(0), time_y(120), time_y(9999)] == [HEIGHT, 0, 0]


def audit(phase: str, code: str = "", op: str = "reboot", officer: str = "kim") -> AuditRow:
    return AuditRow(
        CommandAudit(
            audit_id="a",
            pole="p",
            at_us=1,
            clock=CLOCK,
            phase=phase,  # type: ignore[arg-type]
            payload_sha256="0" * 64,
            code=code,
            op=op,
            officer=officer,
        ),
        NOW_US,
    )


def test_a_refusal_is_told_in_words_and_a_forged_one_names_nobody() -> None:
    forged = audit_line(audit("refused", "signature", "", ""), KO)
    assert (forged.kind, forged.mark, forged.who) == ("refused", "critical", "")
    assert "위조" in forged.what
    assert audit_line(audit("after", "done"), EN).what == "Ended · reboot · done"
    assert audit_line(audit("after", "failed"), EN).mark == "warning"
    assert "brand-new" in audit_line(audit("refused", "brand-new"), EN).what


def test_the_list_is_newest_first_and_shows_one_kind_when_asked() -> None:
    events = [EventRow(1, NOW_US - 5, "security", {"pole": "p", "what": "never-heard", "n": 7})]
    damaged = [QuarantineRow(1, NOW_US + 5, "p", "topic", "not json", b"{")]
    lines = security_lines(events, damaged, [audit("refused", "role")], KO, "", 10)
    assert [line.kind for line in lines] == ["quarantine", "refused", "security"]
    assert lines[2] == security_line(events[0], KO)
    assert (lines[2].what, lines[2].detail) == ("never-heard", "n 7")
    assert [line.kind for line in security_lines(events, damaged, [], KO, "quarantine", 10)] == ["quarantine"]
    assert quarantine_line(damaged[0], KO).detail == "topic: not json"
    assert len(security_lines(events, damaged, [audit("refused")], KO, "", 2)) == 2
