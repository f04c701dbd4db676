"""The console over real TLS on a real store: who gets in, what each button does, what a hostile text cannot do."""

import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from support.certificates import CertificateShop, certificates  # noqa: F401
from support.console_stage import POLE, ConsoleStage, utc_us, visible_text

from agent.contract.messages import Status
from center.config import ConsoleConfig
from center.console.service import ConsoleProcess
from center.console.visit import MAX_BODY
from center.errors import ConfigError

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&{{7*7}}"
QUIET = ("/fragments/strip", "/fragments/incidents", "/api/incidents", "/api/session", "/events", "/openings/x/video")
PAGES = ("/", "/poles", f"/poles/{POLE}", "/ledger", "/recordings/x")


@pytest.fixture
def stage(tmp_path: Path, certificates: CertificateShop) -> Iterator[ConsoleStage]:  # noqa: F811
    stage = ConsoleStage(tmp_path, certificates)
    stage.start()
    yield stage
    stage.stop()


@pytest.fixture
def officer(stage: ConsoleStage) -> Iterator[httpx.Client]:
    with stage.entered() as client:
        yield client


# --- who gets in ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PAGES)
def test_a_stranger_is_sent_to_the_entry(stage: ConsoleStage, path: str) -> None:
    with stage.client() as client:
        answer = client.get(path)
    assert (answer.status_code, answer.headers["location"]) == (303, "/enter")


@pytest.mark.parametrize("path", QUIET)
def test_a_stranger_s_program_gets_401(stage: ConsoleStage, path: str) -> None:
    with stage.client() as client:
        assert client.get(path).status_code == 401


@pytest.mark.parametrize("path", ["/incidents/inc-1/answer", "/incidents/inc-1/close", "/simulated-press", "/leave"])
def test_a_stranger_can_press_nothing(stage: ConsoleStage, path: str) -> None:
    stage.press()
    with stage.client() as client:
        assert client.post(path, data={"reason": "real"}).status_code == 401
    assert [row.state for row in stage.store.alarms.incidents("all")] == ["open"]


def test_the_link_lets_one_person_in_once(stage: ConsoleStage) -> None:
    link = stage.link
    with stage.client() as client, stage.client() as second:
        assert "officer" in client.get(link).text
        token = link.partition("token=")[2]
        answer = client.post("/enter", data={"token": token, "officer": " 김  하늘 "})
        assert answer.status_code == 303
        cookie = answer.headers["set-cookie"]
        assert all(word in cookie for word in ("__Host-console=", "HttpOnly", "Secure", "SameSite=strict", "Path=/"))
        assert client.get("/api/session").json()["officer"] == "김 하늘"
        assert second.post("/enter", data={"token": token, "officer": "lee"}).status_code == 403
        assert second.get(link).status_code == 403
        assert second.get("/api/session").status_code == 401
    assert stage.link != link


def test_a_name_is_needed_and_the_link_survives_the_mistake(stage: ConsoleStage) -> None:
    token = stage.link.partition("token=")[2]
    with stage.client() as client:
        assert client.post("/enter", data={"token": token, "officer": "  "}).status_code == 400
        assert client.post("/enter", data={"token": token, "officer": "kim"}).status_code == 303


def test_leaving_ends_the_session_on_the_server(stage: ConsoleStage, officer: httpx.Client) -> None:
    kept = dict(officer.cookies)
    assert officer.post("/leave", data={"csrf": stage.csrf(officer)}).status_code == 303
    with stage.client() as thief:
        thief.cookies.update(kept)
        assert thief.get("/api/session").status_code == 401


def test_a_person_s_certificate_needs_no_link(stage: ConsoleStage) -> None:
    with stage.client(person="kim-operator") as client:
        assert client.get("/api/session").json()["officer"] == "kim-operator"
        assert client.get("/").status_code == 200


def test_a_pole_s_certificate_opens_nothing(stage: ConsoleStage) -> None:
    with stage.client(pole="pole-1") as client:
        assert client.get("/api/session").status_code == 401


def test_a_certificate_of_another_authority_is_refused_in_the_handshake(stage: ConsoleStage) -> None:
    theirs = stage.certificates.foreign_pole("pole-1")
    context = ssl.create_default_context(cafile=str(stage.certificates.ca_file))
    context.load_cert_chain(theirs.cert_file, theirs.key_file)
    with httpx.Client(base_url=stage.url, verify=context) as client, pytest.raises(httpx.TransportError):
        client.get("/")


def test_there_is_no_port_without_tls(stage: ConsoleStage) -> None:
    assert stage.process is not None
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://127.0.0.1:{stage.process.port}/")


def test_off_loopback_the_handshake_demands_a_certificate(tmp_path: Path, certificates: CertificateShop) -> None:  # noqa: F811
    stage = ConsoleStage(tmp_path, certificates, ConsoleConfig(host="0.0.0.0"))
    stage.start()
    assert stage.process is not None
    url = f"https://127.0.0.1:{stage.process.port}"
    try:
        with stage.client() as client, pytest.raises(httpx.TransportError):
            client.get(f"{url}/enter")
        with stage.client(person="kim-operator") as client:
            assert client.get(f"{url}/").status_code == 200
        with stage.client(pole="pole-1") as client:
            assert client.get(f"{url}/").headers["location"] == "/enter"
            assert client.get(f"{url}/enter").status_code == 401
        assert not (stage.config.state_dir / "console-entry-link").exists()
    finally:
        stage.stop()


def test_a_revoked_person_stays_outside(tmp_path: Path) -> None:
    from dataclasses import replace

    from center import pki

    shop = CertificateShop(tmp_path / "pki")
    stage = ConsoleStage(tmp_path, shop)
    pki.revoke(shop.directory, shop.person("gone").cert_file)
    stage.config = replace(stage.config, ingest=replace(stage.config.ingest, crl_file=shop.crl_file))
    stage.start()
    try:
        with stage.client(person="gone") as client, pytest.raises(httpx.TransportError):
            client.get("/")
        with stage.client(person="kim-operator") as client:
            assert client.get("/").status_code == 200
    finally:
        stage.stop()


def test_a_port_that_is_taken_is_said_so(stage: ConsoleStage) -> None:
    from dataclasses import replace

    assert stage.process is not None
    taken = replace(stage.config, console=replace(stage.config.console, port=stage.process.port))
    with pytest.raises(ConfigError, match="cannot listen"):
        ConsoleProcess(taken)


# --- forged and odd requests ----------------------------------------------------------------------------------


@pytest.mark.parametrize("csrf", [None, "", "wrong"])
@pytest.mark.parametrize(
    "path", ["/incidents/inc-1/answer", "/api/incidents/inc-1/answer", "/leave", "/language", "/simulated-press"]
)
def test_a_post_without_the_token_is_refused_before_any_effect(
    stage: ConsoleStage, officer: httpx.Client, path: str, csrf: str | None
) -> None:
    stage.press()
    fields = {"to": "en"} if csrf is None else {"to": "en", "csrf": csrf}
    assert officer.post(path, data=fields).status_code == 403
    assert [row.state for row in stage.store.alarms.incidents("all")] == ["open"]
    assert officer.get("/api/session").status_code == 200


def test_another_session_s_token_is_refused(stage: ConsoleStage, officer: httpx.Client) -> None:
    stage.press()
    with stage.client(person="kim-operator") as other:
        token = stage.csrf(other)
    assert officer.post("/incidents/inc-1/answer", data={"csrf": token}).status_code == 403


def test_a_certificate_does_not_replace_the_token(stage: ConsoleStage) -> None:
    stage.press()
    with stage.client(person="kim-operator") as client:
        assert client.post("/api/incidents/inc-1/answer", json={"by": "x"}).status_code == 403


def test_an_endless_body_is_cut_off(stage: ConsoleStage, officer: httpx.Client) -> None:
    assert officer.post("/leave", content=b"x" * (MAX_BODY + 1)).status_code == 413


@pytest.mark.parametrize("body", [b"[1]", b"{", b"\xff\xfe"])
def test_a_body_that_is_no_form_is_refused(officer: httpx.Client, body: bytes) -> None:
    answer = officer.post("/leave", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400


@pytest.mark.parametrize(
    "path", ["/poles/nobody", "/recordings/nothing", "/openings/none", "/static/../service.py", "/nowhere"]
)
def test_what_is_not_there_is_404_in_words(officer: httpx.Client, path: str) -> None:
    answer = officer.get(path)
    assert answer.status_code == 404
    assert "Traceback" not in answer.text


@pytest.mark.parametrize("path", ["/", "/enter", "/static/console.js", "/nowhere", "/api/session", "/fragments/strip"])
def test_every_answer_carries_the_security_headers(officer: httpx.Client, path: str) -> None:
    headers = officer.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-frame-options"] == "DENY"
    assert headers["cache-control"] in ("no-store", "no-cache")
    assert "server" not in headers


def test_the_token_s_address_is_in_no_log(stage: ConsoleStage, caplog: pytest.LogCaptureFixture) -> None:
    token = stage.link.partition("token=")[2]
    with stage.entered():
        pass
    assert token not in caplog.text


# --- the desk ---------------------------------------------------------------------------------------------------


def test_answer_and_close_are_committed_with_the_officer_s_name(stage: ConsoleStage, officer: httpx.Client) -> None:
    stage.press()
    csrf = {"csrf": stage.csrf(officer)}
    assert officer.post("/incidents/inc-1/answer", data=csrf).status_code == 303
    row = stage.store.alarms.get("inc-1")
    assert row is not None and (row.state, row.answered_by) == ("answered", "김하늘")
    assert officer.post("/incidents/inc-1/close", data=csrf).status_code == 400
    assert officer.post("/incidents/inc-1/close", data={**csrf, "reason": "because"}).status_code == 400
    assert officer.post("/incidents/inc-1/close", data={**csrf, "reason": "prank"}).status_code == 303
    row = stage.store.alarms.get("inc-1")
    assert row is not None and (row.state, row.closed_by, row.reason) == ("closed", "김하늘", "prank")
    assert [down.kind for down in stage.store.alarms.down_queue()] == ["answer", "answer"]
    assert "장난" in visible_text(officer.get("/fragments/history").text)


def test_two_officers_who_answer_at_once_leave_one_name(stage: ConsoleStage, officer: httpx.Client) -> None:
    stage.press()
    with stage.client(person="lee-operator") as second:
        tokens = [stage.csrf(officer), stage.csrf(second)]
        gate = threading.Barrier(2)
        codes: list[int] = []

        def answer(client: httpx.Client, token: str) -> None:
            gate.wait()
            codes.append(client.post("/incidents/inc-1/answer", data={"csrf": token}).status_code)

        threads = [threading.Thread(target=answer, args=pair) for pair in zip((officer, second), tokens, strict=True)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
    assert sorted(codes) == [303, 409]
    assert len(stage.store.alarms.down_queue()) == 1


def test_answering_what_is_closed_is_a_conflict_and_what_never_was_too(
    stage: ConsoleStage, officer: httpx.Client
) -> None:
    stage.press()
    stage.store.alarms.close("inc-1", "lee", "mistake")
    csrf = {"csrf": stage.csrf(officer)}
    assert officer.post("/incidents/inc-1/answer", data=csrf).status_code == 409
    assert officer.post("/incidents/never/answer", data=csrf).status_code == 409


def test_unanswered_alarms_stand_first_and_the_longest_wait_on_top(stage: ConsoleStage, officer: httpx.Client) -> None:
    stage.press("young", ago_s=5)
    stage.press("old", ago_s=90)
    stage.press("taken", ago_s=300)
    stage.store.alarms.answer("taken", "lee")
    keys = re.findall(r'data-key="([^"]+)"', officer.get("/fragments/incidents").text)
    assert keys == ["old", "young", "taken"]


def test_the_api_lists_answers_and_closes(stage: ConsoleStage) -> None:
    stage.press(simulated=True)
    with stage.client(person="kim-operator") as client:
        client.headers["x-csrf-token"] = stage.csrf(client)
        (incident,) = client.get("/api/incidents", params={"state": "open"}).json()["incidents"]
        assert (incident["incident_id"], incident["pole"], incident["simulated"]) == ("inc-1", POLE, True)
        answered = client.post("/api/incidents/inc-1/answer", json={"by": "demo"}).json()
        assert (answered["state"], answered["answered_by"]) == ("answered", "demo (kim-operator)")
        assert client.get("/api/incidents?state=open").json() == {"incidents": []}
        assert len(client.get("/api/incidents?state=answered").json()["incidents"]) == 1
        assert client.post("/api/incidents/inc-1/close", json={"by": "demo"}).status_code == 400
        closed = client.post("/api/incidents/inc-1/close", json={"reason": "inspection"}).json()
        assert (closed["state"], closed["closed_by"], closed["reason"]) == ("closed", "kim-operator", "inspection")
        assert client.get("/api/incidents?state=odd").status_code == 400


def test_a_real_console_has_no_simulated_bell(stage: ConsoleStage, officer: httpx.Client) -> None:
    assert "simulated-press" not in officer.get("/").text
    assert officer.post("/simulated-press", data={"csrf": stage.csrf(officer)}).status_code == 404


class Bell:
    """A pole's control socket that takes one press after another."""

    def __init__(self, path: Path, answer: bytes) -> None:
        self.heard: list[bytes] = []
        self._answer = answer
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(str(path))
        self._socket.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                link, _ = self._socket.accept()
            except OSError:
                return
            with link:
                self.heard.append(link.recv(1024))
                link.sendall(self._answer)

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


@pytest.mark.parametrize(
    ("answer", "status"), [(b'{"ok": true}\n', 204), (b'{"ok": false, "error": "busy"}\n', 502), (b"?", 502)]
)
def test_the_demo_s_bell_is_pressed_over_its_socket(
    tmp_path: Path,
    certificates: CertificateShop,  # noqa: F811
    answer: bytes,
    status: int,
) -> None:
    bell = Bell(tmp_path / "bell.sock", answer)
    console = ConsoleConfig(simulation=True, simulated_bell_socket=tmp_path / "bell.sock")
    stage = ConsoleStage(tmp_path, certificates, console)
    stage.start()
    try:
        with stage.entered() as client:
            assert "simulated-press" in client.get("/").text
            fields = {"csrf": stage.csrf(client)}
            assert client.post("/simulated-press", data=fields, headers={"x-fragment": "1"}).status_code == status
        assert [json.loads(line) for line in bell.heard] == [{"press_ms": 200}]
    finally:
        stage.stop()
        bell.close()


def test_a_demo_bell_that_is_not_there_is_said_so(tmp_path: Path, certificates: CertificateShop) -> None:  # noqa: F811
    stage = ConsoleStage(
        tmp_path, certificates, ConsoleConfig(simulation=True, simulated_bell_socket=tmp_path / "none.sock")
    )
    stage.start()
    try:
        with stage.entered() as client:
            assert client.post("/simulated-press", data={"csrf": stage.csrf(client)}).status_code == 502
    finally:
        stage.stop()


# --- the stream ---------------------------------------------------------------------------------------------------


def read_events(
    client: httpx.Client, count: int, headers: dict[str, str], act: object = None
) -> list[dict[str, object]]:
    """Return `count` changes of a fresh stream; `act` runs once it is open."""
    found: list[dict[str, object]] = []
    with client.stream("GET", "/events", headers=headers) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = stream.iter_lines()
        assert next(lines).startswith("retry:")
        if callable(act):
            act()
        for line in lines:
            if line.startswith('data: {"kind"'):
                found.append(json.loads(line.removeprefix("data: ")))
                if len(found) == count:
                    return found
    raise AssertionError("the stream ended")


def test_a_commit_reaches_an_open_page(stage: ConsoleStage, officer: httpx.Client) -> None:
    (event,) = read_events(officer, 1, {}, stage.press)
    assert event["kind"] == "alarm"


def test_a_page_that_comes_back_hears_what_it_missed_and_nothing_twice(
    stage: ConsoleStage, officer: httpx.Client
) -> None:
    for number in range(1, 4):
        stage.press(number=number)
    first = stage.store.events.newest() - 2
    events = read_events(officer, 3, {"Last-Event-ID": str(first)}, lambda: stage.press(number=4))
    assert [event["id"] for event in events] == [first + 1, first + 2, first + 3]


@pytest.mark.parametrize("last", ["-1", "x", "9" * 30, ""])
def test_an_odd_last_id_starts_the_stream_anew(stage: ConsoleStage, officer: httpx.Client, last: str) -> None:
    assert len(read_events(officer, 1, {"Last-Event-ID": last}, stage.press)) == 1


def test_pages_that_were_closed_leave_nothing_behind(stage: ConsoleStage, officer: httpx.Client) -> None:
    assert stage.process is not None
    feed = stage.process.console.feed
    for _ in range(5):
        read_events(officer, 1, {}, stage.another_press)
    deadline = time.monotonic() + 10
    while feed.listeners:
        assert time.monotonic() < deadline, "a closed page still listens"
        threading.Event().wait(0.02)


def test_a_press_after_the_close_stands_open_again_without_the_old_answer(
    stage: ConsoleStage, officer: httpx.Client
) -> None:
    stage.press()
    stage.store.alarms.answer("inc-1", "박서준")
    stage.store.alarms.close("inc-1", "박서준", "mistake")
    stage.press(number=2)
    html = officer.get("/fragments/incidents").text
    assert 'data-state="open"' in html
    assert "박서준" not in html


# --- poles ----------------------------------------------------------------------------------------------------------


def test_the_worst_pole_is_first(stage: ConsoleStage, officer: httpx.Client) -> None:
    stage.heartbeat("fine")
    stage.heartbeat("minor", (("clock-unsynced", "", ""),))
    stage.heartbeat("broken", (("bell-line-cut", "", ""),))
    stage.heartbeat("gone")
    stage.store.poles.note_status(Status(pole="gone", session="s1", state="offline", at_us=utc_us()))
    html = officer.get("/poles").text
    assert re.findall(r'href="/poles/([a-z]+)"', html) == ["gone", "broken", "minor", "fine"]
    text = visible_text(html)
    assert "비상벨 선이 끊어짐" in text
    assert re.search(r"4 전체 폴 1 정상 2 고장 1 무응답", text)


def test_a_search_finds_by_number_and_by_place(tmp_path: Path, certificates: CertificateShop) -> None:  # noqa: F811
    places = tmp_path / "places.json"
    places.write_text(json.dumps({"gs-1": "화곡로 입구", "gs-2": "공원"}, ensure_ascii=False), encoding="utf-8")
    stage = ConsoleStage(tmp_path, certificates, ConsoleConfig(places_file=places))
    stage.heartbeat("gs-1")
    stage.heartbeat("gs-2")
    stage.start()
    try:
        with stage.entered() as client:
            for query, found in (("화곡", ["gs-1"]), ("GS-2", ["gs-2"]), ("없음", []), ("", ["gs-1", "gs-2"])):
                html = client.get("/fragments/poles", params={"q": query}).text
                assert re.findall(r'href="/poles/([a-z0-9-]+)"', html) == found
    finally:
        stage.stop()


def test_a_fault_comes_with_its_next_step_in_both_languages(stage: ConsoleStage, officer: httpx.Client) -> None:
    stage.heartbeat(faults=(("camera-source-lost", "back", "read timed out"), ("never-heard-of", "", "as it came")))
    korean = visible_text(officer.get(f"/poles/{POLE}").text)
    officer.post("/language", data={"to": "en", "csrf": stage.csrf(officer)})
    english = visible_text(officer.get(f"/poles/{POLE}").text)
    assert "카메라 전원, 케이블, 주소를 확인하십시오" in korean
    assert "check the camera&#39;s power, cable and address" in english
    assert all("never-heard-of" in text and "as it came" in text for text in (korean, english))


def test_a_pole_without_a_heartbeat_has_a_page(stage: ConsoleStage, officer: httpx.Client) -> None:
    stage.store.poles.note_status(Status(pole=POLE, session="s1", state="online", at_us=utc_us()))
    answer = officer.get(f"/poles/{POLE}")
    assert answer.status_code == 200
    assert "상태 보고가 아직 없습니다" in answer.text


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?window=day",
        "?window=odd",
        "?at=1",
        "?at=99999999999999999999",
        "?at=x",
        "?when=2026-11-20T20:05",
        "?when=9999-99",
    ],
)
def test_no_window_breaks_the_timeline(stage: ConsoleStage, officer: httpx.Client, query: str) -> None:
    stage.heartbeat()
    stage.segment(600)
    stage.segment(590, torn=True)
    stage.gap(580, 100, "power")
    assert officer.get(f"/poles/{POLE}{query}").status_code == 200


def test_the_timeline_shows_segments_torn_ones_and_gaps_with_their_cause(
    stage: ConsoleStage, officer: httpx.Client
) -> None:
    stage.heartbeat(cameras=("front",))
    stored = stage.segment(600)
    stage.segment(590, torn=True)
    stage.gap(580, 300, "power")
    html = officer.get(f"/poles/{POLE}").text
    assert [html.count(f'class="bar-{kind}" x=') for kind in ("segment", "torn", "gap", "unknown")] == [1, 1, 1, 2]
    assert "전원 끊김" in visible_text(html)
    assert f'href="/recordings/{stored}"' in html


def test_the_footage_around_a_press_lists_that_window_only(stage: ConsoleStage, officer: httpx.Client) -> None:
    stage.heartbeat(cameras=("front",))
    inside, outside = stage.segment(310), stage.segment(900)
    html = officer.get(f"/poles/{POLE}?at={utc_us() - 300_000_000}").text
    assert inside in html
    assert outside not in html
    assert "bar-press" in html


# --- recordings and the ledger --------------------------------------------------------------------------------------


def opened(stage: ConsoleStage, client: httpx.Client, segment: str, reason: str = "현장 확인") -> httpx.Response:
    return client.post(f"/recordings/{segment}/open", data={"csrf": stage.csrf(client), "reason": reason})


@pytest.mark.parametrize("reason", ["", "   ", "abc", "x" * 501])
def test_without_a_reason_nothing_opens_and_nothing_is_written(
    stage: ConsoleStage, officer: httpx.Client, reason: str
) -> None:
    segment = stage.segment(60, clear=b"picture")
    assert opened(stage, officer, segment, reason).status_code == 400
    assert stage.store.ledger.list() == []


def test_a_reason_is_written_down_and_the_clear_bytes_follow(stage: ConsoleStage, officer: httpx.Client) -> None:
    clear = bytes(range(256)) * 1000
    segment = stage.segment(60, clear=clear)
    page = opened(stage, officer, segment).headers["location"]
    (row,) = stage.store.ledger.list()
    assert (row.entry.officer, row.entry.purpose, row.entry.file) == ("김하늘", "현장 확인", segment)
    whole = officer.get(f"{page}/video")
    assert (whole.status_code, whole.content, whole.headers["cache-control"]) == (200, clear, "no-store")
    assert whole.headers["content-type"] == "video/mp4"
    part = officer.get(f"{page}/video", headers={"range": "bytes=70000-70099"})
    assert (part.status_code, part.content) == (206, clear[70000:70100])
    assert part.headers["content-range"] == f"bytes 70000-70099/{len(clear)}"
    assert officer.get(f"{page}/video", headers={"range": "bytes=999999-"}).status_code == 416
    assert len(stage.store.ledger.list()) == 1
    assert "현장 확인" in officer.get("/ledger").text


def test_clear_bytes_touch_no_disk(stage: ConsoleStage, officer: httpx.Client) -> None:
    clear = b"a face that must stay sealed " * 400
    page = opened(stage, officer, stage.segment(60, clear=clear)).headers["location"]
    assert officer.get(f"{page}/video").content == clear
    for path in stage.directory.rglob("*"):
        assert not path.is_file() or b"a face that must stay sealed" not in path.read_bytes(), path


def test_an_opening_belongs_to_its_session(stage: ConsoleStage, officer: httpx.Client) -> None:
    page = opened(stage, officer, stage.segment(60, clear=b"picture")).headers["location"]
    with stage.client(person="lee-operator") as other:
        assert other.get(page).status_code == 404
        assert other.get(f"{page}/video").status_code == 404
    officer.post("/leave", data={"csrf": stage.csrf(officer)})
    assert officer.get(f"{page}/video").status_code == 401


def test_a_torn_recording_gives_its_prefix(stage: ConsoleStage, officer: httpx.Client) -> None:
    clear = b"0123456789abcdef" * 10_000
    page = opened(stage, officer, stage.segment(60, clear=clear, torn=True)).headers["location"]
    content = officer.get(f"{page}/video").content
    assert 0 < len(content) < len(clear)
    assert clear.startswith(content)
    assert "끊긴 녹화" in officer.get(page).text


def test_an_altered_recording_is_refused_without_a_ledger_row(stage: ConsoleStage, officer: httpx.Client) -> None:
    segment = stage.segment(60, clear=b"picture")
    stored = stage.store.objects.get(segment)
    assert stored is not None
    path = stage.config.objects_dir / stored.path
    path.write_bytes(path.read_bytes()[:-1] + b"\x00")
    answer = opened(stage, officer, segment)
    assert answer.status_code == 409
    assert "SHA-256" in answer.text
    assert stage.store.ledger.list() == []


def test_an_altered_ledger_is_shouted_out(stage: ConsoleStage, officer: httpx.Client) -> None:
    opened(stage, officer, stage.segment(60, clear=b"picture"))
    assert "1행, 변경 없음" in officer.get("/ledger").text
    with stage.store.database.transaction():
        stage.store.database.write("DROP TRIGGER ledger_no_update")
        stage.store.database.write("UPDATE ledger SET hash = 'x'")
    assert "대장이 변경되었습니다" in officer.get("/ledger").text


# --- hostile texts ----------------------------------------------------------------------------------------------------


def test_what_poles_and_people_type_is_only_ever_text(stage: ConsoleStage) -> None:
    pole = "<script>alert(3)<!script>"
    stage.heartbeat(POLE, ((EVIL, EVIL, EVIL),), cameras=(EVIL,))
    stage.heartbeat(pole)
    stage.press(EVIL.replace("/", "!"), pole)
    segment = stage.segment(60, clear=b"picture")
    with stage.entered(EVIL[:50]) as client:
        page = opened(stage, client, segment, EVIL).headers["location"]
        paths = [
            "/",
            "/poles",
            f"/poles/{POLE}",
            "/poles?q=%22%3E%3Cscript%3E",
            "/ledger",
            f"/recordings/{segment}",
            page,
        ]
        for path in [*paths, "/fragments/incidents", "/fragments/history"]:
            html = client.get(path).text
            assert "<script>alert" not in html, path
            assert "<img" not in html, path
            assert "49" not in re.sub(r"[0-9a-f:. _-]{3,}|\d+", "", html), path
            assert len(re.findall(r"<script", html)) <= 1, path


def test_a_page_is_light(stage: ConsoleStage, officer: httpx.Client) -> None:
    stage.heartbeat()
    stage.press()
    weights = {
        path: len(officer.get(path).content)
        for path in ("/", "/static/console.js", "/static/console.css", "/static/icon.svg")
    }
    assert sum(weights.values()) < 100_000, weights


# --- the process -----------------------------------------------------------------------------------------------------


class ConsoleChild:
    """`pole-center console` as its unit starts it."""

    def __init__(self, directory: Path, certificates: CertificateShop) -> None:  # noqa: F811
        self.certificates = certificates
        self.log = directory / "log"
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        server = certificates.center("center-console")
        server_files = (
            f'cert_file = "{server.cert_file}"\nkey_file = "{server.key_file}"\nca_file = "{certificates.ca_file}"'
        )
        broker = "".join(f'{who}_{what}_file = "x"\n' for who in ("alarms", "telemetry") for what in ("cert", "key"))
        self.config = directory / "center.toml"
        self.config.write_text(
            f"""state_dir = "state"
[ingest]
host = "127.0.0.1"
port = 1
{server_files}
[broker]
host = "127.0.0.1"
port = 1
ca_file = "x"
{broker}[receipts]
key_file = "x"
[custodian]
key_dir = "keys"
[console]
port = {self.port}
""",
            encoding="utf-8",
        )
        self.link_file = directory / "state" / "console-entry-link"

    def __enter__(self) -> "ConsoleChild":
        command = [sys.executable, "-m", "center", "console", "--config", str(self.config)]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + 30
        while "console ready" not in self.log.read_text(encoding="utf-8"):
            assert time.monotonic() < deadline and self.process.poll() is None, self.log.read_text(encoding="utf-8")
            threading.Event().wait(0.05)
        self.token = self.link_file.read_text(encoding="utf-8").strip().partition("token=")[2]
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def client(self) -> httpx.Client:
        issued = self.certificates.person("kim-operator")
        context = ssl.create_default_context(cafile=str(self.certificates.ca_file))
        context.load_cert_chain(issued.cert_file, issued.key_file)
        return httpx.Client(base_url=f"https://127.0.0.1:{self.port}", verify=context, timeout=20)


def test_the_process_ends_in_order_while_a_page_listens(tmp_path: Path, certificates: CertificateShop) -> None:  # noqa: F811
    with (
        ConsoleChild(tmp_path, certificates) as child,
        child.client() as client,
        client.stream("GET", "/events") as stream,
    ):
        lines = stream.iter_lines()
        assert next(lines).startswith("retry:")
        for _ in range(60):  # `timeout` sends it twice: the second handler may interrupt the first
            os.kill(child.process.pid, signal.SIGTERM)
            os.kill(child.process.pid, signal.SIGTERM)
            threading.Event().wait(0.0005)
        assert child.process.wait(10) == 0
    assert child.token not in child.log.read_text(encoding="utf-8")
    assert "console ready" in child.log.read_text(encoding="utf-8")
