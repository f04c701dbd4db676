"""The spool's promises to the uploader and the recorder (docs/design/spool.md)."""

import shutil
import sqlite3
import threading
from pathlib import Path

import pytest

from agent.clock import SimulatedClock
from agent.config import SpoolConfig
from agent.contract.messages import ClockState
from agent.contract.records import DeletionRecord, GapRecord, SegmentRecord, TornRecord, decode_record
from agent.errors import SpoolError, SpoolFullError
from agent.recording.journal import SegmentHeader
from agent.recording.spool import Spool
from agent.recording.spool_check import check_spool

CAMERA = "cam1"
SEGMENT_US = 10_000_000


class Bench:
    """A spool with a clock and a camera that seals made-up bytes."""

    def __init__(self, directory: Path, max_bytes: int = 1 << 30) -> None:
        self.clock = SimulatedClock()
        self.config = SpoolConfig(directory, max_bytes, 0)
        self.start_us = self.clock.utc_us()
        self.next_us = self.start_us
        self.spool = self.reopen()

    def reopen(self) -> Spool:
        state = ClockState(synced=True, source="ntp", error_us=10)
        self.spool = Spool(self.config, "p1", self.clock, clock_state=lambda: state)
        self.spool.start_camera(CAMERA, self.start_us)
        return self.spool

    def header(self, camera: str = CAMERA) -> SegmentHeader:
        return SegmentHeader(
            camera=camera,
            management_number="M-1",
            purpose="traffic",
            start_us=self.next_us,
            recipient="ab" * 8,
            codec="h264",
            width=1920,
            height=1080,
            source_has_sound=False,
        )

    def seal(self, size: int = 1000, protected: list[tuple[int, int]] | None = None) -> SegmentRecord:
        opened = self.spool.begin(self.header(), expected_bytes=size, protected=protected or [])
        opened.write(b"x" * size)
        self.next_us += SEGMENT_US
        return opened.seal(self.next_us, 300)

    def findings(self) -> list[str]:
        return [found.text for found in check_spool(self.config.dir, wait=lambda _s: None).findings]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "spool")


def test_a_sealed_segment_is_a_file_a_row_and_a_record(bench: Bench) -> None:
    record = bench.seal()
    [spooled] = bench.spool.pending(10)
    assert spooled.path.read_bytes() == b"x" * 1000
    assert decode_record(spooled.record) == record
    assert bench.spool.records_after(0, 10) == [(0, spooled.record)]
    assert bench.spool.covered_until_us(CAMERA) == record.end_us
    assert bench.findings() == []


def test_windows_of_a_bell_go_first_then_the_newest(bench: Bench) -> None:
    names = [bench.seal().segment for _ in range(5)]
    window = (bench.start_us + SEGMENT_US, bench.start_us + 2 * SEGMENT_US)
    assert [s.segment for s in bench.spool.pending(3, [window])] == [names[1], names[4], names[3]]


def test_nothing_is_deleted_without_a_stored_receipt(bench: Bench) -> None:
    record = bench.seal()
    with pytest.raises(SpoolError, match="no stored receipt"):
        bench.spool.delete_receipted(record.segment)
    with pytest.raises(SpoolError, match="cannot take a receipt"):
        bench.spool.receipt(record.segment, "")
    assert bench.spool.pending(1)[0].path.exists()


def test_a_receipted_segment_leaves_with_a_record_that_names_the_receipt(bench: Bench) -> None:
    record = bench.seal()
    path = bench.spool.pending(1)[0].path
    bench.spool.receipt(record.segment, "note")
    bench.spool.receipt(record.segment, "note")
    assert bench.spool.pending(10) == []
    deletion = bench.spool.delete_receipted(record.segment)
    assert (deletion.ground, len(deletion.receipt_sha256)) == ("receipt", 64)
    assert not path.exists()
    assert bench.spool.totals()._replace(held_bytes=-1) == (1, 0, 1, 1, 0, 0, -1)
    assert bench.findings() == []


def test_a_torn_segment_reaches_only_as_far_as_its_journal_promised(bench: Bench) -> None:
    opened = bench.spool.begin(bench.header())
    opened.write(b"y" * 500)
    opened.progress(bench.start_us + 2_000_000, 60)
    opened.write(b"y" * 500)
    opened.abandon()
    [torn] = bench.spool.recover(CAMERA)
    assert isinstance(torn, TornRecord)
    assert (torn.end_us - torn.start_us, torn.frames, torn.bytes) == (2_000_000, 60, 1000)
    assert bench.spool.recover(CAMERA) == []
    assert bench.findings() == []


def test_a_part_that_promised_nothing_is_removed(bench: Bench) -> None:
    bench.spool.begin(bench.header()).abandon()
    assert bench.spool.recover(CAMERA) == []
    assert [path.name for path in (bench.config.dir / CAMERA).iterdir()] == [".lock"]


def test_names_never_come_again_after_a_restart(bench: Bench) -> None:
    first = bench.seal().segment
    bench.spool.begin(bench.header()).abandon()
    bench.spool.close()
    bench.reopen().recover(CAMERA)
    second = bench.seal().segment
    assert int(second[-10:]) > int(first[-10:]) + 1


def test_a_record_that_would_leave_a_hole_is_refused(bench: Bench) -> None:
    stamp = bench.spool.stamp()
    late_us = bench.start_us + 1
    with pytest.raises(SpoolError, match="record the gap"):
        bench.spool.append_record(GapRecord(**stamp, camera=CAMERA, start_us=late_us, end_us=late_us, cause="source"))
    with pytest.raises(SpoolError, match="before it begins"):
        gap = GapRecord(**stamp, camera=CAMERA, start_us=bench.start_us, end_us=bench.start_us - 1, cause="source")
        bench.spool.append_record(gap)
    assert bench.spool.records_after(0, 10) == []


def test_a_full_spool_first_gives_up_what_the_center_holds(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "spool", max_bytes=3000)
    names = [bench.seal().segment for _ in range(3)]
    bench.spool.receipt(names[2], "note")
    bench.seal()
    assert {s.segment for s in bench.spool.pending(10)} >= set(names[:2])
    assert bench.spool.reading().evicted == 0


def test_a_full_spool_evicts_the_oldest_outside_every_bell_window(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "spool", max_bytes=3000)
    names = [bench.seal().segment for _ in range(3)]
    newest = bench.seal(protected=[(bench.start_us, bench.start_us + 1)]).segment
    assert [s.segment for s in bench.spool.pending(10)] == [newest, names[2], names[0]]
    assert bench.spool.reading().evicted == 1
    last = decode_record(bench.spool.records_after(3, 1)[0][1])
    assert isinstance(last, DeletionRecord)
    assert (last.segment, last.ground) == (names[1], "storage-full")
    assert bench.findings() == []


def test_rather_no_recording_than_no_evidence(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "spool", max_bytes=3000)
    names = [bench.seal().segment for _ in range(3)]
    with pytest.raises(SpoolFullError, match="nothing may be removed"):
        bench.seal(protected=[(bench.start_us, bench.next_us)])
    assert len(bench.spool.pending(10)) == len(names)


def test_retention_removes_everything_older_and_forgets_only_sent_records(bench: Bench) -> None:
    for _ in range(3):
        bench.seal()
    bench.spool.sight(bench.start_us)
    bench.seal()
    bench.spool.acknowledge_records(2)
    assert bench.spool.expire(bench.start_us) == []
    gone = bench.spool.expire(bench.start_us + 3 * SEGMENT_US + 1)
    assert [record.ground for record in gone] == ["expired"] * 3
    assert [index for index, _ in bench.spool.records_after(0, 20)] == [2, 3, 4, 5, 6]
    bench.spool.acknowledge_records(7)
    bench.spool.expire(bench.start_us + 30 * SEGMENT_US)
    bench.clock.advance(3600)
    bench.seal()
    assert bench.findings() == []


def test_two_processes_cannot_record_one_camera(bench: Bench) -> None:
    with pytest.raises(SpoolError, match="another process"):
        Spool(bench.config, "p1", bench.clock).start_camera(CAMERA, bench.start_us)


def test_several_writers_number_the_records_without_holes(bench: Bench) -> None:
    def write(name: str) -> None:
        spool = Spool(bench.config, "p1", bench.clock)
        for number in range(20):
            start_us, end_us = bench.start_us + number, bench.start_us + number + 1
            spool.append_record(
                GapRecord(**spool.stamp(), camera=name, start_us=start_us, end_us=end_us, cause="source")
            )
        spool.close()

    threads = [threading.Thread(target=write, args=(f"other{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [index for index, _ in bench.spool.records_after(0, 1000)] == list(range(80))
    assert bench.findings() == []


def test_a_file_that_nobody_knows_is_set_aside_not_deleted(bench: Bench) -> None:
    record = bench.seal()
    known = bench.config.dir / CAMERA / f"{record.segment}.mp4.age"
    stranger = known.with_name(record.segment[:-10] + "0000000099.mp4.age")
    shutil.copyfile(known, stranger)
    assert bench.findings() == ["the index has no row of this file"]
    bench.spool.recover(CAMERA)
    assert (bench.config.dir / "quarantine" / stranger.name).exists()
    assert bench.spool.reading().quarantined == 1


def test_a_row_that_lost_its_file_is_said_for_ever(bench: Bench) -> None:
    record = bench.seal()
    bench.spool.pending(1)[0].path.unlink()
    assert bench.findings() == ["its file is missing"]
    bench.spool.recover(CAMERA)
    assert bench.spool.pending(10) == []
    assert bench.findings() == ["is in quarantine: its file is missing"]
    assert bench.spool.reading().quarantined == 1
    assert record.segment in check_spool(bench.config.dir, wait=lambda _s: None).as_text()


def test_a_quarantined_segment_is_kept_and_no_longer_offered(bench: Bench) -> None:
    record = bench.seal()
    path = bench.spool.pending(1)[0].path
    bench.spool.quarantine(record.segment, "digest-mismatch")
    assert bench.spool.pending(10) == []
    assert path.exists()
    with pytest.raises(SpoolError, match="quarantined"):
        bench.spool.receipt(record.segment, "note")


@pytest.mark.parametrize(
    ("sql", "finding"),
    [
        ("UPDATE record SET idx=9 WHERE idx=1", "a hole"),
        ("UPDATE record SET body=CAST('{}' AS BLOB) WHERE idx=1", "does not describe it"),
        ("UPDATE record SET end_us=end_us-5 WHERE idx=0", "a hole of 5 us"),
        ("UPDATE record SET end_us=end_us+5 WHERE idx=0", "an overlap of 5 us"),
        ("UPDATE camera SET covered_until_us=0", "is said to be covered"),
        ("UPDATE tally SET value=7 WHERE name='held_bytes'", "counted are"),
        ("DELETE FROM segment WHERE record_idx=1", "neither a row nor a deletion"),
        ("UPDATE segment SET sha256='00' WHERE record_idx=1", "is damaged"),
    ],
)
def test_the_check_sees_each_broken_invariant(bench: Bench, sql: str, finding: str) -> None:
    bench.seal()
    bench.seal()
    bench.spool.close()
    database = sqlite3.connect(bench.config.dir / "index.sqlite")
    database.execute(sql)
    database.commit()
    database.close()
    assert any(finding in text for text in bench.findings())


def test_a_segment_without_its_record_is_not_sent_but_said(bench: Bench) -> None:
    bench.seal()
    database = sqlite3.connect(bench.config.dir / "index.sqlite")
    database.execute("DELETE FROM record")
    database.commit()
    database.close()
    with pytest.raises(SpoolError, match="pole-agent verify"):
        bench.spool.pending(1)


def test_a_flipped_bit_in_a_file_is_found(bench: Bench) -> None:
    bench.seal()
    path = bench.spool.pending(1)[0].path
    data = bytearray(path.read_bytes())
    data[500] ^= 1
    path.write_bytes(data)
    assert any("is damaged" in text for text in bench.findings())


def test_an_open_segment_of_a_living_process_is_no_finding(bench: Bench) -> None:
    opened = bench.spool.begin(bench.header())
    opened.write(b"z" * 10)
    assert bench.findings() == []
    bench.spool.close()
    assert any("was left by a crash" in text for text in bench.findings())


def test_checking_a_directory_that_is_no_spool_is_said(tmp_path: Path) -> None:
    with pytest.raises(SpoolError, match="there is no spool"):
        check_spool(tmp_path)


def test_a_spool_whose_place_is_a_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("")
    with pytest.raises(SpoolError, match="cannot be opened"):
        Spool(SpoolConfig(tmp_path / "spool", 1, 0), "p1", SimulatedClock())


def test_a_spool_keeps_its_log_id_and_one_that_is_made_anew_has_another(tmp_path: Path):
    first = Bench(tmp_path / "disk")
    named = first.spool.log_id()
    first.spool.close()
    assert len(named) == 32 and first.reopen().log_id() == named
    assert Bench(tmp_path / "new-disk").spool.log_id() != named


def test_a_spool_older_than_log_ids_keeps_the_log_that_the_center_knows(tmp_path: Path):
    old = Bench(tmp_path / "disk")
    old.seal()
    old.spool.close()
    with sqlite3.connect(tmp_path / "disk" / "index.sqlite") as db:
        db.execute("DROP TABLE log")
    db.close()
    assert old.reopen().log_id() == ""
    assert old.spool.records_after(0, 10)
