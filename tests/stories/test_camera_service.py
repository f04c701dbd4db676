"""A whole camera service: the disk fills, the key is missing, the source comes and goes, and it keeps recording."""

import itertools
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.camera.frame_source import FrameSource
from agent.camera.synthetic_source import SyntheticFault, SyntheticSource
from agent.clock import SystemClock
from agent.config import CameraConfig, CenterConfig, Config, PoleConfig, SealingConfig, SpoolConfig
from agent.contract.age_format import generate_identity
from agent.contract.records import AnyRecord, BootRecord, GapRecord, SegmentRecord, decode_record
from agent.errors import SoundRefusedError
from agent.recording.spool import Spool
from agent.recording.spool_check import check_spool
from agent.status_file import ServiceStatus, read_status
from agent.wiring.camera import assemble, build_camera_service

SEGMENT_S = 0.5
PATIENCE_S = 30.0


class Pole:
    """One camera's service in this process, on a real spool with the real clock."""

    def __init__(self, root: Path, spool: Path | None = None, max_bytes: int = 1 << 30) -> None:
        self.root = root
        self.clock = SystemClock()
        self.recipients = root / "recipients"
        _, self.recipient = generate_identity()
        self.recipients.write_text(f"{self.recipient}\n")
        self.camera = CameraConfig("cam1", "M-1", "traffic", "v4l2", "", 320, 240, 15, SEGMENT_S, read_timeout_s=0.5)
        self.config = self._config(spool or root / "spool", max_bytes)
        self.source: Callable[[], FrameSource] = self.synthetic()

    def _config(self, spool: Path, max_bytes: int) -> Config:
        nowhere = self.root / "nowhere"
        return Config(
            PoleConfig("p1", "zone-1", "yeosu", 30),
            CenterConfig("https://center.invalid", "center.invalid", 8883, nowhere, nowhere, nowhere, ""),
            SealingConfig(self.recipients),
            SpoolConfig(spool, max_bytes, 0),
            (self.camera,),
            run_dir=self.root / "run",
            state_dir=self.root,
        )

    def synthetic(
        self, *faults: SyntheticFault, fps: int = 15, offers_sound: bool = False
    ) -> Callable[[], FrameSource]:
        source = SyntheticSource(
            self.clock, fps=fps, gop_s=0.5, read_timeout_s=0.5, faults=faults, offers_sound=offers_sound
        )
        return lambda: source

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run the service until the block ends; it must stop in order and in time."""
        (self.config.run_dir / "camera-cam1.json").unlink(missing_ok=True)
        supervisor = assemble(self.config, self.camera, self.source, self.clock)
        status: list[int] = []
        thread = threading.Thread(target=lambda: status.append(supervisor.run(catch_signals=False)))
        thread.start()
        try:
            yield
        finally:
            asked_mono_s = time.monotonic()
            supervisor.request_stop()
            thread.join(10)
        assert status == [0]
        assert time.monotonic() - asked_mono_s < 4

    def status(self) -> ServiceStatus | None:
        return read_status(self.config.run_dir, "camera-cam1")

    def faults(self) -> set[str]:
        status = self.status()
        return {fault.code for fault in status.faults} if status else set()

    def segments(self) -> int:
        status = self.status()
        return status.camera.segments if status and status.camera else 0

    def records(self) -> list[AnyRecord]:
        spool = Spool(self.config.spool, "p1", self.clock)
        found = [decode_record(body) for _, body in spool.records_after(0, 10_000)]
        spool.close()
        return found

    def causes(self) -> list[str]:
        return [record.cause for record in self.records() if isinstance(record, GapRecord)]

    def findings(self) -> list[str]:
        return [found.text for found in check_spool(self.config.spool.dir).findings]


def wait_until(condition: Callable[[], object], what: str) -> None:
    deadline_mono_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_mono_s, f"never came: {what}"
        threading.Event().wait(0.05)


def more_segments(pole: Pole, count: int = 1) -> None:
    wanted = pole.segments() + count
    wait_until(lambda: pole.segments() >= wanted, f"{count} more segments")


@pytest.fixture
def pole(tmp_path: Path) -> Pole:
    return Pole(tmp_path)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own that can fill up and become read-only."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", place], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_segments_meet_exactly_and_a_stop_seals_the_last_one(pole: Pole) -> None:
    with pole.running():
        more_segments(pole, 3)
    segments = [record for record in pole.records() if isinstance(record, SegmentRecord)]
    assert len(segments) >= 4
    assert all(a.end_us == b.start_us for a, b in itertools.pairwise(segments))
    assert pole.findings() == []


def test_a_check_of_a_spool_in_use_reports_nothing_false(pole: Pole) -> None:
    with pole.running():
        more_segments(pole)
        assert [pole.findings() for _ in range(40)] == [[]] * 40


def test_the_status_says_what_moves(pole: Pole) -> None:
    with pole.running():
        more_segments(pole, 2)
        status = pole.status()
    assert status is not None
    assert status.camera is not None
    assert status.camera.frames > 15
    assert status.camera.bytes_sealed > 0
    assert status.camera.sound_checked_at_us is not None
    assert status.faults == []
    stopped = pole.status()
    assert stopped is not None
    assert stopped.camera is not None
    assert stopped.camera.state == "stopped"


def test_an_orderly_pause_is_maintenance(pole: Pole) -> None:
    with pole.running():
        more_segments(pole)
    threading.Event().wait(0.3)
    with pole.running():
        more_segments(pole)
    boots = [record for record in pole.records() if isinstance(record, BootRecord)]
    assert [boot.clean for boot in boots] == [True, True]
    assert pole.causes()[-1] == "maintenance"
    assert pole.findings() == []


def test_a_source_that_ends_and_comes_back_is_a_gap_and_a_cleared_fault(pole: Pole) -> None:
    pole.source = pole.synthetic(SyntheticFault("end", 20), SyntheticFault("refuse-open"))
    with pole.running():
        wait_until(lambda: "camera-source-lost" in pole.faults(), "the fault")
        wait_until(lambda: pole.segments() >= 2 and not pole.faults(), "recording again")
        status = pole.status()
    assert status is not None
    assert status.camera is not None
    assert status.camera.reopened == 1
    assert "source" in pole.causes()
    assert pole.findings() == []


def test_a_clip_that_is_missing_and_then_appears_is_recorded(pole: Pole, tmp_path: Path) -> None:
    from support.video import make_clip

    clip = tmp_path / "clip.mp4"
    camera = CameraConfig("cam1", "M-1", "traffic", "replay", str(clip), 320, 240, 15, SEGMENT_S)
    config = Config(**{**vars(pole.config), "cameras": (camera,)})
    supervisor = build_camera_service(config, "cam1", pole.clock)
    thread = threading.Thread(target=supervisor.run, kwargs={"catch_signals": False})
    thread.start()
    try:
        wait_until(lambda: "camera-source-lost" in pole.faults(), "the fault")
        make_clip(tmp_path / "new.mp4").rename(clip)
        wait_until(lambda: pole.segments() and not pole.faults(), "recording")
    finally:
        supervisor.request_stop()
        thread.join(10)
    assert pole.causes()[0] == "source"
    assert pole.findings() == []


@pytest.mark.parametrize("broken", ["age1garbage\n", None])
def test_without_a_recipient_nothing_is_recorded_until_it_is_mended(pole: Pole, broken: str | None) -> None:
    pole.recipients.unlink() if broken is None else pole.recipients.write_text(broken)
    with pole.running():
        wait_until(lambda: "recipient-missing" in pole.faults(), "the fault")
        assert list((pole.config.spool.dir / "cam1").glob("*.*age")) == []
        pole.recipients.write_text(f"{pole.recipient}\n")
        wait_until(lambda: pole.segments() and "recipient-missing" not in pole.faults(), "recording")
    assert "no-key" in pole.causes()
    assert pole.findings() == []


def test_a_key_that_goes_while_recording_stops_it_at_the_next_segment(pole: Pole) -> None:
    with pole.running():
        more_segments(pole)
        pole.recipients.unlink()
        wait_until(lambda: "recipient-missing" in pole.faults(), "the fault")
        pole.recipients.write_text(f"{pole.recipient}\n")
        more_segments(pole, 2)
    assert pole.causes().count("no-key") == 1
    assert pole.findings() == []


def test_a_fallback_recipient_is_used_and_said(pole: Pole) -> None:
    pole.recipients.write_text(f"age1garbage\n{pole.recipient}\n")
    with pole.running():
        more_segments(pole)
        assert pole.faults() == {"recipient-fallback"}
        pole.recipients.write_text(f"{pole.recipient}\n")
        wait_until(lambda: not pole.faults(), "the fault cleared")


def test_a_camera_with_a_microphone_is_recorded_without_it_and_said(pole: Pole) -> None:
    pole.source = pole.synthetic(offers_sound=True)
    with pole.running():
        more_segments(pole)
        assert "source-has-sound" in pole.faults()
        status = pole.status()
    assert status is not None
    assert status.camera is not None
    assert status.camera.source_has_sound
    assert all(r.source_has_sound for r in pole.records() if isinstance(r, SegmentRecord))


def test_sound_at_the_guard_ends_recording_for_good(pole: Pole, monkeypatch: pytest.MonkeyPatch) -> None:
    class Deaf:
        def filter(self, data: bytes) -> bytes:
            raise SoundRefusedError("the init segment holds a sound track; nothing of it is recorded")

    monkeypatch.setattr("agent.wiring.camera.InitSegmentGuard", Deaf)
    with pole.running():
        wait_until(lambda: "sound-refused" in pole.faults(), "the fault")
    assert [r for r in pole.records() if isinstance(r, SegmentRecord)] == []
    assert pole.causes()[-1] == "sound"
    assert pole.findings() == []


@pytest.mark.slow
def test_a_slow_camera_is_below_the_legal_floor(pole: Pole) -> None:
    pole.source = pole.synthetic(fps=5)
    with pole.running():
        wait_until(lambda: "quality-below-legal" in pole.faults(), "the fault")


def test_a_full_disk_is_a_gap_and_a_fault_until_there_is_room(tmp_path: Path, small_disk: Path) -> None:
    pole = Pole(tmp_path, small_disk / "spool")
    with pole.running():
        more_segments(pole)
        ballast = small_disk / "ballast"
        fill(ballast)
        wait_until(lambda: pole.faults() & {"spool-full", "spool-evicting"}, "the fault")
        wait_until(lambda: "spool-full" in pole.faults(), "nothing left to evict")
        ballast.unlink()
        more_segments(pole, 2)
        wait_until(lambda: "spool-full" not in pole.faults(), "the fault cleared")
    assert "storage-full" in pole.causes()
    assert pole.findings() == []


def test_a_service_can_start_on_a_full_disk(tmp_path: Path, small_disk: Path) -> None:
    pole = Pole(tmp_path, small_disk / "spool")
    with pole.running():
        more_segments(pole)
    ballast = small_disk / "ballast"
    fill(ballast)
    with pole.running():
        wait_until(lambda: "spool-full" in pole.faults(), "the fault")
        ballast.unlink()
        wait_until(lambda: pole.segments() and "spool-full" not in pole.faults(), "recording")
    assert pole.findings() == []


def fill(path: Path) -> None:
    """Take the last byte of a file system."""
    with path.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12):
            try:
                while file.write(b"\0" * size) == size:
                    pass
            except OSError:
                continue


def test_a_directory_that_cannot_be_written_is_a_gap_and_is_recovered(pole: Pole) -> None:
    directory = pole.config.spool.dir / "cam1"
    with pole.running():
        more_segments(pole)
        # Root passes every permission bit; the immutable flag also stops root.
        blocked = subprocess.run(["chattr", "+i", directory], capture_output=True, text=True, check=False)
        if blocked.returncode != 0:
            pytest.skip(f"no immutable directory here: {blocked.stderr.strip()}")
        try:
            wait_until(lambda: "spool-unwritable" in pole.faults(), "the fault")
        finally:
            subprocess.run(["chattr", "-i", directory], check=True)
        more_segments(pole, 2)
        wait_until(lambda: not pole.faults(), "the fault cleared")
    assert "storage-error" in pole.causes()
    assert pole.findings() == []
