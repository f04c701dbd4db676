"""The recorder killed with SIGKILL at each numbered step of docs/design/spool.md, and at random (NUMBERS N9)."""

import io
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import pytest

from agent.contract.age_format import TornFileError, generate_identity, open_age, parse_identity
from agent.contract.records import GapRecord, SegmentRecord, TornRecord, decode_record
from agent.recording.spool_check import check_spool
from agent.recording.spool_index import SpoolIndex
from tests.crash.recording_child import CAMERA, FPS, GOP_S, SEGMENT_S

CHILD = Path(__file__).with_name("recording_child.py")
START_US = 1_790_000_000_000_000
SYNC_S = 2.0
CREATE = ["create-part", "create-journal", "create-synced"]
PROGRESS = ["progress-part", "progress-journal"]
SEAL = ["seal-part", "seal-journal", "seal-renamed", "seal-synced", "seal-committed", "seal-done"]
DELETE = ["delete-intent", "delete-unlinked", "delete-synced", "delete-committed"]
RECOVER = ["recover-renamed", "recover-synced", "recover-committed", "recover-unlinked"]


class Pole:
    """One spool on disk and the processes that come and go on it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.spool = root / "spool"
        self.secret, public = generate_identity()
        (root / "recipients").write_text(f"{public}\n")
        self.utc_us = START_US
        self.boots = 0
        self.lost_us = 0

    def command(self, **words: object) -> list[str]:
        base = {
            "spool": str(self.spool),
            "recipient": str(self.root / "recipients"),
            "utc_us": self.utc_us,
            "boot_id": f"boot-{self.boots}",
            "frames": 0,
            "fed": str(self.root / "fed"),
        }
        return [sys.executable, str(CHILD), json.dumps(base | words)]

    def run(self, **words: object) -> int:
        """Run a child to its end; its clock goes on where the last one's stood, 30 s later, in another boot."""
        done = subprocess.run(self.command(**words), capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
        self.note_end(done.returncode)
        return done.returncode

    def note_end(self, status: int) -> None:
        fed = self.root / "fed"
        if fed.exists() and fed.stat().st_size:
            fed_until_us = int(fed.read_text())
            if status != 0:
                recorded_until_us = max(self.utc_us, self.footage_until_us(fed_until_us))
                self.lost_us = max(self.lost_us, fed_until_us - recorded_until_us)
            self.utc_us = fed_until_us
            fed.unlink()
        self.utc_us += 30_000_000
        self.boots += 1

    def footage_until_us(self, fed_until_us: int) -> int:
        """Until when footage survives: what is in the index, or promised by a journal that recovery will find."""
        ends = [record.end_us for record in self.records() if not isinstance(record, GapRecord)]
        for journal in (self.spool / CAMERA).glob("*.journal"):
            for line in journal.read_text().splitlines()[1:]:
                entry = json.loads(line)
                ends.append(json.loads(entry["record"])["end_us"] if "record" in entry else entry["end_us"])
        begun = [record.start_us for record in self.records()] or [fed_until_us]
        return max(ends, default=min(begun))

    def records(self) -> list[SegmentRecord | TornRecord | GapRecord]:
        if not (self.spool / "index.sqlite").exists():
            return []
        index = SpoolIndex(self.spool / "index.sqlite")
        found = [decode_record(row[0]) for row in index.rows("SELECT body FROM record ORDER BY idx")]
        index.close()
        return [record for record in found if isinstance(record, SegmentRecord | TornRecord | GapRecord)]

    def findings(self) -> list[str]:
        return [f"{found.invariant} {found.subject}: {found.text}" for found in check_spool(self.spool).findings]

    def opened(self, path: Path) -> tuple[bytes, bool]:
        """Return (clear bytes, whether the file is torn)."""
        clear = bytearray()
        with path.open("rb") as file:
            reader = open_age(file, [parse_identity(self.secret)])
            try:
                while piece := reader.read(1 << 16):
                    clear += piece
            except TornFileError:
                return bytes(clear), True
        return bytes(clear), False

    def check_videos(self) -> None:
        """Sealed files open whole, torn ones hold at least the frames that their record promises."""
        for record in self.records():
            if isinstance(record, GapRecord):
                continue
            torn = isinstance(record, TornRecord)
            path = self.spool / CAMERA / f"{record.segment}{'.torn' if torn else ''}.mp4.age"
            if not path.exists():
                continue  # deleted on its receipt
            clear, is_torn = self.opened(path)
            assert torn or not is_torn, record.segment
            frames = count_frames(clear)
            assert frames >= record.frames if torn else frames == record.frames, record.segment


def count_frames(clear: bytes) -> int:
    """Decode a video as far as it goes."""
    frames = 0
    with av.open(io.BytesIO(clear)) as container:
        try:
            for _frame in container.decode(video=0):
                frames += 1
        except av.FFmpegError:
            pass
    return frames


@pytest.fixture
def pole(tmp_path: Path) -> Pole:
    return Pole(tmp_path)


def assert_whole_again(pole: Pole) -> None:
    assert pole.run(frames=int(FPS * 8)) == 0
    assert pole.findings() == []
    pole.check_videos()
    assert pole.lost_us <= (GOP_S + SYNC_S + 2 / FPS) * 1_000_000


@pytest.mark.parametrize("step", CREATE + PROGRESS + SEAL)
def test_a_kill_while_recording_loses_at_most_a_gop_and_two_seconds(pole: Pole, step: str) -> None:
    assert pole.run(kill=step, kill_at=2) == -signal.SIGKILL
    assert_whole_again(pole)


@pytest.mark.parametrize("step", DELETE)
def test_a_kill_while_deleting_is_finished_by_the_next_start(pole: Pole, step: str) -> None:
    assert pole.run(kill=step, kill_at=2, delete=True) == -signal.SIGKILL
    assert_whole_again(pole)


@pytest.mark.parametrize("step", ["delete-intent", "delete-unlinked"])
def test_a_kill_while_room_is_made_is_finished_by_the_next_start(pole: Pole, step: str) -> None:
    assert pole.run(kill=step, kill_at=2, max_bytes=5 << 20, expected_bytes=2 << 20) == -signal.SIGKILL
    assert_whole_again(pole)


@pytest.mark.parametrize("first", ["progress-journal", "seal-journal"])
@pytest.mark.parametrize("step", RECOVER)
def test_a_kill_while_recovering_is_recovered_again(pole: Pole, first: str, step: str) -> None:
    assert pole.run(kill=first, kill_at=3) == -signal.SIGKILL
    pole.run(kill=step, frames=int(FPS * SEGMENT_S))
    assert_whole_again(pole)


def test_a_torn_segment_is_stated_until_the_last_instant_that_was_promised(pole: Pole) -> None:
    pole.run(kill="progress-journal", kill_at=2)
    pole.run(frames=1)
    torn = [record for record in pole.records() if isinstance(record, TornRecord)]
    assert len(torn) == 1
    after = [record for record in pole.records() if record.start_us == torn[0].end_us]
    assert [record.cause for record in after if isinstance(record, GapRecord)] == ["power"]


def test_the_age_tool_opens_every_sealed_file_after_a_crash(pole: Pole, tmp_path: Path) -> None:
    if shutil.which("age") is None:
        pytest.skip("the age tool is not installed")
    pole.run(kill="seal-renamed", kill_at=3)
    pole.run(frames=FPS)
    (tmp_path / "key").write_text(pole.secret)
    files = sorted((pole.spool / CAMERA).glob("*[0-9].mp4.age"))
    assert len(files) >= 3
    for path in files:
        subprocess.run(["age", "-d", "-i", tmp_path / "key", "-o", tmp_path / "clear.mp4", path], check=True)
        assert count_frames((tmp_path / "clear.mp4").read_bytes()) > 0


def kill_at_random(pole: Pole, kills: int, seed: int) -> None:
    chance = random.Random(seed)
    for number in range(kills):
        command = pole.command(delete=number % 3 == 0, max_bytes=8 << 20, expected_bytes=2 << 20)
        with subprocess.Popen(command, stderr=subprocess.PIPE) as child:
            wait_for(pole.root / "fed", child)
            time.sleep(chance.uniform(0, 0.25))
            child.send_signal(signal.SIGKILL)
            assert child.stderr is not None
            complaint = child.stderr.read().decode()
        assert child.returncode == -signal.SIGKILL, complaint
        pole.note_end(child.returncode)
    assert_whole_again(pole)


def wait_for(path: Path, child: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 30
    while not (path.exists() and path.stat().st_size) and child.poll() is None:
        assert time.monotonic() < deadline, "the child never fed a frame"
        time.sleep(0.005)


def test_thirty_kills_at_random_leave_nothing_corrupt_or_unaccounted(pole: Pole) -> None:
    kill_at_random(pole, 30, seed=20)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_thousand_kills_at_random_leave_nothing_corrupt_or_unaccounted(pole: Pole) -> None:
    kill_at_random(pole, 1000, seed=21)
