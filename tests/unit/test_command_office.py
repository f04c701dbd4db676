"""The center signs what a pole would take, waits for the second officer, and books what comes back."""

import json
import sqlite3
import stat

import pytest
from support.center_store import CenterClock, open_store
from support.command_kit import Staff

from agent.contract.command import Accept, Command, Context, judge, verify_command
from agent.contract.errors import ContractError
from agent.contract.jws import b64url_encode
from agent.contract.messages import AuditReceipt, ClockState, CommandAudit, CommandReply, decode, encode
from center.alarms.paho_session import Incoming
from center.commands.desk import CommandDesk
from center.commands.key_folder import KeyFolder
from center.commands.signing import CommandOffice, Order
from center.errors import ConflictError, PkiError
from center.store.schema import STEPS, VERSION

CLOCK = ClockState(synced=True, source="ntp", error_us=0)
POLE = "pole-1"


@pytest.fixture
def clock():
    return CenterClock()


@pytest.fixture
def store(tmp_path, clock):
    store = open_store(tmp_path, clock)
    yield store
    store.close()


@pytest.fixture
def keys(tmp_path):
    keys = KeyFolder(tmp_path / "command-keys")
    keys.create()
    for officer, role in (("kim", "crew"), ("lee", "supervisor"), ("oh", "operator")):
        keys.add(officer, role)
    return keys


@pytest.fixture
def office(keys, store, clock):
    return CommandOffice(keys, store.commands, clock)


def order(op="rebirth", **args) -> Order:
    return Order(POLE, op, args, "월례 점검")


def context(keys, clock) -> Context:
    return Context(POLE, keys.current(), clock.us, clock_synced=True)


def down(store) -> list[tuple[str, str, bytes]]:
    return [(row.pole, row.kind, row.payload) for row in store.alarms.down_queue()]


# --- keys


def test_the_first_set_is_signed_and_each_change_raises_the_serial(keys):
    assert keys.current().serial == 4
    assert sorted(key.officer for key in keys.current().keys.values()) == ["kim", "lee", "oh"]
    kid = keys.signer("kim")[0].kid
    assert kid not in keys.remove(kid[:10]).keys
    assert keys.current().serial == 5


def test_every_private_key_is_for_its_owner_only(keys, tmp_path):
    secrets = [tmp_path / "command-keys" / "root.key", *(tmp_path / "command-keys" / "officers").iterdir()]
    assert len(secrets) == 4
    assert {stat.S_IMODE(file.stat().st_mode) for file in secrets} == {0o600}


def test_a_private_key_that_others_may_read_is_refused(keys, tmp_path):
    for file in (tmp_path / "command-keys" / "officers").iterdir():
        file.chmod(0o640)
    with pytest.raises(PkiError, match="read by others"):
        keys.signer("kim")
    (tmp_path / "command-keys" / "root.key").chmod(0o644)
    with pytest.raises(PkiError, match="read by others"):
        keys.add("park", "crew")


@pytest.mark.parametrize(("officer", "role"), [("Kim", "crew"), ("../x", "crew"), ("", "crew"), ("park", "mayor")])
def test_an_officer_or_role_that_is_none_gets_no_key(keys, officer, role):
    with pytest.raises(PkiError):
        keys.add(officer, role)
    assert keys.current().serial == 4


def test_a_key_made_elsewhere_comes_in_by_its_public_half(keys):
    park = Staff().kim
    key = keys.add("park", "admin", _x(park))
    assert key.kid == park.signer.kid
    with pytest.raises(PkiError, match="no private command key"):
        keys.signer("park")
    with pytest.raises(PkiError, match="twice"):
        keys.add("moon", "admin", _x(park))
    with pytest.raises(PkiError):
        keys.add("moon", "admin", "too-short")


def _x(officer) -> str:
    return b64url_encode(officer.signer.public)


def test_a_root_is_never_overwritten(keys):
    with pytest.raises(PkiError, match="exists already"):
        keys.create()


def test_a_revoked_officer_signs_nothing_more(keys, office):
    keys.remove(keys.signer("kim")[0].kid)
    with pytest.raises(PkiError, match="no private command key"):
        office.issue(order(), "kim")


def test_damaged_key_files_are_an_error_that_shows_no_secret(keys, tmp_path):
    (file,) = (tmp_path / "command-keys" / "officers").glob("kim.*")
    jwk = json.loads(file.read_bytes())
    for text in ("{", "[]", json.dumps(jwk | {"crv": "X25519"}), json.dumps(jwk | {"x": _x(Staff().lee)})):
        file.write_text(text)
        with pytest.raises(PkiError) as caught:
            keys.signer("kim")
        assert jwk["d"] not in str(caught.value)
    (tmp_path / "command-keys" / "command-keys.note").unlink()
    with pytest.raises(PkiError, match="command-keys init"):
        keys.current()


# --- issuing


def test_an_issued_command_is_one_a_pole_obeys_and_is_queued(office, keys, store, clock):
    row = office.issue(order("mode", mode="test", for_s=600), "kim")
    ((pole, kind, payload),) = down(store)
    assert (pole, kind) == (POLE, "command")
    verdict = judge(payload, context(keys, clock))
    assert isinstance(verdict, Accept)
    assert (verdict.command.jti, row.state, row.args) == (row.jti, "queued", {"mode": "test", "for_s": 600})
    assert store.commands.newest() == [row]


@pytest.mark.parametrize(
    ("asked", "officer", "told"),
    [
        (Order(POLE, "bell-off", {}, "r"), "kim", "operation"),
        (Order(POLE, "mode", {"mode": "test", "for_s": 901}, "r"), "kim", "arguments"),
        (Order(POLE, "mode", {"mode": "test"}, "r"), "oh", "role"),
        (Order(POLE, "rebirth", {}, " "), "kim", "malformed"),
        (Order(POLE, "rebirth", {"a": 1}, "r"), "kim", "arguments"),
        (Order("../../x", "rebirth", {}, "r"), "kim", "not a pole"),
        (Order(POLE, "rebirth", {}, "\ud800"), "kim", "cannot be signed"),
        (Order(POLE, "reboot", {}, "r"), "oh", "role"),
    ],
)
def test_what_a_pole_would_refuse_is_neither_signed_nor_queued(office, store, asked, officer, told):
    with pytest.raises(ConflictError, match=told):
        office.issue(asked, officer)
    assert (down(store), store.commands.newest()) == ([], [])


def test_a_destructive_command_waits_for_another_officer(office, keys, store, clock):
    row = office.issue(order("reboot"), "kim")
    assert (row.state, down(store)) == ("waiting", [])
    with pytest.raises(ConflictError, match="same-officer"):
        office.approve(row.jti, "kim")
    with pytest.raises(ConflictError, match="role"):
        office.approve(row.jti, "oh")
    approved = office.approve(row.jti, "lee")
    assert (approved.state, approved.approver) == ("queued", "lee")
    ((_, _, payload),) = down(store)
    verdict = judge(payload, context(keys, clock))
    assert isinstance(verdict, Accept)
    assert [key.officer for key in verdict.signers] == ["kim", "lee"]
    with pytest.raises(ConflictError, match="does not wait"):
        office.approve(row.jti, "lee")


def test_an_approval_that_comes_too_late_is_refused(office, clock, store):
    row = office.issue(order("reboot"), "kim")
    clock.advance(300)
    with pytest.raises(ConflictError, match="expired"):
        office.approve(row.jti, "lee")
    with pytest.raises(ConflictError, match="has expired"):
        store.commands.approve(row.jti, b"x", "lee")
    with pytest.raises(ConflictError, match="there is no command"):
        office.approve("0" * 32, "lee")


def test_the_store_takes_no_approval_by_the_issuer_and_no_jti_twice(office, store, keys):
    row = office.issue(order("reboot"), "kim")
    with pytest.raises(ConflictError, match="another officer"):
        store.commands.approve(row.jti, b"x", "kim")
    command: Command = verify_command(row.raw, keys.current())[0]
    with pytest.raises(ConflictError, match="already"):
        store.commands.issue(command, row.raw, wait=False)


def test_a_challenged_command_is_signed_anew_with_the_nonce(office, keys, clock):
    row = office.issue(order(), "kim")
    again = office.again(row, "n-1")
    assert again.jti != row.jti
    unsynced = Context(POLE, keys.current(), 0, clock_synced=False, nonces={"n-1"})
    assert isinstance(judge(again.raw, unsynced), Accept)


# --- what comes back


def reply(row, status="done", **told) -> CommandReply:
    words = {"pole": POLE, "jti": row.jti, "payload_sha256": row.payload_sha256, "status": status, "at_us": 1} | told
    return CommandReply(**words)


def audit(row, phase, audit_id="a", **told) -> CommandAudit:
    words = {"pole": POLE, "audit_id": audit_id, "at_us": 1, "clock": CLOCK, "phase": phase}
    return CommandAudit(**(words | {"payload_sha256": row.payload_sha256} | told))


def test_a_reply_ends_the_command_and_is_kept_as_it_came(office, store):
    row = office.issue(order(), "kim")
    raw = encode(reply(row, detail="born"))[:-1] + b',"new_field":1}'
    store.commands.reply(decode(raw, CommandReply), raw)
    ended = store.commands.get(row.jti)
    assert (ended.state, ended.detail, ended.ended) == ("done", "born", True)
    assert store.database.row("SELECT raw FROM command_reply")["raw"] == raw
    assert [one.detail for one in store.commands.replies(row.jti)] == ["born"]


def test_a_later_word_never_overwrites_the_end(office, store):
    row = office.issue(order(), "kim")
    for status, code in (("done", ""), ("refused", "replayed")):
        word = reply(row, status, code=code)
        store.commands.reply(word, encode(word))
    assert store.commands.get(row.jti).state == "done"


def test_the_book_of_the_pole_ends_a_command_whose_reply_was_lost(office, store):
    row = office.issue(order(), "kim")
    for number, (phase, code, state) in enumerate([("before", "", "begun"), ("after", "interrupted", "interrupted")]):
        word = audit(row, phase, f"a{number}", code=code)
        store.commands.audit(word, encode(word))
        assert store.commands.get(row.jti).state == state


def test_an_audit_row_is_stored_once_and_gives_the_same_receipt(office, store, clock):
    row = office.issue(order(), "kim")
    word = audit(row, "refused", code="signature")
    first = store.commands.audit(word, encode(word))
    clock.advance(10)
    assert store.commands.audit(word, encode(word)) == first
    assert len(store.commands.audits()) == 1
    assert store.commands.refusal_counts(0) == {"signature": 1}
    other = audit(row, "refused", pole="pole-2", code="signature")
    assert store.commands.audit(other, encode(other)) != first
    assert [one.audit.pole for one in store.commands.audits("pole-2")] == ["pole-2"]


def test_a_pole_that_refuses_without_end_does_not_fill_the_disk(office, store, clock, monkeypatch):
    monkeypatch.setattr("center.store.commands.REFUSED_KEPT", 3)
    monkeypatch.setattr("center.store.commands.REPLIES_KEPT", 3)
    row = office.issue(order(), "kim")
    for number, phase in enumerate(["before", *["refused"] * 8, "after"]):
        clock.advance(1)
        word, answer = audit(row, phase, f"a{number}", code="signature"), reply(row, "refused", code="signature")
        store.commands.audit(word, encode(word))
        store.commands.reply(answer, encode(answer))
    held = [one.audit.audit_id for one in reversed(store.commands.audits())]
    assert held == ["a0", "a6", "a7", "a8", "a9"]
    assert len(store.commands.replies(row.jti)) == 3


def test_another_poles_word_does_not_move_a_command(office, store):
    row = office.issue(order(), "kim")
    word = reply(row, pole="pole-2")
    store.commands.reply(word, encode(word))
    assert store.commands.get(row.jti).state == "queued"


def test_what_poles_say_becomes_events_for_the_console(office, store):
    row = office.issue(order(), "kim")
    word = audit(row, "refused", code="signature", detail="forged")
    store.commands.audit(word, encode(word))
    kinds = [(event.kind, event.data.get("state") or event.data.get("phase")) for event in store.events.after(0, 50)]
    assert kinds == [("command", "queued"), ("command", "refused"), ("command-audit", "refused")]


def desk(store) -> tuple[CommandDesk, list[tuple[str, bytes]]]:
    sent: list[tuple[str, bytes]] = []
    return CommandDesk(store, lambda topic, payload: sent.append((topic, payload))), sent


def incoming(kind: str, payload: bytes, pole: str = POLE) -> Incoming:
    return Incoming(f"ps/v1/{pole}/up/{kind}", payload, False, (1, 1))


def test_the_desk_receipts_a_row_after_its_commit(office, store):
    taker, sent = desk(store)
    row = office.issue(order(), "kim")
    taker.take(incoming("audit", encode(audit(row, "before"))))
    ((topic, payload),) = sent
    assert topic == "ps/v1/pole-1/down/audit-receipt"
    assert decode(payload, AuditReceipt).audit_id == "a"


def test_the_desk_quarantines_nonsense_and_words_for_another_pole(office, store):
    taker, sent = desk(store)
    row = office.issue(order(), "kim")
    taker.take(incoming("audit", b"\xff"))
    taker.take(incoming("reply", encode(reply(row)), "pole-2"))
    taker.take(incoming("audit", encode(audit(row, "before")), "pole-2"))
    assert (len(store.quarantine.newest()), sent) == (3, [])
    assert store.commands.get(row.jti).state == "queued"


def test_a_row_that_cannot_be_stored_gets_no_receipt(office, store, tmp_path):
    taker, sent = desk(store)
    row = office.issue(order(), "kim")
    blocker = sqlite3.connect(tmp_path / "center.sqlite", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    taker.take(incoming("audit", encode(audit(row, "before"))))
    blocker.close()
    assert sent == []
    taker.take(incoming("audit", encode(audit(row, "before"))))
    assert len(sent) == 1


def test_a_command_is_never_queued_again_by_the_words_on_incidents(office, store):
    office.issue(order(), "kim")
    (row,) = store.alarms.down_queue()
    store.alarms.published(row.id)
    assert store.alarms.requeue(0) == 0
    assert store.alarms.down_queue() == []


def test_a_database_from_before_commands_gets_their_tables(tmp_path, monkeypatch):
    from center.store import database

    step = next(number for number, text in enumerate(STEPS) if "CREATE TABLE command " in text)
    monkeypatch.setattr(database, "STEPS", STEPS[:step])
    monkeypatch.setattr(database, "VERSION", step)
    database.Database(tmp_path / "center.sqlite").close()
    monkeypatch.undo()
    store = open_store(tmp_path)
    assert store.commands.newest() == []
    assert store.database.row("PRAGMA user_version")[0] == VERSION
    store.close()


def test_an_unreadable_command_can_not_be_verified(keys):
    with pytest.raises(ContractError):
        verify_command(b"", keys.current())
