"""Who may command a pole changes only by a higher serial that the trusted roots and its own roots signed."""

import pytest
from support.command_kit import Officer, Staff

from agent.contract.errors import ContractError
from agent.contract.key_set import MAGIC, CommandKey, first_key_set, make_key_set, next_key_set, parse_key_set
from agent.contract.signed_note import NoteSigner
from agent.mqtt.command_error import CommandStoreError
from agent.mqtt.command_keys import CommandKeys

STAFF = Staff()
FIRST = STAFF.note(1)
TRUSTED = first_key_set(FIRST)


def signed(text: str, *roots: NoteSigner) -> str:
    note = roots[0].sign(text)
    for root in roots[1:]:
        note = root.cosign(note)
    return note


def test_a_set_reads_back_as_it_was_written():
    assert STAFF.key_set(1) == TRUSTED
    assert TRUSTED.keys[STAFF.kim.signer.kid] == CommandKey("crew", "kim", STAFF.kim.signer.public)


def test_the_next_set_needs_a_higher_serial():
    assert next_key_set(TRUSTED, STAFF.note(7)).serial == 7
    for serial in (1, 7):
        with pytest.raises(ContractError, match="serial"):
            next_key_set(next_key_set(TRUSTED, STAFF.note(7)), STAFF.note(serial))


def test_a_set_signed_by_somebody_else_is_refused():
    other = NoteSigner.generate("root-1")
    with pytest.raises(ContractError, match="no signature of a known key"):
        next_key_set(TRUSTED, signed(STAFF.key_set(2).text(), other))


def test_a_tampered_set_is_refused():
    with pytest.raises(ContractError, match="forged"):
        next_key_set(TRUSTED, STAFF.note(2).replace("key operator oh", "key admin oh"))


def test_a_new_root_must_sign_too_and_the_old_one_loses_its_word():
    new = NoteSigner.generate("root-2")
    text = make_key_set(2, 1, [new.verifier_key], [STAFF.lee.key]).text()
    for roots in ([STAFF.root], [new]):
        with pytest.raises(ContractError):
            next_key_set(TRUSTED, signed(text, *roots))
    rotated = next_key_set(TRUSTED, signed(text, STAFF.root, new))
    with pytest.raises(ContractError):
        next_key_set(rotated, STAFF.note(3))


def test_a_threshold_of_two_needs_two_roots():
    roots = [NoteSigner.generate(f"officer-{number}") for number in range(3)]
    keys = [root.verifier_key for root in roots]
    first = first_key_set(signed(make_key_set(1, 2, keys, [STAFF.kim.key]).text(), *roots[:2]))
    text = make_key_set(2, 2, keys, []).text()
    with pytest.raises(ContractError, match="1 of"):
        next_key_set(first, signed(text, roots[2]))
    assert next_key_set(first, signed(text, roots[2], roots[0])).keys == {}
    with pytest.raises(ContractError, match="1 of"):
        first_key_set(signed(text, roots[1]))


def test_a_signature_twice_counts_once():
    roots = [NoteSigner.generate("a"), NoteSigner.generate("b")]
    text = make_key_set(1, 2, [root.verifier_key for root in roots], []).text()
    with pytest.raises(ContractError, match="1 of"):
        first_key_set(signed(text, roots[0], roots[0]))


@pytest.mark.parametrize(
    "change",
    [
        ("pole-agent/command-keys/v1", "pole-agent/command-keys/v2"),
        ("serial 1", "serial 01"),
        ("serial 1", "serial 0"),
        ("serial 1", "serial 9007199254740992"),
        ("threshold 1", "threshold 2"),
        ("threshold 1", "threshold"),
        ("key crew kim", "key mayor kim"),
        ("key crew kim", "key crew Kim"),
        ("key crew kim", "key  crew kim"),
        ("key crew kim", "key crew"),
        ("key operator", "Key operator"),
    ],
)
def test_a_malformed_set_is_refused(change):
    with pytest.raises(ContractError):
        parse_key_set(STAFF.key_set(1).text().replace(*change, 1))


def test_a_key_twice_or_a_root_as_a_command_key_is_refused():
    lines = STAFF.key_set(1).text().splitlines()
    kim = next(line for line in lines if " kim " in line)
    text = "\n".join([*lines, kim.replace("crew kim", "admin park")]) + "\n"
    with pytest.raises(ContractError, match="twice"):
        parse_key_set(text)
    root = Officer("root", "admin")
    note_key = NoteSigner("root-9", root.private_key).verifier_key
    with pytest.raises(ContractError, match="no root is a command key"):
        make_key_set(1, 1, [note_key], [root.key])


def test_a_set_without_root_or_of_too_many_is_refused():
    with pytest.raises(ContractError):
        parse_key_set(f"{MAGIC}\nserial 1\nthreshold 1\n")
    with pytest.raises(ContractError):
        make_key_set(1, 1, [NoteSigner.generate(f"r{n}").verifier_key for n in range(11)], [])


# --- on disk


def keys_in(directory) -> CommandKeys:
    pinned = directory / "pinned.note"
    if not pinned.exists():
        pinned.write_text(FIRST, encoding="utf-8")
    return CommandKeys(pinned, directory / "keys")


def test_an_installed_set_is_there_after_a_restart(tmp_path):
    keys = keys_in(tmp_path)
    keys.load()
    keys.install(STAFF.note(2, without=STAFF.kim).encode())
    again = keys_in(tmp_path)
    again.load()
    assert again.current == keys.current == STAFF.key_set(2, without=STAFF.kim)
    assert not list((tmp_path / "keys").glob(".*"))


def test_roots_are_followed_step_by_step_after_a_restart(tmp_path):
    keys, new = keys_in(tmp_path), NoteSigner.generate("root-2")
    keys.load()
    text = make_key_set(5, 1, [new.verifier_key], [STAFF.lee.key]).text()
    keys.install(signed(text, STAFF.root, new).encode())
    keys.install(signed(text.replace("serial 5", "serial 10"), new).encode())
    again = keys_in(tmp_path)
    again.load()
    assert again.current is not None and again.current.serial == 10


def test_a_set_put_onto_the_disk_by_anybody_is_passed_over_and_named(tmp_path):
    keys = keys_in(tmp_path)
    (tmp_path / "keys").mkdir()
    stranger = NoteSigner.generate("root-1")
    (tmp_path / "keys" / "9.note").write_text(signed(STAFF.key_set(9).text(), stranger), encoding="utf-8")
    (tmp_path / "keys" / "8.note").write_bytes(b"\xff")
    keys.load()
    assert keys.current == TRUSTED
    assert [line.split(":")[0] for line in keys.damaged] == ["8.note", "9.note"]


def test_a_reflashed_pole_with_a_newer_pinned_set_forgets_the_older_ones(tmp_path):
    keys = keys_in(tmp_path)
    keys.load()
    keys.install(STAFF.note(2).encode())
    (tmp_path / "pinned.note").write_text(Staff().note(3), encoding="utf-8")
    keys.load()
    assert keys.current is not None
    assert (keys.current.serial, keys.damaged) == (3, [])


def test_without_a_pinned_set_nothing_can_be_installed(tmp_path):
    keys = CommandKeys(tmp_path / "none", tmp_path / "keys")
    keys.load()
    assert keys.current is None
    with pytest.raises(ContractError, match="no pinned"):
        keys.install(FIRST.encode())


def test_a_set_that_cannot_be_written_is_not_used(tmp_path):
    keys = keys_in(tmp_path)
    keys.load()
    (tmp_path / "keys").write_text("a file in the way")
    with pytest.raises(CommandStoreError):
        keys.install(STAFF.note(2).encode())
    assert keys.current == TRUSTED


def test_a_pinned_set_that_its_roots_did_not_sign_is_an_error(tmp_path):
    (tmp_path / "pinned.note").write_text(signed(STAFF.key_set(1).text(), NoteSigner.generate("x")), encoding="utf-8")
    with pytest.raises(ContractError):
        keys_in(tmp_path).load()
