"""The alarm desk's acts, the wall, tests apart from real ones, work orders and what is refused: over real TLS."""

import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from support.certificates import CertificateShop, certificates  # noqa: F401
from support.console_stage import POLE, ConsoleStage, utc_us, visible_text

from agent.contract.command import Context, judge
from agent.contract.messages import CommandReply, encode
from center.config import ConsoleConfig
from center.store.commands import CommandRow
from center.store.korean_day import day_of

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&{{7*7}}"
PAGES = ("/incidents/inc-1", "/wall", "/bells", "/work-orders/x", "/statistics", "/security", "/plans/plan.svg")
QUIET = ("/fragments/wall", "/fragments/bells", "/fragments/modes", "/fragments/security", "/fragments/incidents/inc-1")
ACTS = ("seen", "answer", "take-over", "dispatch", "close")
PLAN = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 60 40"><rect width="60" height="40" fill="#eee"/></svg>'


@pytest.fixture
def stage(tmp_path: Path, certificates: CertificateShop) -> Iterator[ConsoleStage]:  # noqa: F811
    places = {"*": {"plan": "plan.svg"}, POLE: {"place": "까치산역 2번 출구", "x": 0.5, "y": 0.25}}
    (tmp_path / "places.json").write_text(json.dumps(places, ensure_ascii=False), encoding="utf-8")
    (tmp_path / "plan.svg").write_text(PLAN, encoding="utf-8")
    (tmp_path / "secret.svg").write_text("secret", encoding="utf-8")
    stage = ConsoleStage(tmp_path, certificates, ConsoleConfig(places_file=tmp_path / "places.json"))
    stage.start()
    yield stage
    stage.stop()


@pytest.fixture
def officer(stage: ConsoleStage) -> Iterator[httpx.Client]:
    with stage.entered() as client:
        client.headers["x-csrf-token"] = stage.csrf(client)
        yield client


@pytest.fixture
def other(stage: ConsoleStage) -> Iterator[httpx.Client]:
    with stage.client(person="lee-operator") as client:
        client.headers["x-csrf-token"] = stage.csrf(client)
        yield client


def act(client: httpx.Client, name: str, incident: str = "inc-1", **fields: str) -> httpx.Response:
    """Press a button as the page's own script does."""
    return client.post(f"/incidents/{incident}/{name}", data=fields, headers={"x-fragment": "1"})


def state(stage: ConsoleStage, incident: str = "inc-1") -> str:
    row = stage.store.alarms.get(incident)
    assert row is not None
    return row.state


# --- who gets in ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PAGES)
def test_a_stranger_is_sent_to_the_entry(stage: ConsoleStage, path: str) -> None:
    with stage.client() as client:
        assert client.get(path).headers["location"] == "/enter"


@pytest.mark.parametrize("path", QUIET)
def test_a_stranger_s_program_gets_401(stage: ConsoleStage, path: str) -> None:
    with stage.client() as client:
        assert client.get(path).status_code == 401


@pytest.mark.parametrize("name", ACTS)
def test_no_act_happens_without_a_session_and_its_token(stage: ConsoleStage, officer: httpx.Client, name: str) -> None:
    stage.press()
    del officer.headers["x-csrf-token"]
    assert act(officer, name, who="x", reason="real").status_code == 403
    with stage.client() as stranger:
        assert act(stranger, name, who="x", reason="real").status_code == 401
    assert state(stage) == "open"


# --- the chain of states --------------------------------------------------------------------------------------------


def test_an_incident_goes_from_open_to_closed_with_every_name_and_time(
    stage: ConsoleStage, officer: httpx.Client
) -> None:
    stage.press()
    for name, fields, after in (
        ("seen", {}, "seen"),
        ("answer", {}, "answered"),
        ("dispatch", {"who": " 순찰   3호 "}, "dispatched"),
        ("close", {"reason": "real"}, "closed"),
    ):
        assert act(officer, name, **fields).status_code == 204
        assert state(stage) == after
    acts = stage.store.alarms.acts("inc-1")
    assert [row.act for row in acts] == ["opened", "seen", "answered", "dispatched", "closed"]
    assert {row.by for row in acts[1:]} == {"김하늘"}
    text = visible_text(officer.get("/incidents/inc-1").text)
    assert "출동: 순찰 3호" in text and "실제 상황" in text


def test_the_first_answer_owns_and_the_second_is_told_who_and_when(
    stage: ConsoleStage, officer: httpx.Client, other: httpx.Client
) -> None:
    stage.press()
    assert act(officer, "answer").status_code == 204
    answer = act(other, "answer")
    assert answer.status_code == 409
    assert re.search(r"까치산역 2번 출구: 김하늘 님이 \d\d:\d\d:\d\d부터 담당하고 있습니다", answer.json()["detail"])
    assert "이어받기" in other.get("/fragments/incidents").text
    assert "이어받기" not in officer.get("/fragments/incidents").text
    other.cookies.set("__Host-language", "en")
    assert "김하늘 has had it since" in act(other, "answer").json()["detail"]


def test_two_who_answer_at_once_leave_one_owner_and_one_who_was_told(
    stage: ConsoleStage, officer: httpx.Client, other: httpx.Client
) -> None:
    for round_number in range(5):
        incident = f"race-{round_number}"
        stage.press(incident)
        gate = threading.Barrier(2)
        answers: list[httpx.Response] = []

        def answer(client: httpx.Client, incident: str = incident, gate: threading.Barrier = gate) -> None:
            gate.wait()
            answers.append(act(client, "answer", incident))  # noqa: B023

        threads = [threading.Thread(target=answer, args=(client,)) for client in (officer, other)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        row = stage.store.alarms.get(incident)
        assert sorted(answer.status_code for answer in answers) == [204, 409]
        refused = next(answer for answer in answers if answer.status_code == 409)
        assert row is not None and row.owner in ("김하늘", "lee-operator") and row.owner in refused.json()["detail"]


def test_only_the_owner_dispatches_until_another_takes_over(
    stage: ConsoleStage, officer: httpx.Client, other: httpx.Client
) -> None:
    stage.press()
    assert act(other, "take-over").status_code == 409, "there is nobody to take it over from"
    assert act(other, "dispatch", who="순찰차").status_code == 409, "nobody has answered"
    act(officer, "answer")
    assert act(other, "dispatch", who="순찰차").status_code == 409
    assert act(other, "take-over").status_code == 204
    assert act(other, "dispatch", who="순찰차").status_code == 204
    row = stage.store.alarms.get("inc-1")
    assert row is not None and (row.answered_by, row.owner, row.dispatched_by) == ("김하늘", *["lee-operator"] * 2)


@pytest.mark.parametrize("who", ["", "   ", "x" * 201])
def test_a_dispatch_needs_somebody(stage: ConsoleStage, officer: httpx.Client, who: str) -> None:
    stage.press()
    act(officer, "answer")
    assert act(officer, "dispatch", who=who).status_code == 400
    assert state(stage) == "answered"


def test_an_unknown_act_and_an_unknown_incident_change_nothing(stage: ConsoleStage, officer: httpx.Client) -> None:
    stage.press()
    assert act(officer, "mute").status_code == 404
    assert act(officer, "seen", "never").status_code == 409
    assert officer.get("/incidents/never").status_code == 404
    assert state(stage) == "open"


def test_a_program_sees_who_owns_and_the_new_states(stage: ConsoleStage, officer: httpx.Client) -> None:
    stage.press()
    act(officer, "seen")
    assert [row["state"] for row in officer.get("/api/incidents?state=open").json()["incidents"]] == ["seen"]
    assert officer.post("/api/incidents/inc-1/answer", json={}).json()["owner"] == "김하늘"
    refused = officer.post("/api/incidents/inc-1/answer", json={"by": "demo"})
    assert (refused.status_code, refused.json()["owner"]) == (409, "김하늘")
    assert officer.post("/api/incidents/inc-1/dispatch", json={"who": "순찰차"}).json()["state"] == "dispatched"
    assert len(officer.get("/api/incidents?state=dispatched").json()["incidents"]) == 1


# --- what a card shows ----------------------------------------------------------------------------------------------


def test_a_card_has_its_clips_its_place_on_the_plan_and_the_incident_before(
    stage: ConsoleStage, officer: httpx.Client
) -> None:
    stage.heartbeat(cameras=("front",))
    stage.press("before", ago_s=7200)
    stage.store.alarms.close("before", "lee", "prank")
    inside, outside = stage.segment(25), stage.segment(100)
    stage.press(ago_s=20, previous="before")
    html = officer.get("/fragments/incidents").text
    assert f'href="/recordings/{inside}"' in html and outside not in html
    assert 'x="50.0%" y="25.0%"' in html and 'src="/plans/plan.svg"' in html
    assert 'href="/incidents/before"' in html and "장난" in html
    assert "아직 보고되지 않음" in html
    page = officer.get("/plans/plan.svg")
    assert (page.status_code, page.headers["content-type"], page.text) == (200, "image/svg+xml", PLAN)


@pytest.mark.parametrize("name", ["secret.svg", "..%2Fplaces.json", "places.json", "nothing.svg"])
def test_only_a_plan_that_a_pole_stands_on_is_served(officer: httpx.Client, name: str) -> None:
    assert officer.get(f"/plans/{name}").status_code == 404


def test_the_card_tells_the_steps_and_the_hook_s_result(stage: ConsoleStage, officer: httpx.Client) -> None:
    stage.press()
    stage.climb("inc-1", "second", "wall", "hook")
    (hook,) = stage.store.escalations.unfinished_hooks()
    stage.store.escalations.begin_attempt(hook)
    stage.store.escalations.note_result(hook, "HTTP 503", finished=True, ok=False)
    text = visible_text(officer.get("/fragments/incidents").text)
    at = r"\d\d:\d\d:\d\d"
    assert re.search(rf"단계 호출 2차 관제석 {at} 벽면 상황판 {at} 외부 통보 {at} · HTTP 503", text)


def test_the_strip_counts_what_has_come_to_the_second_desk_and_to_the_wall(
    stage: ConsoleStage, officer: httpx.Client
) -> None:
    for name in ("fresh", "second", "wall"):
        stage.press(name)
    stage.climb("second", "second")
    stage.climb("wall", "second", "wall")
    html = officer.get("/fragments/strip").text
    assert 'data-waiting="3" data-second="2" data-wall="1"' in html
    stage.store.alarms.answer("wall", "lee")
    assert 'data-waiting="2" data-second="1" data-wall="0"' in officer.get("/fragments/strip").text


def test_a_step_that_nobody_raised_counts_when_it_is_overdue(stage: ConsoleStage, officer: httpx.Client) -> None:
    stage.back_s = 60
    stage.press(ago_s=60)
    assert 'data-waiting="1" data-second="1" data-wall="1"' in officer.get("/fragments/strip").text


# --- the wall -------------------------------------------------------------------------------------------------------


def test_the_wall_shows_only_what_nobody_answered_and_has_no_control(
    stage: ConsoleStage, officer: httpx.Client
) -> None:
    stage.press("waits")
    stage.press("taken", "p-2")
    stage.store.alarms.answer("taken", "lee")
    stage.press_test(pole="p-3")
    html = officer.get("/wall").text
    assert "까치산역 2번 출구" in html and "p-2" not in html and "p-3" not in html
    assert not re.search(r"<(button|form|input|a|select)\b", html)
    assert "tile loud" not in html
    stage.climb("waits", "second", "wall")
    assert "tile loud" in officer.get("/fragments/wall").text
    for number in range(8):
        stage.press(f"more-{number}")
    assert "외 3건" in officer.get("/fragments/wall").text


# --- tests and real never mix ---------------------------------------------------------------------------------------


def test_a_test_press_is_in_its_own_list_and_banner_and_nowhere_else(
    stage: ConsoleStage, officer: httpx.Client
) -> None:
    assert officer.get("/fragments/modes").text.strip() == ""
    stage.press_test()
    assert "시험 누름" in officer.get("/fragments/modes").text
    assert "까치산역 2번 출구" in officer.get("/bells").text.partition('id="tests"')[2]
    for path in ("/fragments/incidents", "/fragments/history", "/fragments/wall"):
        assert "까치산역" not in officer.get(path).text, path
    assert 'data-waiting="0"' in officer.get("/fragments/strip").text
    assert officer.get("/api/incidents").json() == {"incidents": []}
    assert "이 기간에 비상벨이 없었습니다" in officer.get("/statistics").text


def test_a_pole_in_a_mode_stands_in_the_banner_with_its_end(stage: ConsoleStage, officer: httpx.Client) -> None:
    stage.heartbeat(mode="maintenance", mode_until_us=utc_us() + 600_000_000)
    text = visible_text(officer.get("/").text)
    assert re.search(r"시험·정비 중인 폴 까치산역 2번 출구 : 정비 중 \(\d\d:\d\d까지\)", text)
    stage.press(mode="maintenance")
    assert "정비 중" in officer.get("/fragments/incidents").text


# --- coverage, orders, statistics, security -------------------------------------------------------------------------


def test_coverage_counts_today_and_this_month_and_says_what_to_do(stage: ConsoleStage, officer: httpx.Client) -> None:
    for pole in ("a", "b", "c"):
        stage.heartbeat(pole)
    stage.inspect("self-test", {"line": "pass"}, "a")
    stage.inspect("press-test", {"press": "pass"}, "a")
    stage.inspect("self-test", {"line": "fail", "lamps": "pass"}, "b")
    html = officer.get("/bells").text
    text = visible_text(html)
    assert "1 /3 오늘 자가 점검 합격" in text and "1 /3 이번 달 누름 시험 합격" in text
    assert "폴 1곳, 1회" in text and "벨 선" in text
    assert re.findall(r'href="/poles/([abc])"', html) == ["b", "c", "a"]


def test_the_month_s_work_orders_are_made_once_and_done_by_a_passed_test(
    stage: ConsoleStage, officer: httpx.Client
) -> None:
    for pole in ("a", "b"):
        stage.heartbeat(pole)
    assert "작업 지시 2건 만들기" in officer.get("/bells").text
    assert officer.post("/work-orders").status_code == 303
    assert officer.post("/work-orders").status_code == 303
    orders = stage.store.work_orders.open()
    assert [(order.pole, order.created_by) for order in orders] == [("a", "김하늘"), ("b", "김하늘")]
    stage.inspect("press-test", {"press": "pass"}, "a", order=orders[0].work_order)
    html = officer.get("/bells").text
    assert orders[0].work_order not in html and orders[1].work_order in html
    assert "만들기" not in html
    assert "합격, 완료" in officer.get(f"/work-orders/{orders[0].work_order}").text


def newest(stage: ConsoleStage) -> CommandRow:
    return stage.store.commands.newest(1)[0]


def reply(stage: ConsoleStage, status: str, **fields: str) -> None:
    """Let the pole answer the newest command."""
    row = newest(stage)
    message = CommandReply(
        pole=row.pole,
        jti=row.jti,
        payload_sha256=row.payload_sha256,
        status=status,  # type: ignore[arg-type]
        at_us=utc_us(),
        **fields,
    )
    stage.store.commands.reply(message, encode(message))


def test_an_assisted_press_test_runs_by_signed_commands_from_start_to_result(stage: ConsoleStage) -> None:
    folder = stage.give_key("jung-crew")
    stage.heartbeat()
    order = stage.store.work_orders.create(POLE, day_of(utc_us()), "kim").work_order
    with stage.client(person="jung-crew") as crew:
        crew.headers["x-csrf-token"] = stage.csrf(crew)
        page = f"/work-orders/{order}"
        assert 'id="step-start"' in crew.get(page).text
        assert crew.post(f"{page}/start").status_code == 303
        row = newest(stage)
        assert (row.op, row.args, row.officer) == ("mode", {"mode": "test", "for_s": 900}, "jung-crew")
        assert row.reason.startswith(f"{order}: ")
        verdict = judge(row.raw, Context(POLE, folder.current(), utc_us(), clock_synced=True))
        assert type(verdict).__name__ == "Accept", "the pole's own judge obeys it"
        assert "폴의 대답을 기다리는 중" in crew.get(page).text
        reply(stage, "done")
        assert 'id="step-press"' in crew.get(page).text
        crew.post(f"{page}/press")
        assert (newest(stage).op, newest(stage).args) == ("bell-test", {"wait_s": 120, "work_order": order})
        reply(stage, "done")
        assert "지금 벨을 한 번 누르십시오" in crew.get(page).text
        stage.press_test()
        assert "누름이 관제센터에 도착했습니다" in crew.get(page).text
        stage.inspect("press-test", {"press": "pass", "contacts": "pass"}, order=order)
        assert "합격" in visible_text(crew.get(page).text)
        crew.post(f"{page}/end")
        assert newest(stage).args == {"mode": "normal"}


def test_a_refusal_is_told_and_a_challenge_is_answered_by_pressing_again(stage: ConsoleStage) -> None:
    stage.give_key("jung-crew")
    order = stage.store.work_orders.create(POLE, day_of(utc_us()), "kim").work_order
    with stage.client(person="jung-crew") as crew:
        crew.headers["x-csrf-token"] = stage.csrf(crew)
        crew.post(f"/work-orders/{order}/start")
        reply(stage, "challenge", nonce="n-1")
        assert "한 번 더 누르십시오" in crew.get(f"/work-orders/{order}").text
        crew.post(f"/work-orders/{order}/start")
        assert newest(stage).nonce == "n-1"
        reply(stage, "refused", code="rate")
        assert "허용 횟수 초과" in crew.get(f"/work-orders/{order}").text


def test_a_name_that_was_only_typed_signs_nothing(stage: ConsoleStage) -> None:
    stage.give_key("jung-crew")
    order = stage.store.work_orders.create(POLE, day_of(utc_us()), "kim").work_order
    with stage.entered("jung-crew") as liar:
        liar.headers["x-csrf-token"] = stage.csrf(liar)
        assert "step-start" not in liar.get(f"/work-orders/{order}").text
        assert liar.post(f"/work-orders/{order}/start").status_code == 403
    with stage.client(person="lee-operator") as keyless:
        keyless.headers["x-csrf-token"] = stage.csrf(keyless)
        assert "명령 키가 없습니다" in keyless.get(f"/work-orders/{order}").text
        assert keyless.post(f"/work-orders/{order}/start").status_code == 409
    assert stage.store.commands.newest(1) == []


def test_an_operator_s_key_may_not_set_a_mode(stage: ConsoleStage) -> None:
    stage.give_key("lee-operator", "operator")
    order = stage.store.work_orders.create(POLE, day_of(utc_us()), "kim").work_order
    with stage.client(person="lee-operator") as client:
        client.headers["x-csrf-token"] = stage.csrf(client)
        answer = client.post(f"/work-orders/{order}/start", headers={"x-fragment": "1"})
    assert answer.status_code == 409 and "role" in answer.json()["detail"]
    assert stage.store.commands.newest(1) == []


def test_statistics_count_the_unanswered_and_leave_simulated_calls_out(
    stage: ConsoleStage, officer: httpx.Client
) -> None:
    stage.press("quick")
    stage.store.alarms.answer("quick", "lee")
    stage.press("missed")
    stage.press("fake", simulated=True)
    text = visible_text(officer.get("/statistics?days=7").text)
    assert re.search(r"50 % 목표 90 % 미달 .* 2 비상벨 1 응답 없음", text)
    assert " 3 비상벨 2 응답 없음" in visible_text(officer.get("/statistics?simulated=1").text)
    assert officer.get("/statistics?days=odd").status_code == 200


def test_refusals_conflicts_and_damaged_messages_are_on_one_list(stage: ConsoleStage, officer: httpx.Client) -> None:
    stage.audit(POLE, "refused", "b" * 64, code="signature")
    stage.audit(POLE, "after", "c" * 64, code="done", op="self-test", officer="kim")
    stage.store.quarantine.add(POLE, "ps/v1/x/up/alarm", "not json", b"{")
    stage.store.events.append("security", {"pole": POLE, "what": "segment-conflict", "segment": "s"})
    text = visible_text(officer.get("/security").text)
    for words in (
        "위조로 볼 것",
        "자가 점검 · 완료",
        "not json",
        "이미 있는 구간에 다른 내용이 옴",
        "거부 1건, 그중 위조 의심 1건",
    ):
        assert words in text, words
    assert "not json" not in officer.get("/fragments/security?only=refused").text
    assert officer.get("/security?only=odd").status_code == 200


# --- hostile texts and weight ---------------------------------------------------------------------------------------


def test_what_anybody_types_is_only_ever_text(stage: ConsoleStage, officer: httpx.Client) -> None:
    evil = EVIL.replace("/", "!")
    stage.heartbeat(evil[:60], cameras=(evil,))
    stage.heartbeat(POLE, mode="test", mode_until_us=utc_us() + 60_000_000)
    stage.press("inc-1", evil[:60])
    stage.climb("inc-1", "second", "hook")
    (hook,) = stage.store.escalations.unfinished_hooks()
    stage.store.escalations.note_result(hook, EVIL, finished=True, ok=False)
    act(officer, "answer")
    assert act(officer, "dispatch", who=EVIL).status_code == 204
    stage.press_test("t-1", evil[:60])
    stage.inspect("self-test", {EVIL: "fail"}, evil[:60])
    order = stage.store.work_orders.create(POLE, day_of(utc_us()), EVIL).work_order
    stage.audit(POLE, "refused", "b" * 64, code=EVIL, detail=EVIL, officer=EVIL)
    stage.store.quarantine.add(EVIL, EVIL, EVIL, b"{")
    stage.store.events.append("security", {"pole": EVIL, "what": EVIL, EVIL: EVIL})
    for path in ("/", "/incidents/inc-1", "/wall", "/bells", f"/work-orders/{order}", "/security", "/statistics"):
        html = officer.get(path).text
        assert "<script>alert" not in html and "<img src=x" not in html, path
        assert len(re.findall(r"<script", html)) <= 1, path


@pytest.mark.parametrize("path", ["/", "/wall", "/bells", "/statistics?days=90", "/security"])
def test_every_page_is_light(stage: ConsoleStage, officer: httpx.Client, path: str) -> None:
    stage.heartbeat()
    for ago_s in range(10, 100, 10):
        stage.segment(ago_s)
    for number in range(3):
        stage.press(f"inc-{number}", ago_s=40)
    weights = {
        name: len(officer.get(name).content)
        for name in (path, "/static/console.js", "/static/console.css", "/static/icon.svg")
    }
    assert sum(weights.values()) < 100_000, weights
