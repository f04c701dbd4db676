import io
from pathlib import Path

import pytest
from support.age_tools import seal

from agent.contract.age_format import generate_identity, open_age, recipient_id
from center.custodian.keyring import Keyring
from center.custodian.recipients import RecipientList
from center.errors import SealError
from center.store.store import utc_now_us


@pytest.fixture
def key_dir(tmp_path: Path) -> Path:
    return tmp_path / "custodian"


def pole_list(file: Path) -> list[str]:
    return [line for line in file.read_text().splitlines() if not line.startswith("#")]


def test_what_is_sealed_to_a_new_key_opens_with_the_ring(key_dir: Path, tmp_path: Path) -> None:
    row = Keyring(key_dir).create("gangseo", tmp_path / "recipients.txt")
    sealed = seal(b"video", row.recipient)
    assert open_age(io.BytesIO(sealed), Keyring(key_dir).identities()).read() == b"video"


def test_private_files_are_for_their_owner_only(key_dir: Path, tmp_path: Path) -> None:
    Keyring(key_dir).create("gangseo", tmp_path / "recipients.txt")
    (file,) = key_dir.glob("*.agekey")
    assert (file.stat().st_mode & 0o777, key_dir.stat().st_mode & 0o777) == (0o600, 0o700)


def test_the_public_lists_hold_no_secret(key_dir: Path, tmp_path: Path) -> None:
    Keyring(key_dir).create("gangseo", tmp_path / "recipients.txt")
    for file in (key_dir / "recipients.json", tmp_path / "recipients.txt"):
        assert "SECRET" not in file.read_text()


def test_a_key_that_others_may_read_is_refused(key_dir: Path, tmp_path: Path) -> None:
    keyring = Keyring(key_dir)
    keyring.create("gangseo", tmp_path / "recipients.txt")
    (file,) = key_dir.glob("*.agekey")
    file.chmod(0o640)
    with pytest.raises(SealError, match="can be read by others"):
        keyring.identities()


def test_a_damaged_key_is_named_without_its_text(key_dir: Path, tmp_path: Path) -> None:
    keyring = Keyring(key_dir)
    keyring.create("gangseo", tmp_path / "recipients.txt")
    (file,) = key_dir.glob("*.agekey")
    secret = file.read_text().splitlines()[-1]
    file.write_text(secret[:-1] + ("Q" if secret[-1] != "Q" else "P"))
    with pytest.raises(SealError) as caught:
        keyring.identities()
    assert secret[16:40] not in str(caught.value)


def test_an_empty_ring_says_the_next_step(key_dir: Path) -> None:
    with pytest.raises(SealError, match="keys new"):
        Keyring(key_dir).identities()


def test_poles_of_a_zone_get_the_newest_key_first(key_dir: Path, tmp_path: Path) -> None:
    times = iter([1, 2])
    keyring = Keyring(key_dir, lambda: next(times))
    old, new = (keyring.create("gangseo", tmp_path / "recipients.txt") for _ in range(2))
    assert pole_list(tmp_path / "recipients.txt") == [new.recipient, old.recipient]


def test_another_zone_never_gets_into_the_first_ones_list(key_dir: Path, tmp_path: Path) -> None:
    keyring = Keyring(key_dir)
    first = keyring.create("gangseo", tmp_path / "recipients.txt")
    other = keyring.create("mapo", tmp_path / "recipients.txt")
    assert pole_list(tmp_path / "recipients.txt") == [first.recipient]
    assert pole_list(tmp_path / "recipients-mapo.txt") == [other.recipient]


@pytest.mark.parametrize("zone", ["", "../x", "A", "a/b", "z" * 33])
def test_a_zone_that_is_no_file_name_is_refused(key_dir: Path, tmp_path: Path, zone: str) -> None:
    with pytest.raises(SealError, match="not a zone"):
        Keyring(key_dir).create(zone, tmp_path / "recipients.txt")


def test_ingest_learns_of_a_new_key_without_a_restart(key_dir: Path, tmp_path: Path) -> None:
    known = RecipientList(key_dir)
    assert not known.knows("0" * 16)
    row = Keyring(key_dir, utc_now_us).create("gangseo", tmp_path / "recipients.txt")
    assert row.id == recipient_id(row.recipient)
    assert known.knows(row.id)


@pytest.mark.parametrize("text", ["", "[]", '{"magic":"pole-center/recipients","v":2,"recipients":[]}'])
def test_a_list_of_another_kind_or_version_is_refused(key_dir: Path, text: str) -> None:
    key_dir.mkdir()
    (key_dir / "recipients.json").write_text(text)
    with pytest.raises(SealError, match=r"recipients\.json"):
        RecipientList(key_dir).knows("x")


def test_a_key_made_elsewhere_opens_what_was_sealed_to_it_and_is_taken_in_once(key_dir: Path, tmp_path: Path) -> None:
    ring = Keyring(key_dir)
    ring.create("gangseo", tmp_path / "recipients.txt")
    secret, recipient = generate_identity()
    row = ring.adopt("imported", f" {secret}\n")
    assert RecipientList(key_dir).knows(row.id)
    assert open_age(io.BytesIO(seal(b"video", recipient)), ring.identities()).read() == b"video"
    with pytest.raises(SealError, match="held already"):
        ring.adopt("imported", secret)


def test_a_text_that_is_no_key_is_refused_without_repeating_it(key_dir: Path) -> None:
    with pytest.raises(SealError) as refused:
        Keyring(key_dir).adopt("imported", "AGE-SECRET-KEY-1NOTAKEY")
    assert "NOTAKEY" not in str(refused.value)
