"""Nobody answers: the real service climbs to the second console, the wall, and a command or a webhook."""

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.broker import Broker
from support.center_alarms import AlarmCenter, Client, eventually, make_alarm, pole_client
from support.certificates import CertificateShop, certificates
from support.web_listener import WebListener

from agent.contract import topics
from agent.contract.messages import encode

__all__ = ["certificates"]

QUICK = "[escalation]\nsecond_s = 1\nwall_s = 1.5\nhook_s = 2\nhook_timeout_s = 1\n"


@pytest.fixture
def broker(tmp_path: Path, certificates: CertificateShop) -> Iterator[Broker]:
    with Broker(tmp_path / "broker", certificates) as running:
        yield running


@pytest.fixture
def pole(broker: Broker) -> Iterator[Client]:
    client = pole_client(broker)
    yield client
    client.close()


class Sites:
    """Makes centers and ends them."""

    def __init__(self, directory: Path, broker: Broker) -> None:
        self._directory = directory
        self._broker = broker
        self._made: list[AlarmCenter] = []

    def center(self, more: str) -> AlarmCenter:
        self._made.append(AlarmCenter(self._directory / "center", self._broker, more=more))
        return self._made[-1]

    def close(self) -> None:
        for center in self._made:
            center.close()


@pytest.fixture
def sites(tmp_path: Path, broker: Broker) -> Iterator[Sites]:
    made = Sites(tmp_path, broker)
    yield made
    made.close()


def command(directory: Path, body: str) -> str:
    path = directory / "pager"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return f'hook_command = ["{path}"]\n'


def steps(center: AlarmCenter) -> list[str]:
    return [row.step for row in center.store.escalations.of("incident-1")]


def result(center: AlarmCenter) -> str:
    rows = center.store.escalations.of("incident-1")
    return rows[-1].result if rows and rows[-1].finished_at_us is not None else ""


def test_an_unanswered_bell_reaches_the_command_and_each_step_is_told_once(
    tmp_path: Path, sites: Sites, pole: Client
) -> None:
    center = sites.center(QUICK + command(tmp_path, f"cat >> {tmp_path}/notices")).start()
    pole.press(make_alarm())
    eventually(lambda: result(center) == "attempt 1: exit status 0")
    notice = json.loads((tmp_path / "notices").read_text())
    assert (notice["incident_id"], notice["pole"], notice["call"]) == ("incident-1", "pole-1", 1)
    assert notice["waited_s"] >= 2
    pole.press(make_alarm(alarm_id="alarm-2", press_number=2))
    eventually(lambda: len(pole.receipts()) == 2)
    assert steps(center) == ["second", "wall", "hook"]
    told = [event.data["step"] for event in center.store.events.after(0) if event.kind == "escalation"]
    assert told == ["second", "wall", "hook"]


def test_a_hook_that_hangs_keeps_no_press_waiting_and_the_service_still_ends_in_time(
    tmp_path: Path, sites: Sites, pole: Client
) -> None:
    slow = QUICK.replace("hook_timeout_s = 1", "hook_timeout_s = 60") + command(tmp_path, "exec sleep 300")
    center = sites.center(slow).start()
    pole.press(make_alarm())
    eventually(lambda: center.store.escalations.of("incident-1")[-1:] and steps(center)[-1] == "hook")
    eventually(lambda: center.store.escalations.of("incident-1")[-1].attempts == 1)
    pole.press(make_alarm(alarm_id="alarm-2", incident_id="incident-2"))
    eventually(lambda: len(pole.receipts()) == 2)
    eventually(lambda: len(center.store.escalations.of("incident-2")) == 3)
    assert center.terminate() < 5
    assert center.wait() == 0
    assert center.store.escalations.of("incident-1")[-1].finished_at_us is None


def test_a_center_killed_on_the_way_up_goes_on_where_it_was(tmp_path: Path, sites: Sites, pole: Client) -> None:
    center = sites.center(QUICK + command(tmp_path, f"echo x >> {tmp_path}/calls")).start()
    pole.press(make_alarm())
    eventually(lambda: steps(center) == ["second"])
    center.start()
    eventually(lambda: result(center) == "attempt 1: exit status 0")
    assert steps(center) == ["second", "wall", "hook"]
    center.start()
    pole.press(make_alarm(alarm_id="alarm-2", press_number=2))
    eventually(lambda: len(pole.receipts()) == 2)
    assert (tmp_path / "calls").read_text() == "x\n"


def test_a_webhook_of_the_town_is_told_over_verified_tls(
    sites: Sites, pole: Client, certificates: CertificateShop
) -> None:
    with WebListener(certificates.center("center-town"), status=503) as web:
        center = sites.center(
            f'{QUICK}hook_url = "{web.url()}"\nhook_ca_file = "{certificates.ca_file}"\nhook_attempts = 2\n'
        ).start()
        pole.press(make_alarm())
        eventually(lambda: web.notices)
        web.status = 200
        eventually(lambda: result(center) == "attempt 2: status 200")
        assert [json.loads(notice)["attempt"] for notice in web.notices] == [1, 2]


def test_an_answered_bell_and_a_test_press_climb_nowhere(sites: Sites, pole: Client) -> None:
    center = sites.center(QUICK).start()
    test = make_alarm(alarm_id="test-1", incident_id="test-1", mode="test")
    pole.send(topics.test_up("pole-1", "alarm"), encode(test))
    pole.press(make_alarm())
    eventually(lambda: center.store.alarms.get("incident-1"))
    center.store.alarms.answer("incident-1", "kim")
    pole.press(make_alarm(alarm_id="alarm-2", incident_id="incident-2"))
    eventually(lambda: len(center.store.escalations.of("incident-2")) == 3)
    assert steps(center) == []
    assert list(center.store.escalations.of("test-1")) == []
    assert center.store.escalations.of("incident-2")[-1].step == "hook"
