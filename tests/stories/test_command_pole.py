"""Commands at the pole: what it writes down, does, refuses and says, through restarts, kills and sick disks."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from support.command_kit import POLE, CommandPole, Officer, Staff, with_header, with_payload

from agent.clock import SimulatedClock
from agent.contract import topics
from agent.contract.canonical_json import canonical_bytes
from agent.contract.jws import sign_jws
from agent.contract.operations import OPERATIONS
from agent.contract.refusals import REFUSALS
from agent.mqtt import command_journal, commands
from agent.mqtt.command_systemctl import SystemctlControl

STAFF = Staff()
KIM, LEE = STAFF.kim, STAFF.lee
ROOT = Path(__file__).parents[2]


@pytest.fixture
def pole(tmp_path):
    pole = CommandPole(tmp_path, STAFF)
    yield pole
    pole.journal.close()


def codes(pole: CommandPole) -> list[tuple[str, str]]:
    return [(audit.phase, audit.code) for audit in pole.audits]


# --- a command that is obeyed


def test_a_command_is_written_down_done_written_down_and_answered(pole):
    reply = pole.send(KIM.sign(pole.now_us, "mode", args={"mode": "test", "for_s": 600}))
    assert pole.actions.done == [("mode", "test", 600, "kim", "월례 점검")]
    assert (reply.status, reply.detail) == ("done", "mode done")
    before, after = pole.audits
    assert [(before.phase, before.code), (after.phase, after.code)] == [("before", ""), ("after", "done")]
    assert (before.officer, before.role, before.op, before.reason) == ("kim", "crew", "mode", "월례 점검")
    assert before.payload_sha256 == after.payload_sha256 == reply.payload_sha256
    assert [one.topic.rsplit("/", 1)[1] for one in pole.link.published] == ["audit", "audit", "reply"]


def test_the_row_before_is_on_disk_when_the_act_begins(pole):
    held = []
    pole.actions.rebirth = lambda: held.extend(pole.waiting) or "done"
    pole.send(KIM.sign(pole.now_us))
    assert [audit.phase for audit in held] == ["before"]


@pytest.mark.parametrize(
    ("op", "args", "did"),
    [
        ("rebirth", {}, ("rebirth",)),
        ("self-test", {}, ("self-test", "lee")),
        ("bell-test", {"wait_s": 30, "work_order": "wo-202611-pole-1"}, ("bell-test", 30, "wo-202611-pole-1", "lee")),
        ("mode", {"mode": "normal"}, ("mode", "normal", 0, "lee", "월례 점검")),
        ("mode", {"mode": "maintenance", "for_s": 7200}, ("mode", "maintenance", 7200, "lee", "월례 점검")),
        ("indicator-test", {"each_s": 1}, ("indicator-test", 1)),
        ("restart-service", {"service": "camera@front"}, ("restart", "camera@front")),
        ("log-export", {"service": "bell", "lines": 2}, ("journal", "bell")),
    ],
)
def test_every_operation_reaches_its_port(pole, op, args, did):
    assert pole.send(LEE.sign(pole.now_us, op, args=args)).status == "done"
    assert [*pole.actions.done, *pole.services.asked] == [did]


def test_two_officers_reboot_the_pole(pole):
    signed = LEE.signer.cosign(KIM.sign(pole.now_us, "reboot"))
    assert pole.send(signed).status == "done"
    assert pole.services.asked == [("reboot",)]
    assert (pole.audits[0].officer, pole.audits[0].approver) == ("kim", "lee")


def test_an_export_fits_into_one_message(pole):
    pole.services.log = [f"{number} " + "가" * 400 for number in range(500)]
    reply = pole.send(KIM.sign(pole.now_us, "log-export", args={"service": "bell", "lines": 500}))
    assert reply.lines and reply.lines[-1].startswith("499 ")
    assert all(len(one.payload) < 65_536 for one in pole.link.published)


def test_what_fails_is_said_and_written_down(pole):
    pole.services.broken = "systemd refused"
    reply = pole.send(KIM.sign(pole.now_us, "restart-service", args={"service": "bell"}))
    assert (reply.status, reply.detail) == ("failed", "systemd refused")
    assert codes(pole) == [("before", ""), ("after", "failed")]


# --- refused, counted, visible


def refused(pole: CommandPole, payload: bytes, code: str) -> None:
    reply = pole.send(payload)
    assert (reply.status, reply.code) == ("refused", code)
    assert codes(pole)[-1] == ("refused", code)
    assert pole.waiting[-1].audit_id == pole.audits[-1].audit_id
    assert pole.commands.counts[code] == 1
    assert (pole.actions.done, pole.services.asked) == ([], [])


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda now: b"\x00\xff not a command", "malformed"),
        (lambda now: Officer("kim", "crew").sign(now), "key-unknown"),
        (lambda now: with_payload(KIM.sign(now), op="reboot"), "signature"),
        (lambda now: with_header(KIM.sign(now), alg="none"), "algorithm"),
        (lambda now: with_header(KIM.sign(now), crit=["b64"], b64=False), "header"),
        (lambda now: KIM.sign(now, role="admin"), "issuer"),
        (lambda now: KIM.sign(now, aud="pole-2"), "audience"),
        (lambda now: KIM.sign(now - 300_000_000), "expired"),
        (lambda now: KIM.sign(now + 60_000_000), "future"),
        (lambda now: KIM.sign(now, exp_us=now + 301_000_000), "life"),
        (lambda now: KIM.sign(now, nonce="mine"), "nonce"),
        (lambda now: KIM.sign(now, "audio-on"), "operation"),
        (lambda now: KIM.sign(now, "mode", args={"mode": "off"}), "arguments"),
        (lambda now: STAFF.inv.sign(now), "role"),
        (lambda now: KIM.sign(now, "reboot"), "second-signature"),
        (lambda now: STAFF.kim_again.signer.cosign(KIM.sign(now, "reboot")), "same-officer"),
    ],
)
def test_what_must_not_be_obeyed_is_refused_counted_and_seen(pole, make, code):
    refused(pole, make(pole.now_us), code)


def test_a_refusal_of_unverified_bytes_names_nobody(pole):
    pole.send(with_payload(KIM.sign(pole.now_us), sub="lee"))
    audit = pole.audits[-1]
    assert (audit.officer, audit.jti, audit.op, audit.reason) == ("", "", "", "")


def test_a_replayed_command_is_refused(pole):
    signed = KIM.sign(pole.now_us)
    assert pole.send(signed).status == "done"
    assert pole.send(signed).code == "replayed"
    assert pole.actions.done == [("rebirth",)]


def test_a_replayed_command_is_refused_after_a_restart(pole):
    signed = KIM.sign(pole.now_us)
    pole.send(signed)
    pole.restart()
    assert pole.send(signed).code == "replayed"
    assert pole.actions.done == [("rebirth",)]


def test_a_replay_is_refused_when_the_clock_was_turned_back(pole):
    signed = KIM.sign(pole.now_us)
    pole.send(signed)
    pole.clock.step_utc(86_400)
    pole.send(KIM.sign(pole.now_us))  # makes the memory forget what is a day old
    pole.clock.step_utc(-86_400)
    assert pole.send(signed).status == "challenge"
    assert pole.actions.done == [("rebirth",)] * 2


def test_a_reboot_asked_too_often_is_refused_also_after_restarts(pole):
    for _ in range(2):
        assert pole.send(LEE.signer.cosign(KIM.sign(pole.now_us, "reboot"))).status == "done"
        pole.restart()
        pole.clock.advance(600)
    assert pole.send(LEE.signer.cosign(KIM.sign(pole.now_us, "reboot"))).code == "rate"
    assert pole.services.asked == [("reboot",)] * 2
    pole.clock.advance(3600)
    assert pole.send(LEE.signer.cosign(KIM.sign(pole.now_us, "reboot"))).status == "done"


def test_a_flood_is_counted_and_does_not_wear_the_disk(pole):
    for number in range(100):
        pole.commands.handle(topics.down(POLE, "command"), b"%d" % number)
    assert len(pole.waiting) == commands.REFUSALS_PER_MIN
    assert pole.commands.counts["malformed"] == 100
    pole.clock.advance(61)
    assert pole.send(KIM.sign(pole.now_us)).status == "done"
    assert pole.audits[-2].suppressed == 100 - commands.REFUSALS_PER_MIN


def test_a_flood_by_strangers_does_not_silence_the_pole_towards_officers(pole):
    for number in range(100):
        pole.commands.handle(topics.down(POLE, "command"), b"%d" % number)
    pole.synced = False
    assert pole.send(KIM.sign(pole.now_us)).nonce
    assert pole.send(STAFF.inv.sign(pole.now_us, nonce="x")).code == "nonce"


def test_a_strangers_bytes_do_not_break_out_of_a_line(pole):
    header = {"alg": "EdDSA", "kid": "a\nERROR forged line\u2028", "typ": "pole-command"}
    detail = pole.send(sign_jws(canonical_bytes(header), b"{}", KIM.private_key)).detail
    assert "forged line" in detail
    assert detail.isprintable()


def test_a_worker_that_dies_in_an_act_says_interrupted_when_it_starts_again(pole):
    signed = KIM.sign(pole.now_us)
    pole.actions.rebirth = lambda: 1 // 0
    with pytest.raises(ZeroDivisionError):
        pole.commands.handle(topics.down(POLE, "command"), signed)
    pole.commands.begin()
    assert codes(pole) == [("before", ""), ("after", "interrupted")]
    assert pole.send(signed).code == "replayed"


def test_an_inbox_that_is_full_drops_and_counts(pole):
    for _ in range(commands.INBOX + 5):
        pole.commands.post(topics.down(POLE, "command"), b"x")
    assert pole.commands.counts["dropped"] == 5


def test_every_refusal_has_words_in_both_languages():
    assert all(
        korean and english and english == english.lower().replace("eddsa", "EdDSA")
        for korean, english in REFUSALS.values()
    )


# --- a clock that is not synced


def test_with_an_unsynced_clock_a_command_needs_the_poles_nonce(pole):
    pole.synced = False
    pole.clock.step_utc(-40 * 365 * 86_400)
    real_us = pole.now_us + 40 * 365 * 86_400 * 1_000_000
    reply = pole.send(KIM.sign(real_us))
    assert (reply.status, bool(reply.nonce)) == ("challenge", True)
    assert pole.actions.done == []
    answer = KIM.sign(real_us, nonce=reply.nonce)
    assert pole.send(answer).status == "done"
    assert pole.send(answer).code == "nonce"
    assert pole.actions.done == [("rebirth",)]
    assert [audit.phase for audit in pole.audits] == ["challenged", "before", "after", "refused"]


def test_a_nonce_is_good_once_for_a_while_and_not_after_a_restart(pole):
    pole.synced = False
    old = pole.send(KIM.sign(pole.now_us)).nonce
    pole.clock.advance(301)
    assert pole.send(KIM.sign(pole.now_us, nonce=old)).code == "nonce"
    fresh = pole.send(KIM.sign(pole.now_us)).nonce
    assert pole.send(STAFF.inv.sign(pole.now_us, nonce=fresh)).code == "role"
    assert pole.send(KIM.sign(pole.now_us, nonce=fresh)).code == "nonce"
    last = pole.send(KIM.sign(pole.now_us)).nonce
    pole.restart()
    assert pole.send(KIM.sign(pole.now_us, nonce=last)).code == "nonce"


def test_a_stranger_gets_no_nonce(pole):
    pole.synced = False
    reply = pole.send(Officer("kim", "crew").sign(pole.now_us))
    assert (reply.code, reply.nonce) == ("key-unknown", "")


def test_a_pole_that_remembers_nothing_yet_asks_for_a_nonce(tmp_path):
    pole = CommandPole(tmp_path, STAFF)
    pole.clock.advance(-CommandPole.AGE_S)
    assert pole.send(KIM.sign(pole.now_us)).status == "challenge"
    pole.journal.close()


# --- death and sick disks


@pytest.mark.parametrize(("step", "acts"), [("begun", 0), ("acted", 1)])
def test_a_pole_killed_in_the_middle_never_does_it_again_and_says_so(tmp_path, step, acts):
    clock = SimulatedClock()
    CommandPole(tmp_path, STAFF, clock).journal.close()
    signed = KIM.sign(clock.utc_us())
    (tmp_path / "signed").write_bytes(signed)
    argv = [sys.executable, "-m", "support.command_process", tmp_path, tmp_path / "signed", step, clock.utc_us()]
    done = subprocess.run([*map(str, argv)], cwd=ROOT, env={**os.environ, "PYTHONPATH": "tests:."}, timeout=30)
    assert done.returncode == -9
    assert len((tmp_path / "acts").read_text().splitlines() if step == "acted" else []) == acts
    pole = CommandPole(tmp_path, STAFF, clock)
    clock.advance(-CommandPole.AGE_S)
    assert [(audit.phase, audit.code) for audit in pole.waiting] == [("before", ""), ("after", "interrupted")]
    assert {audit.officer for audit in pole.waiting} == {"kim"}
    assert pole.send(signed).code == "replayed"
    assert pole.actions.done == []
    pole.journal.close()


def test_what_cannot_be_written_down_is_not_done(pole):
    pole.journal.close()
    path = pole.directory / "state" / "commands.sqlite"
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN EXCLUSIVE")
    assert pole.send(KIM.sign(pole.now_us)).code == "memory"
    assert pole.actions.done == []
    assert [fault.code for fault in pole.faults.standing()] == ["command-journal-unwritable"]
    blocker.close()
    pole.clock.advance(6)
    pole.commands.tend()
    assert pole.faults.standing() == []
    assert pole.send(KIM.sign(pole.now_us)).status == "done"


def test_an_end_that_the_disk_refused_is_written_later(pole):
    path = pole.directory / "state" / "commands.sqlite"
    blocker = sqlite3.connect(path, isolation_level=None)
    pole.actions.rebirth = lambda: str(blocker.execute("BEGIN IMMEDIATE") and "done")
    assert pole.send(KIM.sign(pole.now_us)).status == "done"
    assert [fault.code for fault in pole.faults.standing()] == ["command-journal-unwritable"]
    blocker.close()
    assert [audit.phase for audit in pole.waiting] == ["before"]
    pole.clock.advance(6)
    pole.commands.tend()
    assert [audit.phase for audit in pole.waiting] == ["before", "after"]
    assert pole.faults.standing() == []


def test_a_damaged_memory_is_put_aside_and_every_command_must_prove_its_freshness(pole):
    signed = KIM.sign(pole.now_us)
    pole.send(signed)
    pole.journal.close()
    path = pole.directory / "state" / "commands.sqlite"
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    path.write_bytes(b"damaged" * 1000)
    pole.start()
    assert list((path.parent / "quarantine").iterdir())
    assert pole.send(signed).status == "challenge"
    assert pole.actions.done == [("rebirth",)]


def test_too_many_unreceipted_rows_stop_commands_but_a_flood_alone_does_not(pole, monkeypatch):
    monkeypatch.setattr(command_journal, "REFUSALS_MAX", 3)
    monkeypatch.setattr(command_journal, "AUDITS_MAX", 5)
    for number in range(6):
        pole.commands.handle(topics.down(POLE, "command"), b"%d" % number)
    assert len(pole.waiting) == 3
    assert pole.commands.counts["not-kept"] == 3
    assert pole.send(KIM.sign(pole.now_us)).status == "done"
    assert pole.send(KIM.sign(pole.now_us)).code == "memory"
    assert pole.actions.done == [("rebirth",)]


# --- audit rows and replies reach the center


def test_an_audit_row_goes_out_until_its_receipt(pole):
    pole.send(KIM.sign(pole.now_us))
    sent = len(pole.audits)
    pole.commands.tend()
    pole.receipt(pole.waiting[0].audit_id)
    pole.clock.advance(31)
    resent = len(pole.audits)
    pole.commands.tend()
    assert [audit.phase for audit in pole.audits[resent:]] == ["after"]
    assert resent >= sent
    pole.receipt(pole.waiting[0].audit_id)
    assert pole.waiting == []


def test_what_was_said_without_a_session_is_said_at_the_next_one(pole):
    pole.link.disconnect()
    pole.commands.handle(topics.down(POLE, "command"), KIM.sign(pole.now_us))
    assert (pole.audits, pole.replies) == ([], [])
    pole.link.connect()
    pole.commands.linked()
    pole.clock.advance(31)
    pole.commands.tend()
    assert [audit.phase for audit in pole.audits] == ["before", "after"]
    assert [reply.status for reply in pole.replies] == ["done"]


def test_a_receipt_that_is_no_receipt_is_a_fault_until_a_good_one(pole):
    pole.commands.handle(topics.down(POLE, "audit-receipt"), b"{")
    assert [(fault.code, fault.subject) for fault in pole.faults.standing()] == [("message-invalid", "audit-receipt")]
    pole.receipt("unknown")
    assert pole.faults.standing() == []


# --- keys


def test_a_new_key_set_is_used_and_written_down(pole):
    pole.send_keys(STAFF.note(2, without=KIM))
    assert pole.audits[-1].phase == "keys"
    assert pole.send(KIM.sign(pole.now_us)).code == "key-unknown"
    pole.restart()
    assert pole.send(KIM.sign(pole.now_us)).code == "key-unknown"
    assert pole.send(LEE.sign(pole.now_us)).status == "done"


@pytest.mark.parametrize("note", [b"\xff", b"", Staff().note(2).encode(), STAFF.note(1).encode()])
def test_a_key_set_that_does_not_follow_is_refused_and_seen(pole, note):
    pole.send_keys(note)
    assert codes(pole) == [("refused", "key-set")]
    assert pole.send(KIM.sign(pole.now_us)).status == "done"


def test_a_damaged_pinned_set_is_a_fault_and_nobody_is_obeyed(pole):
    pole.pinned.write_text("nonsense")
    pole.restart()
    assert [fault.code for fault in pole.faults.standing()] == ["command-keys-invalid"]
    assert pole.send(KIM.sign(pole.now_us)).code == "no-keys"


# --- the service manager


def script(path: Path, body: str) -> str:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o700)
    return str(path)


def test_the_adapter_speaks_to_systemctl_and_journalctl(tmp_path):
    log = tmp_path / "words"
    control = SystemctlControl(
        script(tmp_path / "systemctl", f'echo "$@" >> {log}'), script(tmp_path / "journalctl", 'echo one; echo "$@"')
    )
    control.restart("camera@front")
    control.reboot()
    words = log.read_text().splitlines()
    assert words == [
        "--no-ask-password --no-block restart pole-camera@front.service",
        "--no-ask-password --no-block reboot",
    ]
    first, told = control.journal("bell", 7)
    assert first == "one"
    assert "--lines=7" in told and "--unit=pole-bell.service" in told


def test_a_refusing_or_missing_service_manager_is_an_answer(pole, tmp_path):
    refusing = script(tmp_path / "no", "echo 'Access denied' >&2; exit 4")
    for program, told in ((refusing, "Access denied"), (str(tmp_path / "absent"), "did not run")):
        pole.commands._executor._services = SystemctlControl(program, program)
        reply = pole.send(KIM.sign(pole.now_us, "restart-service", args={"service": "bell"}))
        assert reply.status == "failed"
        assert told in reply.detail


def test_every_operation_of_the_catalogue_is_carried_out_by_someone(pole):
    assert set(pole.commands._executor._by_name) == set(OPERATIONS)
