"""Signed commands through what is real: pole-center, its alarm service, mosquitto with TLS, the bell service."""

import dataclasses
import time

import pytest
from support.bell_pole import POLE, BellInProcess, bell_config
from support.broker import Broker
from support.center_alarms import AlarmCenter, Client, eventually
from support.certificates import certificates
from support.command_kit import Officer, with_payload

from agent.clock import SimulatedClock
from agent.contract import topics
from agent.contract.messages import ClockState, CommandAudit, encode
from agent.mqtt.command_journal import CommandJournal
from agent.wiring import bell as bell_wiring
from center.__main__ import main
from center.commands.key_folder import KeyFolder

__all__ = ["certificates"]

SYNCED = ClockState(synced=True, source="ntp", error_us=0)


@pytest.fixture
def broker(tmp_path, certificates):
    with Broker(tmp_path / "broker", certificates) as broker:
        yield broker


@pytest.fixture
def center(tmp_path, broker):
    center = AlarmCenter(tmp_path / "center", broker)
    yield center.start()
    center.close()


@pytest.fixture
def keys(tmp_path, center):
    keys = KeyFolder(tmp_path / "center" / "command-keys")
    keys.create()
    for officer, role in (("kim", "crew"), ("lee", "supervisor"), ("inv", "investigator")):
        keys.add(officer, role)
    return keys


@pytest.fixture
def synced(monkeypatch):
    """This machine's kernel may not be disciplined: the pole's word on its clock is in our hand."""
    state = {"clock": SYNCED}
    monkeypatch.setattr(bell_wiring, "read_clock_state", lambda: state["clock"])
    return state


@pytest.fixture
def pole(tmp_path, broker, keys, synced):
    pinned = tmp_path / "command-keys.note"
    pinned.write_text(keys.note(), encoding="utf-8")
    config = bell_config(tmp_path, broker.port, broker.shop.pole(POLE))
    config = dataclasses.replace(
        config, center=dataclasses.replace(config.center, command_keys_file=pinned), state_dir=tmp_path / "pole-state"
    )
    book(config, age_s=3600).close()
    with BellInProcess(config) as pole:
        pole.wait_for(lambda status: status.bell.light == "ready")
        yield pole


def book(config, age_s: float = 0) -> CommandJournal:
    """The pole's journal; begun `age_s` ago if it is new, so that it reaches back further than a command can live."""
    clock = SimulatedClock(utc_us=time.time_ns() // 1000 - round(age_s * 1e6))
    journal = CommandJournal(config.state_dir / "commands.sqlite", clock)
    journal.load()
    return journal


def run(center, *words: str) -> int:
    return main([*words, "--config", str(center.config_file)])


def command(center, op: str, *words: str, officer: str = "kim") -> int:
    return run(center, "command", POLE, op, "--officer", officer, "--reason", "월례 점검", *words)


def now() -> int:
    return time.time_ns() // 1000


def phases(center) -> list[tuple[str, str]]:
    return [(row.audit.phase, row.audit.code) for row in reversed(center.store.commands.audits())]


def test_a_command_goes_to_the_pole_and_its_answer_comes_back(center, pole, capsys):
    assert command(center, "rebirth") == 0
    assert f"{POLE} rebirth done: birth and heartbeat of session" in capsys.readouterr().out
    eventually(lambda: phases(center) == [("before", ""), ("after", "done")])
    assert run(center, "command-log") == 0
    assert "after done kim rebirth: birth and heartbeat" in capsys.readouterr().out
    journal = book(pole.config)
    eventually(lambda: journal.waiting() == [])
    journal.close()


def test_the_lamp_test_lights_the_lamps_and_a_bell_rings_through_it(center, pole):
    assert command(center, "indicator-test", "--arg", "each_s=2") == 0
    eventually(lambda: pole.lamp("green"))
    pole.press()
    pole.wait_for(lambda status: status.bell.light == "received")


def test_a_test_mode_by_command_keeps_a_press_off_the_desk_and_a_self_test_is_inspected(center, pole):
    assert command(center, "mode", "--arg", "mode=test", "--arg", "for_s=60") == 0
    pole.wait_for(lambda status: status.bell.mode == "test")
    pole.press()
    (press,) = eventually(lambda: center.store.alarms.test_presses(0, 10))
    assert press.pole == POLE
    assert center.store.alarms.incidents("all") == []
    assert command(center, "mode", "--arg", "mode=normal") == 0
    pole.wait_for(lambda status: status.bell.mode == "normal")
    assert command(center, "self-test") == 0
    day = (now() - 86_400_000_000, now() + 86_400_000_000)
    found = eventually(lambda: center.store.inspections.of_pole(POLE, *day))
    assert [row.kind for row in found] == ["self-test"]


def test_what_a_simulated_pole_cannot_do_is_said_and_booked(center, pole, capsys):
    assert command(center, "restart-service", "--arg", "service=bell") == 1
    assert "simulated" in capsys.readouterr().out
    eventually(lambda: phases(center) == [("before", ""), ("after", "failed")])


def test_a_reboot_waits_for_the_second_officer(center, pole, capsys):
    assert command(center, "reboot") == 0
    jti = capsys.readouterr().out.split()[0]
    assert center.store.alarms.down_queue() == []
    assert run(center, "command-approve", jti, "--officer", "kim") == 1
    assert "same-officer" in capsys.readouterr().err
    assert run(center, "command-approve", jti, "--officer", "lee") == 1
    assert "simulated" in capsys.readouterr().out
    (before, _after) = eventually(lambda: _two(center.store.commands.audits()))
    assert (before.officer, before.approver) == ("kim", "lee")


def _two(rows):
    return [row.audit for row in reversed(rows)] if len(rows) == 2 else None


def test_a_pole_whose_clock_is_not_synced_is_answered_with_its_nonce(center, pole, synced, capsys):
    synced["clock"] = ClockState(synced=False, source="free-running", error_us=16_000_000)
    assert command(center, "rebirth") == 0
    assert "rebirth done" in capsys.readouterr().out
    eventually(lambda: [phase for phase, _ in phases(center)] == ["challenged", "before", "after"])
    assert [row.state for row in center.store.commands.newest()] == ["done", "challenged"]


def test_a_new_key_set_reaches_the_pole_and_revokes(center, pole, keys, capsys):
    kid = keys.signer("kim")[0].kid
    stolen = keys.signer("kim")[1]
    assert run(center, "command-keys", "remove", kid) == 0
    assert run(center, "command-keys", "send", POLE) == 0
    eventually(lambda: ("keys", "") in phases(center))
    assert command(center, "rebirth") == 1
    thief = Officer("kim", "crew")
    thief.signer = stolen
    publish(center, thief.sign(now()))
    eventually(lambda: ("refused", "key-unknown") in phases(center))


def publish(center, payload: bytes) -> None:
    """Put any bytes on the way to the pole, as somebody would who took over the center's service."""
    with center.store.database.transaction():
        center.store.database.write(
            "INSERT INTO down_queue (pole, incident_id, kind, payload, created_at_us) VALUES (?, 'x', 'command', ?, 1)",
            (POLE, payload),
        )


def test_forged_tampered_and_replayed_commands_are_refused_and_seen_at_the_center(center, pole, keys, capsys):
    assert command(center, "rebirth") == 0
    good = center.store.commands.newest()[0].raw
    kim = Officer("kim", "crew")
    kim.signer = keys.signer("kim")[1]
    bad = [b"\x00", with_payload(kim.sign(now()), op="reboot"), Officer("kim", "admin").sign(now())]
    for payload in (good, *bad, kim.sign(now() - 301_000_000), kim.sign(now(), aud="pole-2")):
        publish(center, payload)
    codes = {"replayed", "malformed", "signature", "key-unknown", "expired", "audience"}
    wanted = {("refused", code) for code in codes}
    eventually(lambda: wanted <= set(phases(center)))
    assert center.store.commands.newest()[0].state == "done"
    assert run(center, "command-log", "--pole", POLE) == 0
    assert "refused replayed kim rebirth" in capsys.readouterr().out
    kinds = [event.data["code"] for event in center.store.events.after(0, 500) if event.kind == "command-audit"]
    assert codes <= set(kinds)


def test_a_second_pole_with_a_valid_certificate_can_neither_command_nor_speak_for_another(center, pole, broker, keys):
    other = Client(broker, broker.shop.pole("pole-2")).listen("ps/v1/#")
    officer = Officer("kim", "crew")
    officer.signer = keys.signer("kim")[1]
    forged = CommandAudit(
        audit_id="x", pole=POLE, at_us=1, clock=SYNCED, phase="refused", payload_sha256="0" * 64, code="forged"
    )
    assert other.send(topics.down(POLE, "command"), officer.sign(now())) == "Not authorized"
    assert other.send(topics.up(POLE, "audit"), encode(forged)) == "Not authorized"
    other.send(topics.up("pole-2", "audit"), encode(forged))
    eventually(lambda: [row.source for row in center.store.quarantine.newest()] == [topics.up("pole-2", "audit")])
    assert command(center, "rebirth") == 0
    eventually(lambda: phases(center) == [("before", ""), ("after", "done")])
    assert [topic for topic, _ in list(other.messages) if f"/{POLE}/" in topic] == []
    namesake = Client(broker, broker.shop.pole("pole-2"), client_id=POLE)  # the broker goes by the certificate
    assert namesake.accepted
    assert command(center, "rebirth") == 0
    namesake.close()
    other.close()


def test_the_words_for_keys(center, keys, capsys, tmp_path):
    assert run(center, "command-keys", "show") == 0
    told = capsys.readouterr().out
    assert told.startswith("serial 4, 1 of 1 roots")
    assert "crew kim" in told
    assert run(center, "command-keys", "add", "park", "mayor") == 1
    assert run(center, "command-keys", "init") == 1
    assert run(center, "command-keys", "init", "--keys", str(tmp_path / "other")) == 0
    assert run(center, "command-keys", "add", "park", "admin", "--keys", str(tmp_path / "other")) == 0
    assert command(center, "rebirth", "--arg", "a") == 1
    assert command(center, "mode", "--arg", "mode=off") == 1
    assert "arguments" in capsys.readouterr().err


def test_a_command_without_an_answer_stays_queued_and_fails_the_word(center, keys, capsys):
    assert command(center, "rebirth", "--wait", "0.2") == 1
    assert "queued" in capsys.readouterr().out
    assert center.store.commands.newest()[0].state == "queued"
