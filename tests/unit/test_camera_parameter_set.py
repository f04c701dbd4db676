"""A camera that changes its picture format in mid-stream is noticed at the keyframe."""

from pathlib import Path

import pytest
from support.video import make_clip

from agent.camera.parameter_set import sequence_parameter_set
from agent.camera.replay_source import ReplaySource
from agent.clock import SimulatedClock
from agent.errors import SourceError

SPS, PPS, SLICE = b"\x67\x42\xc0\x15", b"\x68\xce\x3c\x80", b"\x65\x88\x84" * 30
LONG, SHORT = b"\0\0\0\1", b"\0\0\1"


@pytest.mark.parametrize("start", [LONG, SHORT])
@pytest.mark.parametrize("before", [b"", b"\x09\x10"])
def test_the_sps_is_found_behind_either_start_code(start: bytes, before: bytes) -> None:
    units = [unit for unit in (before, SPS, PPS, SLICE) if unit]
    assert sequence_parameter_set(b"".join(start + unit for unit in units), "h264") == SPS


def test_the_hevc_sps_is_unit_33() -> None:
    assert (
        sequence_parameter_set(LONG + b"\x40\x01v" + LONG + b"\x42\x01s" + LONG + b"\x44\x01p", "hevc") == b"\x42\x01s"
    )


@pytest.mark.parametrize("head", [b"", LONG, LONG + SLICE, LONG + SPS, b"\0\0\0\x04" + SPS + b"\0\0\0\x04" + PPS])
def test_without_a_whole_sps_in_annex_b_there_is_no_answer(head: bytes) -> None:
    assert sequence_parameter_set(head, "h264") is None


def test_another_picture_size_in_mid_stream_ends_the_source(tmp_path: Path) -> None:
    small = make_clip(tmp_path / "small.ts", seconds=2).read_bytes()
    large = make_clip(tmp_path / "large.ts", seconds=2, size="640x480").read_bytes()
    both = tmp_path / "both.ts"
    both.write_bytes(small + large)
    source = ReplaySource(both, SimulatedClock(), paced=False, loop=False)
    said = source.open()
    seen = 0
    with pytest.raises(SourceError, match="changed its video format; it is reopened"):
        for _ in source.frames():
            seen += 1
    assert (said.width, seen) == (320, 30)
