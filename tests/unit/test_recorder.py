"""The recorder on simulated time: what it records when clocks, source and disk misbehave (no thread, no waiting)."""

import itertools
from collections.abc import Iterator
from errno import EIO, ENOSPC
from pathlib import Path
from typing import NoReturn

import pytest
from msgspec.structs import replace

from agent.camera.no_audio_guard import InitSegmentGuard
from agent.camera.synthetic_source import SyntheticFault, SyntheticSource
from agent.clock import SimulatedClock
from agent.config import SpoolConfig
from agent.contract.age_format import generate_identity
from agent.contract.records import BootRecord, GapRecord, SegmentRecord, TornRecord, decode_record
from agent.errors import SourceError
from agent.fault_board import FaultBoard
from agent.recording.av_muxer import AvMuxer
from agent.recording.recipients import RecipientsFile
from agent.recording.recorder import RecordedCamera, Recorder, RecorderPorts
from agent.recording.recorder_queue import Arrived, Lost, Opened, RecorderQueue
from agent.recording.segmenter import MuxerFactory, Segmenter
from agent.recording.spool import Spool
from agent.recording.spool_check import check_spool

FPS = 15
FILLER = b"\0\0\0\1\x0c" + b"\xff" * 16_000 + b"\x80"  # H.264 filler data, so that sealed chunks fill within a second
SEGMENT_S = 4.0


class Studio:
    """A recorder, its spool and a camera whose frames take simulated time; `step` may raise at a named step."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clock = SimulatedClock()
        (root / "recipients").write_text(f"{generate_identity()[1]}\n")
        self.errors: dict[str, OSError] = {}
        self.faults = FaultBoard(self.clock)
        self.muxer: MuxerFactory = AvMuxer
        self.boot_id = "boot-1"
        self.begin_run()

    def begin_run(self) -> None:
        self.queue = RecorderQueue(10_000)
        ports = RecorderPorts(
            open_spool=self._open_spool,
            recipients=RecipientsFile(self.root / "recipients"),
            make_segmenter=lambda video, begin: Segmenter(video, begin, SEGMENT_S, self.muxer, InitSegmentGuard),
            protected_windows=list,
            boot_id=lambda: self.boot_id,
            refuse_sound=lambda error: None,
            reopen_source=lambda: None,
        )
        camera = RecordedCamera("cam1", "M-1", "traffic", 1 << 16)
        self.recorder = Recorder(camera, self.queue, ports, self.faults, self.clock)

    def _open_spool(self) -> Spool:
        self.spool = Spool(SpoolConfig(self.root / "spool", 1 << 30, 0), "p1", self.clock, self._step)
        return self.spool

    def die(self) -> None:
        """End the run as a killed process does: files as they are, locks gone."""
        self.spool.close()

    def _step(self, name: str) -> None:
        if name in self.errors:
            raise self.errors[name]

    def open(self, *faults: SyntheticFault) -> Iterator[None]:
        """Open a camera; each `next` delivers one frame and lets its time pass."""
        source = SyntheticSource(self.clock, fps=FPS, gop_s=1.0, paced=False, faults=faults)
        self.queue.tell(Opened(source.open()))
        try:
            for drawn in source.frames():
                frame = replace(drawn, payload=drawn.payload + FILLER)
                self.queue.put(Arrived(frame, self.clock.utc_us()) if frame.keyframe else frame)
                self.recorder.run_once()
                self.clock.advance(1 / FPS)
                yield
        except SourceError as error:
            self.queue.tell(Lost("source", str(error)))
            self.recorder.run_once()

    def film(self, seconds: float, frames: Iterator[None] | None = None) -> Iterator[None]:
        frames = frames or self.open()
        for _ in range(round(seconds * FPS)):
            next(frames, None)
        return frames

    def pass_time(self, seconds: int) -> None:
        for _ in range(seconds):
            self.clock.advance(1)
            self.queue.tell(Lost("source", "still away"))
            self.recorder.run_once()

    def records(self) -> list[SegmentRecord | TornRecord | GapRecord]:
        spool = Spool(SpoolConfig(self.root / "spool", 1 << 30, 0), "p1", self.clock)
        found = [decode_record(body) for _, body in spool.records_after(0, 1000)]
        spool.close()
        return [record for record in found if isinstance(record, SegmentRecord | TornRecord | GapRecord)]

    def gaps(self) -> list[tuple[str, int]]:
        """Return (cause, whole seconds) of each gap of half a second or more (a stop leaves one of milliseconds)."""
        return [
            (record.cause, round((record.end_us - record.start_us) / 1_000_000))
            for record in self.records()
            if isinstance(record, GapRecord) and record.end_us - record.start_us >= 500_000
        ]

    def open_files(self) -> list[str]:
        """Return the parts and journals that this process holds open."""
        held = [str(entry.readlink()) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]
        held = [name.removesuffix(" (deleted)") for name in held]  # recovery may have unlinked it
        mine = [name for name in held if name.startswith(str(self.root))]
        return [name for name in mine if name.endswith((".part", ".journal"))]

    def assert_whole(self) -> None:
        assert check_spool(self.root / "spool", wait=lambda _s: None).findings == ()
        records = self.records()
        assert all(a.end_us == b.start_us for a, b in itertools.pairwise(records))


@pytest.fixture
def studio(tmp_path: Path) -> Studio:
    return Studio(tmp_path)


def test_a_clock_set_back_leaves_neither_hole_nor_overlap(studio: Studio) -> None:
    frames = studio.film(6)
    studio.clock.step_utc(-3600)
    studio.film(10, frames)
    studio.recorder.stop()
    assert studio.gaps() == []
    studio.assert_whole()


def test_a_clock_set_ahead_is_a_gap_of_that_length(studio: Studio) -> None:
    frames = studio.film(6)
    studio.clock.step_utc(600)
    studio.film(10, frames)
    studio.recorder.stop()
    assert studio.gaps() == [("source", 600)]
    studio.assert_whole()


@pytest.mark.parametrize("kind", ["jump-ahead", "jump-back"])
def test_a_camera_whose_own_time_jumps_is_followed_by_our_clock(studio: Studio, kind: str) -> None:
    fault = SyntheticFault("jump-ahead" if kind == "jump-ahead" else "jump-back", 45)
    studio.film(12, studio.open(fault))
    studio.recorder.stop()
    assert sum(seconds for _, seconds in studio.gaps()) <= 1
    studio.assert_whole()


def test_a_camera_that_stays_away_is_recorded_minute_by_minute(studio: Studio) -> None:
    studio.film(8, studio.open(SyntheticFault("end", 60)))
    studio.pass_time(150)
    assert [gap for gap in studio.gaps() if gap[1] > 1] == [("source", 60), ("source", 60)]
    studio.film(5)
    studio.recorder.stop()
    assert {cause for cause, _ in studio.gaps()} == {"source"}
    studio.assert_whole()


@pytest.mark.parametrize(("boot_id", "cause"), [("boot-1", "restart"), ("boot-2", "power")])
def test_a_run_that_did_not_end_in_order_is_named_by_its_boot(studio: Studio, boot_id: str, cause: str) -> None:
    studio.film(6)
    studio.die()
    studio.boot_id = boot_id
    studio.clock.advance(30)
    studio.begin_run()
    studio.film(6)
    studio.recorder.stop()
    assert [gap[0] for gap in studio.gaps() if gap[1] > 1] == [cause]
    studio.assert_whole()


def test_frames_dropped_for_a_slow_disk_are_a_gap_of_storage(studio: Studio) -> None:
    frames = studio.film(5)
    studio.queue.tell(Lost("storage-error", "45 frames dropped: the disk was too slow", follows=True))
    studio.recorder.run_once()
    studio.clock.advance(3)
    studio.film(5, frames)
    studio.recorder.stop()
    assert [gap[0] for gap in studio.gaps() if gap[1] > 1] == ["storage-error"]
    studio.assert_whole()


@pytest.mark.parametrize(("error", "cause"), [(EIO, "storage-error"), (ENOSPC, "storage-full")])
@pytest.mark.parametrize("step", ["create-journal", "progress-part", "seal-part", "seal-renamed"])
def test_a_disk_error_at_any_step_is_a_gap_and_then_recording_again(
    studio: Studio, step: str, error: int, cause: str
) -> None:
    frames = studio.film(5)
    studio.errors[step] = OSError(error, "injected")
    studio.film(5, frames)
    assert {fault.code for fault in studio.faults.standing()} == {
        "spool-full" if error == ENOSPC else "spool-unwritable"
    }
    assert len(studio.open_files()) <= 2, "an attempt that failed left its files open"
    studio.errors.clear()
    studio.film(50, frames)
    studio.recorder.stop()
    assert studio.open_files() == []
    assert studio.faults.standing() == []
    assert cause in {gap[0] for gap in studio.gaps()}
    assert isinstance(studio.records()[-1], SegmentRecord | GapRecord)
    studio.assert_whole()


def test_a_segment_that_no_muxer_takes_over_is_closed(studio: Studio) -> None:
    def refuse(*_: object) -> NoReturn:
        raise SourceError("the muxer cannot be made; install another PyAV")

    studio.muxer = refuse
    frames = studio.film(3)
    assert studio.open_files() == [] and not studio.recorder.recording
    studio.muxer = AvMuxer
    studio.film(10, frames)
    studio.recorder.stop()
    studio.assert_whole()


def test_frames_between_a_jump_and_the_next_keyframe_are_counted(studio: Studio) -> None:
    jump = 2 * FPS + 5
    drawn = SyntheticSource(SimulatedClock(), fps=FPS, gop_s=1.0, paced=False)
    drawn.open()
    keyframes = [number for number, frame in zip(range(60), drawn.frames(), strict=False) if frame.keyframe]
    studio.film(6, studio.open(SyntheticFault("jump-back", jump)))
    studio.recorder.stop()
    assert studio.recorder.frames_dropped == min(number for number in keyframes if number >= jump) - jump > 0


def test_each_start_is_a_boot_record(studio: Studio) -> None:
    studio.film(1)
    studio.recorder.stop()
    studio.begin_run()
    studio.film(1)
    spool = Spool(SpoolConfig(studio.root / "spool", 1 << 30, 0), "p1", studio.clock)
    boots = [decode_record(body) for _, body in spool.records_after(0, 100)]
    spool.close()
    assert [boot.clean for boot in boots if isinstance(boot, BootRecord)] == [True, True]
