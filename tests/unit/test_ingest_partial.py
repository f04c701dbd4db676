"""Uploads that are still arriving (center.ingest.partial)."""

from pathlib import Path

import pytest

from center.ingest.partial import PartialStore, PartialUpload, make_directory, parse_upload_id

SEGMENT = "pole-1.front.20260921T141320Z.0000000000"
UPLOAD = PartialUpload(pole="pole-1", segment=SEGMENT, sha256="a" * 64, bytes=10, length=10, record="{}")


@pytest.fixture
def partials(tmp_path: Path) -> PartialStore:
    return PartialStore(tmp_path / "ingest" / "partial")


def test_an_upload_is_found_again_by_another_process(tmp_path: Path, partials: PartialStore):
    partials.create(UPLOAD)
    assert PartialStore(tmp_path / "ingest" / "partial").get("pole-1", UPLOAD.id) == UPLOAD
    assert partials.size(UPLOAD) == 0


def test_announcing_again_keeps_the_bytes(partials: PartialStore):
    partials.create(UPLOAD)
    with partials.writer(UPLOAD, 0) as writer:
        writer.write(b"12345")
        writer.sync()
    assert partials.create(UPLOAD) == UPLOAD
    assert partials.size(UPLOAD) == 5


def test_the_offset_is_the_files_size(partials: PartialStore):
    partials.create(UPLOAD)
    with partials.writer(UPLOAD, 0) as writer:
        writer.write(b"12345")
        assert writer.offset == 5
    with partials.writer(UPLOAD, 5) as writer:
        writer.write(b"678")
    assert partials.part_path(UPLOAD).read_bytes() == b"12345678"


def test_a_discarded_chunk_leaves_nothing_behind(partials: PartialStore):
    partials.create(UPLOAD)
    with partials.writer(UPLOAD, 0) as writer:
        writer.write(b"12345")
    with partials.writer(UPLOAD, 5) as writer:
        writer.write(b"wrong")
        writer.discard()
        assert writer.offset == 5
    assert partials.part_path(UPLOAD).read_bytes() == b"12345"


def test_a_removed_upload_is_unknown(partials: PartialStore):
    partials.create(UPLOAD)
    partials.remove(UPLOAD)
    assert partials.get("pole-1", UPLOAD.id) is None and partials.size(UPLOAD) is None
    assert partials.everything() == []


def test_a_deferred_length_is_fixed_durably(tmp_path: Path, partials: PartialStore):
    deferred = partials.create(
        PartialUpload(**{**{f: getattr(UPLOAD, f) for f in UPLOAD.__struct_fields__}, "length": None})
    )
    partials.set_length(deferred, 10)
    again = PartialStore(tmp_path / "ingest" / "partial").get("pole-1", UPLOAD.id)
    assert again is not None and again.length == 10


@pytest.mark.parametrize("content", [b"", b"{", b'{"magic":"pole-agent/partial/v2"}'])
def test_an_announcement_of_another_version_or_a_damaged_one_is_unknown(partials: PartialStore, content: bytes):
    partials.create(UPLOAD)
    partials.part_path(UPLOAD).with_name(f"{UPLOAD.id}.json").write_bytes(content)
    assert partials.get("pole-1", UPLOAD.id) is None


def test_an_id_gives_back_segment_and_digest():
    assert parse_upload_id(UPLOAD.id) == (SEGMENT, "a" * 16)


@pytest.mark.parametrize(
    "name", ["", "..", f"../{UPLOAD.id}", f"{SEGMENT}~", f"{SEGMENT}~{'A' * 16}", f"a/b~{'a' * 16}"]
)
def test_a_name_that_is_no_id_never_becomes_a_path(name: str):
    assert parse_upload_id(name) is None


def test_directories_are_made_down_to_the_last(tmp_path: Path):
    make_directory(tmp_path / "a" / "b" / "c")
    make_directory(tmp_path / "a" / "b" / "c")
    assert (tmp_path / "a" / "b" / "c").is_dir()
