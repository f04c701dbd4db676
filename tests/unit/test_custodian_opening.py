import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.age_tools import seal
from support.center_store import open_store

from agent.contract.age_format import TornFileError
from agent.contract.messages import ClockState
from agent.contract.records import SegmentRecord, TornRecord, encode_record
from center.custodian.keyring import Keyring
from center.custodian.opening import Custodian, Request
from center.errors import OpeningRefusedError, SealError, StoreError
from center.store import StoredObject

SEGMENT = "pole-1.front.20260101T000000Z.0000000001"
CLEAR = bytes(range(256)) * 1000
REQUEST = Request("김 경위", "사건 2026-1")


class Site:
    """A store, a ring with one key, and one stored segment."""

    def __init__(self, directory: Path) -> None:
        self.store = open_store(directory)
        self.directory = directory
        self.keyring = Keyring(directory / "custodian")
        self.recipient = self.keyring.create("demo", directory / "recipients.txt").recipient
        self.objects_dir = directory / "objects"
        self.objects_dir.mkdir()
        self.custodian = Custodian(self.store, self.keyring, self.objects_dir)
        self.file = self.objects_dir / f"{SEGMENT}.mp4.age"

    def hold(self, sealed: bytes, torn: bool = False) -> None:
        self.file.write_bytes(sealed)
        digest = hashlib.sha256(sealed).hexdigest()
        fields = {
            "pole": "pole-1", "written_at_us": 1, "clock": ClockState(synced=True, source="ntp", error_us=1),
            "camera": "front", "segment": SEGMENT, "management_number": "x", "purpose": "traffic", "start_us": 1,
            "end_us": 2, "frames": 1, "bytes": len(sealed), "sha256": digest, "recipient": "r", "codec": "h264",
            "width": 640, "height": 480, "source_has_sound": False,
        }  # fmt: skip
        record = encode_record((TornRecord if torn else SegmentRecord)(**fields))  # type: ignore[arg-type]
        row = StoredObject(SEGMENT, "pole-1", "front", 1, 2, len(sealed), digest, "r", self.file.name, 1, "n", record)
        self.store.objects.add(row)

    def ledger(self) -> int:
        return len(self.store.ledger.list())


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    site.hold(seal(CLEAR, site.recipient))
    yield site
    site.store.close()


def test_a_stored_segment_opens_for_a_reason_and_the_row_says_all(site: Site) -> None:
    opening = site.custodian.open_segment(SEGMENT, REQUEST)
    assert b"".join(opening.chunks()) == CLEAR
    (row,) = site.store.ledger.list()
    assert (row.id, row.entry.file, row.entry.officer, row.entry.purpose) == (
        1,
        SEGMENT,
        REQUEST.officer,
        REQUEST.reason,
    )
    assert row.entry.sha256 == hashlib.sha256(site.file.read_bytes()).hexdigest()


def test_the_row_is_committed_before_the_first_clear_byte(site: Site) -> None:
    chunks = site.custodian.open_segment(SEGMENT, REQUEST).chunks()
    other = open_store(site.directory)
    assert len(other.ledger.list()) == 1
    other.close()
    next(chunks)


def test_without_a_writable_ledger_nothing_opens(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.store.database._connection.execute("PRAGMA query_only = ON")
    with pytest.raises(StoreError):
        site.custodian.open_segment(SEGMENT, REQUEST)


@pytest.mark.parametrize("blank", ["", " ", "\t\n"])
def test_without_reason_or_officer_nothing_happens(site: Site, blank: str) -> None:
    with pytest.raises(OpeningRefusedError, match="reason"):
        site.custodian.open_segment(SEGMENT, replace(REQUEST, reason=blank))
    with pytest.raises(OpeningRefusedError, match="officer"):
        site.custodian.open_segment(SEGMENT, replace(REQUEST, officer=blank))
    assert site.ledger() == 0


def test_an_unknown_segment_is_named(site: Site) -> None:
    with pytest.raises(OpeningRefusedError, match="nothing-here is not stored"):
        site.custodian.open_segment("nothing-here", REQUEST)


@pytest.mark.parametrize("at", [0, 100, -1])
def test_one_changed_byte_is_found_before_the_ledger_and_before_any_clear_byte(site: Site, at: int) -> None:
    sealed = bytearray(site.file.read_bytes())
    sealed[at] ^= 1
    site.file.write_bytes(sealed)
    with pytest.raises(OpeningRefusedError, match="SHA-256 differs"):
        site.custodian.open_segment(SEGMENT, REQUEST)
    assert site.ledger() == 0


def test_a_file_whose_name_is_a_stored_segment_must_be_that_segment(site: Site, tmp_path: Path) -> None:
    swapped = tmp_path / f"{SEGMENT}.mp4.age"
    swapped.write_bytes(seal(b"other", site.recipient))
    with pytest.raises(OpeningRefusedError, match="SHA-256 differs"):
        site.custodian.open_file(swapped, REQUEST)


def test_a_sealed_file_from_a_poles_disk_opens_too(site: Site, tmp_path: Path) -> None:
    brought = tmp_path / "from-the-sd-card.mp4.age"
    brought.write_bytes(seal(b"brought", site.recipient))
    assert b"".join(site.custodian.open_file(brought, REQUEST).chunks()) == b"brought"
    assert site.store.ledger.list()[0].entry.file == brought.name


def test_a_file_for_another_key_opens_nothing_and_writes_no_row(site: Site, tmp_path: Path) -> None:
    other = Keyring(tmp_path / "other").create("demo", tmp_path / "other.txt")
    foreign = tmp_path / "foreign.mp4.age"
    foreign.write_bytes(seal(b"x", other.recipient))
    with pytest.raises(SealError, match="identities opens this file"):
        site.custodian.open_file(foreign, REQUEST)
    assert site.ledger() == 0


def test_a_file_exchanged_after_the_opening_is_refused(site: Site) -> None:
    opening = site.custodian.open_segment(SEGMENT, REQUEST)
    site.file.unlink()
    site.file.write_bytes(seal(b"other", site.recipient))
    with pytest.raises(OpeningRefusedError, match="changed since"):
        list(opening.chunks())


def test_a_player_may_read_again_under_the_same_row(site: Site) -> None:
    opening = site.custodian.open_segment(SEGMENT, REQUEST)
    assert list(opening.chunks()) == list(opening.chunks())
    assert site.ledger() == 1


def test_clear_bytes_come_in_bounded_pieces(site: Site) -> None:
    assert max(map(len, site.custodian.open_segment(SEGMENT, REQUEST).chunks())) <= 65536


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 131072])
def test_the_clear_size_is_known_beforehand(tmp_path: Path, size: int) -> None:
    site = Site(tmp_path)
    site.hold(seal(bytes(size), site.recipient))
    assert site.custodian.open_segment(SEGMENT, REQUEST).clear_bytes == size
    site.store.close()


@pytest.mark.parametrize("stated_torn", [True, False])
def test_a_torn_file_gives_its_beginning_and_ends_quietly_only_when_its_record_says_torn(
    tmp_path: Path, stated_torn: bool
) -> None:
    site = Site(tmp_path)
    site.hold(seal(CLEAR, site.recipient)[:-100], torn=stated_torn)
    opening = site.custodian.open_segment(SEGMENT, REQUEST)
    got = []
    if stated_torn:
        got = list(opening.chunks())
    else:
        with pytest.raises(TornFileError):
            got.extend(opening.chunks())
    assert CLEAR.startswith(b"".join(got))
    site.store.close()
