"""A bell proves itself on a whole site: the monthly press test by a work order, and the self-test by command."""

import datetime
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from demo_site import BIN, OFFICERS, POLE
from support.whole_site import WholeSite

from agent.bell.control_socket import press_bell
from agent.status_file import read_status
from center.store.inspections import InspectionRow

pytestmark = pytest.mark.timeout(180)
CREW = OFFICERS[0][0]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeSite]:
    with WholeSite(tmp_path_factory.mktemp("site"), [], []) as site:
        site.wait_receipts(1, 60)
        yield site


def command(whole: WholeSite, *words: str, reason: str = "monthly test") -> "subprocess.CompletedProcess[str]":
    start = [BIN / "pole-center", "command", "--config", whole.site.center_config]
    who = ["--officer", CREW, "--reason", reason]
    return subprocess.run([*start, POLE, *words, *who], capture_output=True, text=True, check=False)


def inspections(whole: WholeSite) -> Sequence[InspectionRow]:
    return whole.store.inspections.of_pole(POLE, 0, 1 << 60)


def beat_heard(whole: WholeSite) -> bool:
    status = read_status(whole.site.run_dir, "bell")
    return status is not None and status.bell is not None and status.bell.center_beat_age_s is not None


def test_an_assisted_press_closes_its_work_order_and_rings_nowhere(whole: WholeSite) -> None:
    today = datetime.datetime.now(datetime.UTC).date()
    order = whole.store.work_orders.create(POLE, today, CREW).work_order
    before = len(whole.store.alarms.incidents("all"))
    done = command(whole, "bell-test", "--arg", f"work_order={order}")
    assert done.returncode == 0, done.stderr
    press_bell(whole.site.run_dir, 200)

    def closed() -> bool:
        row = whole.store.work_orders.get(order)
        return row is not None and row.done_at_us is not None

    whole.wait(closed, "the work order to be done", 40)
    assert len(whole.store.alarms.incidents("all")) == before, "a test is no alarm"
    page = whole.page("/bells")
    assert POLE in page
    assert order not in page, "the page lists what is still open"


def test_a_self_test_by_command_proves_the_bell_at_the_center(whole: WholeSite) -> None:
    whole.wait(lambda: beat_heard(whole), "the center's beat at the pole", 30)
    done = command(whole, "self-test")
    assert "self-test begun" in done.stdout, done.stderr
    found = whole.wait(
        lambda: next((row for row in inspections(whole) if row.kind == "self-test"), None),
        "the self-test's inspection",
        60,
    )
    assert found.passed, found


def test_a_command_of_a_key_that_the_pole_does_not_know_is_refused_and_seen(whole: WholeSite, tmp_path: Path) -> None:
    keys = tmp_path / "foreign"
    for words in (["init"], ["add", CREW, "crew"]):
        made = [BIN / "pole-center", "command-keys", words[0], "--config", whole.site.center_config, "--keys", keys]
        subprocess.run([*made, *words[1:]], check=True, capture_output=True)
    done = command(whole, "rebirth", "--keys", str(keys), reason="forged")
    assert done.returncode != 0
    whole.wait(lambda: "등록되지 않은 키" in whole.page("/security"), "the refusal on the security page", 30)
