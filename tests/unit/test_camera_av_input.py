"""Files and devices that cannot be used: one clear sentence each, and what is broken inside is survived."""

import itertools
import sys
from pathlib import Path

import pytest
from support.video import make_clip

from agent.camera.av_input import AvInput, InputRequest
from agent.camera.replay_source import ReplaySource
from agent.camera.v4l2_source import V4l2Source
from agent.clock import SimulatedClock
from agent.errors import SourceError


def opening_error(path: Path) -> str:
    with pytest.raises(SourceError) as caught:
        ReplaySource(path, SimulatedClock()).open()
    assert caught.value.__cause__ is None
    return str(caught.value)


def test_a_missing_clip_is_named_with_the_next_step(tmp_path: Path) -> None:
    path = tmp_path / "gone.mp4"
    assert opening_error(path) == f"clip {path} cannot be opened: there is no such file or device; check the address"


@pytest.mark.parametrize("content", [b"", b"no video at all" * 100, bytes(4096)])
def test_a_corrupt_clip_says_that_it_is_no_video(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "broken.mp4"
    path.write_bytes(content)
    assert "check the file or the encoder" in opening_error(path)


def test_a_directory_is_not_a_clip(tmp_path: Path) -> None:
    assert "directory" in opening_error(tmp_path)


def test_a_file_of_sound_only_holds_no_video(tmp_path: Path) -> None:
    from subprocess import run

    path = tmp_path / "voice.wav"
    run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "sine", "-t", "1", str(path)], check=True)
    assert "holds no video stream" in opening_error(path)


def test_a_clip_cut_off_in_the_middle_ends_with_a_source_error(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.ts", seconds=3)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2 + 77])
    source = ReplaySource(path, SimulatedClock(), paced=False, loop=False)
    source.open()
    frames = source.frames()
    with pytest.raises(SourceError, match=r"ended|stopped sending"):
        for _ in frames:
            pass


def test_damaged_pictures_of_a_transcoded_clip_are_survived(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.avi", seconds=3, codec="mjpeg")
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = b"\xff" * 3000
    path.write_bytes(data)
    source = ReplaySource(path, SimulatedClock(), paced=False)
    source.open()
    assert len(list(itertools.islice(source.frames(), 60))) == 60
    source.close()


def test_what_precedes_the_first_keyframe_is_dropped_and_counted(tmp_path: Path) -> None:
    # A transport stream joined in the middle of a group of pictures: 15 frames a group, the first 5 cut away.
    path = make_clip(tmp_path / "clip.ts", seconds=4, gop=15)
    opened = AvInput(InputRequest(f"file:{path}", "clip", 5.0))
    video = [packet for packet in opened._packets() if packet.size]
    opened.close()
    position = video[5].pos
    path.write_bytes(path.read_bytes()[position:])
    joined = AvInput(InputRequest(f"file:{path}", "clip", 5.0))
    frames = list(joined.frames())
    joined.close()
    assert frames[0].keyframe and joined.frames_dropped > 0
    assert len(frames) + joined.frames_dropped <= 55


def test_a_missing_device_names_the_plug(tmp_path: Path) -> None:
    source = V4l2Source(tmp_path / "video9", 640, 480, 15, read_timeout_s=0.5)
    with pytest.raises(SourceError, match="is not there; check the plug"):
        source.open()


def test_a_file_that_is_no_camera_is_refused_as_one(tmp_path: Path) -> None:
    device = tmp_path / "video0"
    device.write_bytes(b"no device")
    with pytest.raises(SourceError, match="cannot be opened"):
        V4l2Source(device, 640, 480, 15, read_timeout_s=0.5).open()


def test_passthrough_imports_neither_the_encoder_nor_numpy(tmp_path: Path) -> None:
    import subprocess

    path = make_clip(tmp_path / "clip.mp4", sound=True)
    script = (
        "import sys; from pathlib import Path; from agent.camera.replay_source import ReplaySource;"
        "from agent.clock import SystemClock; import agent.camera.rtsp_source, agent.camera.v4l2_source;"
        "import agent.camera.picamera2_source;"
        f"s = ReplaySource(Path({str(path)!r}), SystemClock(), paced=False); s.open(); next(s.frames());"
        "print('numpy' in sys.modules, 'agent.camera.av_encoder' in sys.modules, 'picamera2' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    assert done.stdout == "False False False\n"
