"""The ladder, its worker and its hook: who is told, when, and that it is told once."""

import itertools
import json
import os
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.center_alarms import eventually, make_alarm
from support.center_store import START_US, CenterClock, open_store
from support.certificates import CertificateShop, certificates
from support.web_listener import WebListener

from agent.contract.messages import encode
from center.alarms import escalator as escalator_module
from center.alarms.command_hook import CommandHook
from center.alarms.escalation import Ladder, began_mono_s
from center.alarms.escalator import Escalator
from center.alarms.hook import HookResult
from center.alarms.hook_worker import BACKOFF_S, HookWorker
from center.alarms.webhook import Webhook
from center.errors import ConfigError
from center.store import Store
from center.store.escalations import STEPS

__all__ = ["certificates"]

SCHEMA = Path(__file__).parents[2] / "docs" / "contract" / "schemas" / "escalation-notice.json"
NEVER = threading.Event()
LADDER = Ladder()


class Watch:
    """The center's UTC and its monotonic clock, which move together unless told otherwise."""

    def __init__(self) -> None:
        self.utc = CenterClock()
        self.mono_s = 1000.0

    def mono(self) -> float:
        return self.mono_s

    def advance(self, seconds: float) -> None:
        self.utc.advance(seconds)
        self.mono_s += seconds


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def store(tmp_path: Path, watch: Watch) -> Iterator[Store]:
    store = open_store(tmp_path, watch.utc)
    yield store
    store.close()


@pytest.fixture
def escalator(store: Store, watch: Watch) -> Escalator:
    return Escalator(store, LADDER, watch.utc, watch.mono)


def press(store: Store, number: int = 1, incident: str = "incident-1") -> None:
    alarm = make_alarm(alarm_id=f"{incident}-{number}", incident_id=incident, press_number=number)
    store.alarms.commit(alarm, encode(alarm))


def steps(store: Store, incident: str = "incident-1") -> list[tuple[int, str]]:
    return [(row.call, row.step) for row in store.escalations.of(incident)]


def look_each_second(escalator: Escalator, watch: Watch, seconds: int) -> None:
    for _ in range(seconds):
        watch.advance(1)
        escalator.run_once()


# --- the ladder, pure ---


@pytest.mark.parametrize(
    ("waited_s", "due"),
    [(0, []), (14.9, []), (15, ["second"]), (30, ["second", "wall"]), (3600, ["second", "wall", "hook"])],
)
def test_a_step_is_due_when_its_delay_has_passed(waited_s: float, due: list[str]) -> None:
    assert [step for step, _ in LADDER.due(waited_s, ())] == due


def test_what_was_raised_is_not_due_again() -> None:
    assert [step for step, _ in LADDER.due(3600, {"second", "hook"})] == ["wall"]


@given(
    called_s=st.integers(-100_000, 100_000), last_look_s=st.none() | st.floats(0, 3600), waited_s=st.floats(0, 100_000)
)
def test_no_clock_makes_a_call_older_than_the_last_look_or_younger_than_nothing(
    called_s: int, last_look_s: float | None, waited_s: float
) -> None:
    now = 200_000.0
    last = None if last_look_s is None else now - last_look_s
    began = began_mono_s(START_US + called_s * 1_000_000, START_US + round(waited_s * 1e6), now, last)
    assert began <= now
    if last is not None:
        assert began >= last


# --- the worker ---


def test_an_unanswered_call_climbs_step_by_step_each_once(store: Store, escalator: Escalator, watch: Watch) -> None:
    press(store)
    seen = []
    for _ in range(90):
        watch.advance(1)
        escalator.run_once()
        seen.append(len(steps(store)))
    assert (seen.index(1) + 1, seen.index(2) + 1, seen.index(3) + 1) == (15, 30, 60)
    assert steps(store) == [(1, "second"), (1, "wall"), (1, "hook")]
    assert [event.data["step"] for event in store.events.after(0) if event.kind == "escalation"] == list(STEPS)
    rows = store.escalations.of("incident-1")
    assert [row.raised_at_us - row.due_at_us for row in rows] == [0, 0, 0]


def test_to_be_seen_stops_nothing(store: Store, escalator: Escalator, watch: Watch) -> None:
    press(store)
    store.alarms.seen("incident-1", "kim")
    look_each_second(escalator, watch, 16)
    assert steps(store) == [(1, "second")]
    assert store.escalations.standing()["incident-1"].step == "second"


@pytest.mark.parametrize("act", ["answer", "close"])
def test_an_answer_or_a_close_stops_it(store: Store, escalator: Escalator, watch: Watch, act: str) -> None:
    press(store)
    look_each_second(escalator, watch, 16)
    if act == "answer":
        store.alarms.answer("incident-1", "kim")
    else:
        store.alarms.close("incident-1", "kim", "prank")
    look_each_second(escalator, watch, 100)
    assert steps(store) == [(1, "second")]
    assert store.escalations.standing() == {}


def test_an_answer_between_look_and_commit_comes_first(store: Store, watch: Watch) -> None:
    press(store)
    calls = store.escalations.waiting()
    store.alarms.answer("incident-1", "kim")
    assert store.escalations.raise_steps([(calls[0], "second", watch.utc.us)]) == 0


def test_a_press_after_the_close_climbs_anew(store: Store, escalator: Escalator, watch: Watch) -> None:
    press(store)
    look_each_second(escalator, watch, 16)
    store.alarms.close("incident-1", "kim", "mistake")
    press(store, 2)
    look_each_second(escalator, watch, 14)
    assert steps(store) == [(1, "second")]
    look_each_second(escalator, watch, 2)
    assert steps(store) == [(1, "second"), (2, "second")]


def test_a_further_press_of_the_same_call_does_not_begin_the_wait_again(
    store: Store, escalator: Escalator, watch: Watch
) -> None:
    press(store)
    look_each_second(escalator, watch, 10)
    press(store, 2)
    look_each_second(escalator, watch, 5)
    assert steps(store) == [(1, "second")]


def test_a_restart_repeats_no_step_and_forgets_no_wait(store: Store, escalator: Escalator, watch: Watch) -> None:
    press(store)
    look_each_second(escalator, watch, 20)
    watch.mono_s = 3.0
    again = Escalator(store, LADDER, watch.utc, watch.mono)
    assert again.run_once() == 0
    look_each_second(again, watch, 9)
    assert steps(store) == [(1, "second")]
    look_each_second(again, watch, 1)
    assert steps(store) == [(1, "second"), (1, "wall")]


def test_after_an_hour_without_the_center_all_steps_are_due_at_once(store: Store, watch: Watch) -> None:
    press(store)
    watch.utc.advance(3600)
    assert Escalator(store, LADDER, watch.utc, watch.mono).run_once() == 3


@pytest.mark.parametrize("jump_s", [86_400.0, -86_400.0])
def test_a_clock_that_jumps_neither_hurries_nor_hides_a_call(
    store: Store, escalator: Escalator, watch: Watch, jump_s: float
) -> None:
    escalator.run_once()
    watch.advance(0.25)
    press(store, 1, "before")
    watch.utc.advance(jump_s)
    press(store, 1, "after")
    escalator.run_once()
    assert (steps(store, "before"), steps(store, "after")) == ([], [])
    look_each_second(escalator, watch, 15)
    assert (steps(store, "before"), steps(store, "after")) == ([(1, "second")], [(1, "second")])


def test_many_calls_are_raised_in_one_commit_of_bounded_size_the_longest_overdue_first(
    tmp_path: Path, store: Store, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(escalator_module, "MOST_STEPS", 20)
    for number in range(15):
        press(store, 1, f"i{number:02}")
        watch.advance(0.1)
    watch.advance(30)
    other = open_store(tmp_path)
    version = other.database.data_version()
    worker = Escalator(store, LADDER, watch.utc, watch.mono)
    assert worker.run_once() == 20
    commits = other.database.data_version() - version
    other.close()
    assert commits == 1
    assert [len(steps(store, f"i{number:02}")) for number in range(15)] == [2] * 5 + [1] * 10
    assert (worker.run_once(), worker.run_once()) == (10, 0)


# --- the hook's worker ---


class NotedHook:
    """A hook that notes what it gets and answers what it is told to."""

    def __init__(self, *results: bool) -> None:
        self.results = list(results)
        self.notices: list[dict[str, object]] = []

    def run(self, payload: bytes, stop: threading.Event) -> HookResult:
        self.notices.append(json.loads(payload))
        ok = self.results.pop(0) if self.results else True
        return HookResult(ok, "done" if ok else "it is broken")


def raise_hook(store: Store, watch: Watch) -> None:
    press(store)
    watch.advance(61)
    Escalator(store, LADDER, watch.utc, watch.mono).run_once()


def test_the_hook_gets_the_notice_of_the_contract_once(store: Store, watch: Watch) -> None:
    raise_hook(store, watch)
    hook = NotedHook()
    worker = HookWorker(store, hook, 5, watch.utc, watch.mono)
    assert worker.run_once(NEVER)
    assert not worker.run_once(NEVER)
    (notice,) = hook.notices
    jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text())).validate(notice)
    assert (notice["incident_id"], notice["call"], notice["waited_s"], notice["attempt"]) == ("incident-1", 1, 61, 1)
    row = store.escalations.of("incident-1")[-1]
    assert (row.result, row.finished_at_us, row.attempts) == ("attempt 1: done", watch.utc.us, 1)


def test_a_hook_that_fails_is_tried_again_after_growing_waits_and_then_given_up(store: Store, watch: Watch) -> None:
    raise_hook(store, watch)
    hook = NotedHook(False, False, False)
    worker = HookWorker(store, hook, 3, watch.utc, watch.mono)
    tried_at = []
    for _ in range(60):
        if worker.run_once(NEVER) and len(hook.notices) > len(tried_at):
            tried_at.append(watch.mono_s)
        watch.advance(1)
    assert [b - a for a, b in itertools.pairwise(tried_at)] == list(BACKOFF_S[:2])
    row = store.escalations.of("incident-1")[-1]
    assert row.result == "given up after 3 attempts: it is broken"
    (told,) = [event.data for event in store.events.after(0) if event.kind == "hook"]
    assert told == {"incident_id": "incident-1", "result": row.result, "ok": False}


def test_an_attempt_is_counted_before_it_runs_so_a_hook_that_kills_us_is_not_tried_for_ever(
    store: Store, watch: Watch
) -> None:
    class Killed(Exception):
        pass

    class DeadlyHook:
        def run(self, payload: bytes, stop: threading.Event) -> HookResult:
            raise Killed

    raise_hook(store, watch)
    for _ in range(3):
        with pytest.raises(Killed):
            HookWorker(store, DeadlyHook(), 3, watch.utc, watch.mono).run_once(NEVER)
    HookWorker(store, DeadlyHook(), 3, watch.utc, watch.mono).run_once(NEVER)
    assert store.escalations.of("incident-1")[-1].result == "given up after 3 attempts"


def test_an_answered_call_needs_no_hook_any_more(store: Store, watch: Watch) -> None:
    raise_hook(store, watch)
    hook = NotedHook()
    store.alarms.answer("incident-1", "kim")
    HookWorker(store, hook, 5, watch.utc, watch.mono).run_once(NEVER)
    assert hook.notices == []
    assert store.escalations.of("incident-1")[-1].result.startswith("no longer needed")


def test_without_a_hook_the_row_says_so(store: Store, watch: Watch) -> None:
    raise_hook(store, watch)
    HookWorker(store, None, 5, watch.utc, watch.mono).run_once(NEVER)
    assert store.escalations.of("incident-1")[-1].result == "no hook is configured"


def test_one_that_was_never_tried_comes_before_one_to_be_tried_again(store: Store, watch: Watch) -> None:
    raise_hook(store, watch)
    hook = NotedHook(False)
    worker = HookWorker(store, hook, 5, watch.utc, watch.mono)
    worker.run_once(NEVER)
    press(store, 1, "young")
    watch.advance(61)
    Escalator(store, LADDER, watch.utc, watch.mono).run_once()
    worker.run_once(NEVER)
    assert [notice["incident_id"] for notice in hook.notices] == ["incident-1", "young"]


# --- the command ---


def script(directory: Path, body: str) -> Path:
    path = directory / "hook.sh"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_a_command_gets_the_notice_on_its_input_and_nothing_of_our_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CENTER_SECRET", "x")
    program = script(tmp_path, f'cat > {tmp_path}/in; env > {tmp_path}/env; echo "$1" > {tmp_path}/word')
    result = CommandHook((str(program), "$(touch /tmp/never); x"), 10).run(b'{"pole":"; rm"}', NEVER)
    assert result == HookResult(True, "exit status 0")
    assert (tmp_path / "in").read_bytes() == b'{"pole":"; rm"}'
    assert "CENTER_SECRET" not in (tmp_path / "env").read_text()
    assert (tmp_path / "word").read_text() == "$(touch /tmp/never); x\n"


def test_a_command_that_fails_says_why_in_one_short_line(tmp_path: Path) -> None:
    program = script(tmp_path, "echo noise >&2; echo 'the pager is off' >&2; exit 7")
    assert CommandHook((str(program),), 10).run(b"{}", NEVER) == HookResult(False, "exit status 7: the pager is off")


def test_a_command_that_is_not_there_is_a_result_not_an_error() -> None:
    result = CommandHook(("/nowhere/hook",), 10).run(b"{}", NEVER)
    assert (result.ok, result.text) == (False, "cannot be started: No such file or directory")


def test_a_command_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    program = script(tmp_path, f"sleep 300 & echo $! > {tmp_path}/child; wait")
    result = CommandHook((str(program),), 0.5).run(b"{}", NEVER)
    assert (result.ok, result.text) == (False, "did not end within 0.5 s")
    eventually(lambda: not _runs(int((tmp_path / "child").read_text())))


def test_a_command_ends_when_the_service_stops(tmp_path: Path) -> None:
    program = script(tmp_path, "exec sleep 300")
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    began = time.monotonic()
    assert CommandHook((str(program),), 60).run(b"{}", stop).stopped
    assert time.monotonic() - began < 5


def test_a_command_that_never_reads_and_writes_much_blocks_nobody(tmp_path: Path) -> None:
    program = script(tmp_path, "yes | head -c 1000000; yes | head -c 1000000 >&2; exit 1")
    result = CommandHook((str(program),), 10).run(b"x" * 1_000_000, NEVER)
    assert (result.ok, result.text) == (False, "exit status 1: y")


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"


# --- the webhook ---


@pytest.fixture
def web(certificates: CertificateShop) -> Iterator[WebListener]:
    with WebListener(certificates.center("center-town")) as listener:
        yield listener


def test_a_webhook_posts_the_notice_with_its_token(
    web: WebListener, certificates: CertificateShop, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("s3cret\n")
    hook = Webhook(web.url("/bell?town=3"), 10, certificates.ca_file, tmp_path / "token")
    assert hook.run(b'{"v":1}', NEVER) == HookResult(True, "status 204")
    assert (web.notices, web.headers[0][":path"]) == ([b'{"v":1}'], "/bell?town=3")
    assert web.headers[0]["Authorization"] == "Bearer s3cret"


def test_a_server_of_another_authority_gets_nothing(web: WebListener, certificates: CertificateShop) -> None:
    for ca_file in (None, certificates.foreign_directory / "ca.crt"):
        result = Webhook(web.url(), 10, ca_file).run(b"{}", NEVER)
        assert not result.ok and "CERTIFICATE_VERIFY_FAILED" in result.text
    assert web.notices == []


def test_a_server_of_another_name_gets_nothing(web: WebListener, certificates: CertificateShop) -> None:
    result = Webhook(web.url(host="127.0.0.2"), 10, certificates.ca_file).run(b"{}", NEVER)
    assert (result.ok, web.notices) == (False, [])


@pytest.mark.parametrize("status", [301, 404, 500])
def test_another_status_is_a_failure_and_no_redirect_is_followed(
    web: WebListener, certificates: CertificateShop, status: int
) -> None:
    web.status = status
    assert Webhook(web.url(), 10, certificates.ca_file).run(b"{}", NEVER) == HookResult(False, f"status {status}")
    assert len(web.notices) == 1


@pytest.mark.parametrize("manner", ["hang", "drip"])
def test_a_server_that_says_nothing_or_drips_is_left_in_time(
    web: WebListener, certificates: CertificateShop, manner: str
) -> None:
    setattr(web, manner, True)
    began = time.monotonic()
    result = Webhook(web.url(), 0.5, certificates.ca_file).run(b"{}", NEVER)
    assert (result.ok, result.text) == (False, "no answer within 0.5 s")
    assert time.monotonic() - began < 5


def test_a_server_that_is_not_there_is_a_result(certificates: CertificateShop) -> None:
    with WebListener(certificates.center("center-town")) as gone:
        url = gone.url()
    assert "refused" in Webhook(url, 5, certificates.ca_file).run(b"{}", NEVER).text


@pytest.mark.parametrize("text", ["", "two words", "\xff"])
def test_a_token_file_that_holds_no_token_is_a_mistake_of_the_configuration(tmp_path: Path, text: str) -> None:
    (tmp_path / "token").write_text(text, encoding="latin-1")
    with pytest.raises(ConfigError, match="hook_token_file"):
        Webhook("https://localhost/", 1, None, tmp_path / "token")


def test_an_authority_that_cannot_be_read_is_a_mistake_of_the_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="hook_ca_file"):
        Webhook("https://localhost/", 1, tmp_path / "gone.crt")
