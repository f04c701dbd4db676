"""The console in a real Chromium: what an operator sees and presses, on a desk and on a phone."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.common.exceptions import StaleElementReferenceException
from support import browser as chromium
from support.browser import Browser, open_browser
from support.certificates import CertificateShop, certificates  # noqa: F401
from support.console_stage import POLE, ConsoleStage, moving_picture, utc_us

from center.store.korean_day import day_of

pytestmark = [
    pytest.mark.skipif(bool(chromium.missing()), reason=chromium.missing() or "-"),
    # urllib3 and selenium leave the closing of sockets to the garbage collector
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]
EVIL = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
WIDTHS = (390, 1280)
PLAYING = "const v = document.querySelector('video'); return v.currentTime > 0.5 && v.readyState >= 2 && !v.error"
SMALL_TARGETS = """
const targets = 'button, .button, nav a, .tabs a, .row-link, .chips label, summary, textarea, input[type=text]';
const inText = node => innerWidth < 720 && node.matches('.stack:not(.compact) .row-link');
return [...document.querySelectorAll(targets)]
  .filter(node => node.offsetParent && !inText(node) && node.getBoundingClientRect().height < 43.5)
  .map(node => node.outerHTML.slice(0, 90));
"""
CONTRAST = """
const channel = v => { v /= 255; return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; };
const rgb = text => text.match(/[\\d.]+/g).map(Number);
const light = c => .2126 * channel(c[0]) + .7152 * channel(c[1]) + .0722 * channel(c[2]);
const back = node => {
  for (; node; node = node.parentElement) {
    const colour = rgb(getComputedStyle(node).backgroundColor);
    if (colour.length === 3 || colour[3] > 0) return colour;
  }
  return [255, 255, 255];
};
const poor = [];
for (const node of document.querySelectorAll('body *')) {
  if (!node.offsetParent || ![...node.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())) continue;
  const style = getComputedStyle(node), a = light(rgb(style.color)), b = light(back(node));
  const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
  if (ratio < 4.5) poor.push(node.outerHTML.slice(0, 80) + ' ' + ratio.toFixed(2));
}
return poor;
"""


@pytest.fixture(scope="module")
def window() -> Iterator[Browser]:
    with open_browser() as browser:
        yield browser


@pytest.fixture
def stage(tmp_path: Path, certificates: CertificateShop) -> Iterator[ConsoleStage]:  # noqa: F811
    stage = ConsoleStage(tmp_path, certificates)
    stage.start()
    yield stage
    stage.stop()


@pytest.fixture
def desk(stage: ConsoleStage, window: Browser) -> Browser:
    """The alarm desk as an officer sees it after coming in, in Korean, with nothing to do."""
    window.resize(1280, 900)
    window.driver.delete_all_cookies()
    window.enter(stage.link, "김하늘")
    window.driver.get_log("browser")
    return window


def cards(browser: Browser, state: str) -> int:
    """Count the cards of a state; `open` is every card that nobody has answered, seen or not."""
    return len(browser.all(".incident.waiting" if state == "open" else f'.incident[data-state="{state}"]'))


def same_page(browser: Browser) -> object:
    """Return a mark that a reload would wipe out."""
    return browser.run("return window.mark")


def complaints(browser: Browser) -> list[str]:
    return [entry["message"] for entry in browser.driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]


def test_an_alarm_appears_without_a_reload_and_is_answered_and_closed(stage: ConsoleStage, desk: Browser) -> None:
    desk.run("window.mark = 1")
    assert desk.one(".calm").is_displayed()
    stage.press(ago_s=61)
    desk.wait(lambda: cards(desk, "open") == 1, "the alarm on the desk")
    desk.wait_text(".incident .timer b", "01:0")
    desk.wait_text("#strip .alert", "응답 대기 1건")
    stage.press(ago_s=1, number=2)
    desk.wait_text(".incident .facts", "2회 누름")

    desk.click("button.answer")
    desk.wait(lambda: cards(desk, "answered") == 1, "the answered card")
    row = stage.store.alarms.get("inc-1")
    assert row is not None and row.answered_by == "김하늘"

    desk.click(".incident-close button")
    assert cards(desk, "answered") == 1, "closing needs a reason"
    desk.click('.incident-close label:has(input[value="mistake"])')
    desk.click(".incident-close button")
    desk.wait(lambda: cards(desk, "answered") == 0, "the calm desk")
    desk.wait_text("#history", "실수")
    row = stage.store.alarms.get("inc-1")
    assert row is not None and (row.state, row.reason) == ("closed", "mistake")
    assert same_page(desk) == 1
    assert complaints(desk) == []


def test_a_half_filled_form_survives_another_alarm(stage: ConsoleStage, desk: Browser) -> None:
    stage.press("first", ago_s=30)
    stage.store.alarms.answer("first", "김하늘")
    desk.wait(lambda: cards(desk, "answered") == 1, "the answered card")
    desk.click('.incident-close label:has(input[value="prank"])')
    stage.press("second")
    desk.wait(lambda: cards(desk, "open") == 1, "the second alarm")
    assert desk.run("return document.querySelector('input[value=prank]').checked")
    assert desk.run("return document.activeElement.value") == "prank"


def test_the_tone_is_off_until_somebody_turns_it_on_and_rings_while_an_alarm_waits(
    stage: ConsoleStage, desk: Browser
) -> None:
    sound = "return document.getElementById('sound').dataset.state"
    desk.run("localStorage.clear()")
    desk.open(stage.url)
    assert desk.run(sound) == "off"
    desk.wait_text("#sound", "경보음이 꺼져 있습니다")
    desk.click("#sound-on")
    desk.wait_text("#sound", "경보음이 켜져 있습니다")
    stage.press()
    desk.wait_text("#sound", "경보음이 울리는 중")
    desk.click("button.answer")
    desk.wait(lambda: desk.run(sound) == "on", "silence after the answer")
    desk.click("#sound-off")
    desk.wait(lambda: desk.run(sound) == "off", "the sound turned off")


def test_an_alarm_is_seen_on_every_page(stage: ConsoleStage, desk: Browser) -> None:
    desk.open(f"{stage.url}/ledger")
    stage.press()
    desk.wait_text("#strip .alert a", "응답 대기 1건")
    desk.wait(lambda: desk.driver.title.startswith("(1) "), "the count in the title")
    desk.click("#strip .alert a")
    desk.one("button.answer")


def test_a_page_whose_stream_went_quiet_says_since_when(stage: ConsoleStage, desk: Browser) -> None:
    desk.run("const real = Date.now; window.real = real; Date.now = () => real() + 16000")
    desk.wait_text("#stale", "부터 새 소식이 오지 않습니다")
    desk.wait_text("#strip", "연결 끊김")
    desk.run("Date.now = window.real")
    desk.wait(lambda: not desk.all("#stale")[0].is_displayed(), "the live page again")


def test_a_console_that_dies_makes_the_page_stale_and_a_press_say_so(stage: ConsoleStage, desk: Browser) -> None:
    stage.press()
    desk.wait(lambda: cards(desk, "open") == 1, "the alarm")
    assert stage.process is not None and stage._thread is not None
    stage.process.stop()
    stage._thread.join(10)
    desk.click("button.answer")
    desk.wait_text("#error", "처리되지 않았습니다")
    assert cards(desk, "open") == 1


def test_a_recording_plays_only_after_a_reason_stands_in_the_ledger(stage: ConsoleStage, desk: Browser) -> None:
    segment = stage.segment(60, clear=moving_picture(stage.directory))
    desk.open(f"{stage.url}/recordings/{segment}")
    assert desk.all("video") == []
    desk.click("#open-recording")
    assert desk.all("video") == [], "the browser itself asks for the reason"
    assert stage.store.ledger.list() == []

    desk.one("#reason").send_keys("현장 확인 1234")
    desk.click("#open-recording")
    desk.one("#video")
    (row,) = stage.store.ledger.list()
    assert (row.entry.purpose, row.entry.officer, row.entry.file) == ("현장 확인 1234", "김하늘", segment)
    desk.wait(lambda: desk.run(PLAYING), "the moving picture")
    assert desk.run("return document.querySelector('video').videoWidth") == 640
    desk.run("document.querySelector('video').currentTime = 4")
    desk.wait(
        lambda: desk.run("const v = document.querySelector('video'); return v.currentTime > 4 && !v.error"), "a seek"
    )
    assert len(stage.store.ledger.list()) == 1
    desk.open(f"{stage.url}/ledger")
    desk.wait_text("table", "현장 확인 1234")
    assert complaints(desk) == []


def test_a_torn_recording_plays_its_prefix(stage: ConsoleStage, desk: Browser) -> None:
    clear = moving_picture(stage.directory, seconds=20, size="1280x720")
    segment = stage.segment(60, clear=clear, torn=True)
    desk.open(f"{stage.url}/recordings/{segment}")
    desk.one("#reason").send_keys("끊긴 녹화 확인")
    desk.click("#open-recording")
    desk.wait_text("main", "남은 앞부분만 재생됩니다")
    desk.wait(lambda: desk.run(PLAYING), "the picture of the torn file")


def test_the_language_switches_and_stays(stage: ConsoleStage, desk: Browser) -> None:
    assert desk.run("return document.documentElement.lang") == "ko"
    desk.open(f"{stage.url}/poles?q=x")
    desk.click("#language")
    desk.wait(lambda: desk.run("return document.documentElement.lang") == "en", "English")
    assert desk.driver.current_url == f"{stage.url}/poles?q=x"
    desk.open(stage.url)
    assert desk.one("h1").text == "Alarm desk"
    desk.click("#language")
    desk.wait(lambda: desk.run("return document.documentElement.lang") == "ko", "Korean")
    assert desk.one("h1").text == "비상벨 상황판"


def pages_of(stage: ConsoleStage) -> list[str]:
    """Fill the center with everything a page can show, long words included, and return the pages."""
    stage.heartbeat(POLE, (("camera-source-lost", "back", "address " + "10.7.3.22:" * 20), ("x" * 80, "y" * 60, "")))
    stage.heartbeat("a-pole-with-a-name-that-is-as-long-as-a-name-may-be-in-a-certificate")
    stage.press("open", ago_s=4000)
    stage.press("taken", ago_s=90_000, simulated=True)
    stage.store.alarms.answer("taken", "담당자" * 20)
    stage.gap(900, 300, "source")
    stage.segment(300, torn=True)
    segment = stage.segment(100, clear=b"picture")
    stage.climb("open", "second", "wall")
    stage.press_test(ago_s=5)
    stage.inspect("self-test", {"line": "pass", "x" * 60: "fail"})
    stage.store.quarantine.add(POLE, "ps/v1/" + "p" * 60 + "/up/alarm", "not readable " + "e" * 120, b"{")
    stage.audit(POLE, "refused", "b" * 64, code="signature", detail="d" * 100)
    order = stage.store.work_orders.create(POLE, day_of(utc_us()), "담당자" * 20).work_order
    return [
        "/",
        "/poles",
        f"/poles/{POLE}",
        f"/poles/{POLE}?window=day",
        f"/recordings/{segment}",
        "/ledger",
        "/incidents/open",
        "/incidents/taken",
        "/wall",
        "/bells",
        f"/work-orders/{order}",
        "/statistics",
        "/security",
        "/nowhere",
    ]


@pytest.mark.parametrize("language", ["ko", "en"])
def test_nothing_runs_over_the_edge_and_every_target_is_big_enough(
    stage: ConsoleStage, desk: Browser, language: str
) -> None:
    if language == "en":
        desk.click("#language")
        desk.wait(lambda: desk.run("return document.documentElement.lang") == "en", "English")
    for path in pages_of(stage):
        desk.open(stage.url + path)
        for width in WIDTHS:
            desk.resize(width, 844)
            widths = desk.run("return [document.documentElement.scrollWidth, innerWidth]")
            assert isinstance(widths, list) and widths[0] <= widths[1], f"{path} at {width}: {widths}"
            small = desk.run(SMALL_TARGETS)
            assert small == [], f"{path} at {width}"


def test_the_keyboard_reaches_the_answer_and_the_focus_is_visible(stage: ConsoleStage, desk: Browser) -> None:
    stage.press()
    desk.wait(lambda: cards(desk, "open") == 1, "the alarm")
    desk.run("document.querySelector('button.answer').focus({focusVisible: true})")
    outline = desk.run("const s = getComputedStyle(document.activeElement); return s.outlineStyle + s.outlineWidth")
    assert outline == "solid3px"
    desk.run("document.activeElement.blur()")
    desk.run("document.querySelector('.skip').focus()")
    assert desk.run("return document.querySelector('.skip').getBoundingClientRect().top >= 0")
    landmarks = (
        "return ['header', 'nav', 'main', 'aside', 'h1'].filter(name => document.querySelectorAll(name).length !== 1)"
    )
    assert desk.run(landmarks) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_contrast_aa(stage: ConsoleStage, desk: Browser, scheme: str) -> None:
    desk.scheme(scheme)
    try:
        for path in pages_of(stage):
            desk.open(stage.url + path)
            assert desk.run(CONTRAST) == [], path
    finally:
        desk.scheme("light")


def test_hostile_texts_are_inert(stage: ConsoleStage, desk: Browser) -> None:
    stage.heartbeat(POLE, ((EVIL, EVIL, EVIL),), cameras=(EVIL,))
    stage.press(EVIL.replace("/", "|"))
    stage.store.alarms.answer(EVIL.replace("/", "|"), EVIL)
    segment = stage.segment(60, clear=b"picture")
    for path in ("/", "/poles", f"/poles/{POLE}", f"/recordings/{segment}"):
        desk.open(stage.url + path)
        assert desk.run(
            "return [document.title.includes('owned'), document.querySelectorAll('main img, main script').length]"
        ) == [False, 0]
    desk.one("#reason").send_keys(EVIL)
    desk.click("#open-recording")
    desk.one("#video")
    desk.open(f"{stage.url}/ledger")
    desk.wait_text("table", "onerror")
    assert desk.run(
        "return [document.title.includes('owned'), document.querySelectorAll('main img, main script').length]"
    ) == [False, 0]


def test_every_request_stays_with_the_console(stage: ConsoleStage, desk: Browser) -> None:
    for path in pages_of(stage):
        desk.open(stage.url + path)
        names = desk.run("return JSON.stringify(performance.getEntriesByType('resource').map(entry => entry.name))")
        assert isinstance(names, str)
        assert [name for name in json.loads(names) if not name.startswith(stage.url)] == []


def test_without_a_session_the_page_turns_to_the_entry(stage: ConsoleStage, desk: Browser) -> None:
    desk.run("window.mark = 1")
    desk.driver.delete_all_cookies()
    stage.press()

    def at_the_entry() -> bool:
        try:
            return desk.driver.current_url == f"{stage.url}/enter"
        except StaleElementReferenceException:
            return False

    desk.wait(at_the_entry, "the entry page")
