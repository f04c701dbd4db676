"""R-AUDIO (PIPA 25(5)): sound is never set up, never demuxed, and no container with sound leaves a byte."""

import ast
import itertools
import struct
import subprocess
from pathlib import Path

import pytest
from support.rtsp_server import SDP_SOUND, SDP_VIDEO, RtspServer, ScriptedRtsp, available, reply
from support.video import make_clip, probe

from agent.camera.no_audio_guard import InitSegmentGuard, check_init_segment, refuse_unless_video, sound_streams
from agent.camera.replay_source import ReplaySource
from agent.camera.rtsp_source import RtspSource
from agent.clock import SimulatedClock
from agent.errors import SoundRefusedError, SourceError
from agent.recording.av_muxer import AvMuxer
from agent.recording.segmenter import Segmenter

AGENT = Path(__file__).parents[2] / "agent"


def box(kind: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def full(kind: bytes, *content: bytes) -> bytes:
    return box(kind, bytes(4), *content)


def track(handler: bytes = b"vide", entry: bytes = b"avc1", header: bytes = b"vmhd", copies: int = 1) -> bytes:
    entries = struct.pack(">I", copies) + box(entry, bytes(78)) * copies
    table = box(b"stbl", full(b"stsd", entries))
    media = box(
        b"mdia",
        full(b"mdhd", bytes(20)),
        full(b"hdlr", bytes(4), handler, bytes(13)),
        box(b"minf", full(header), table),
    )
    return box(b"trak", full(b"tkhd", bytes(80)), media)


def init_segment(*tracks: bytes) -> bytes:
    return box(b"ftyp", b"iso5", bytes(4)) + box(b"moov", full(b"mvhd", bytes(96)), *tracks)


def fragmented(path: Path, *maps: str) -> bytes:
    """Return ffmpeg's own fragmented copy of a clip with the mapped streams."""
    out = path.with_name("fragmented.mp4")
    chosen = [part for name in maps for part in ("-map", name)]
    command = ["ffmpeg", "-v", "error", "-y", "-i", str(path), *chosen, "-c", "copy"]
    subprocess.run([*command, "-movflags", "frag_keyframe+empty_moov+default_base_moof", str(out)], check=True)
    return out.read_bytes()


VIDEO_ONLY = init_segment(track())
REFUSED = {
    "a sound track beside the video": init_segment(track(), track(b"soun", b"mp4a", b"smhd")),
    "a sound track alone": init_segment(track(b"soun", b"mp4a", b"smhd")),
    "a sound handler in a video track": init_segment(track(b"soun")),
    "a sound header in a video track": init_segment(track(header=b"smhd")),
    "a sound entry in a video track": init_segment(track(entry=b"mp4a")),
    "an unknown entry": init_segment(track(entry=b"wxyz")),
    "two sample entries": init_segment(track(copies=2)),
    "two video tracks": init_segment(track(), track()),
    "no track": init_segment(),
    "no sample description": init_segment(box(b"trak", box(b"mdia", full(b"hdlr", bytes(4), b"vide", bytes(13))))),
    "a subtitle track": init_segment(track(b"text", b"tx3g", b"nmhd")),
    "a sound track hidden behind a box that overruns": init_segment(track()[:-4] + track(b"soun", b"mp4a", b"smhd")),
}


@pytest.mark.parametrize("init", REFUSED.values(), ids=REFUSED.keys())
def test_a_container_that_is_not_one_video_track_leaves_no_byte(init: bytes) -> None:
    guard = InitSegmentGuard()
    passed = b""
    with pytest.raises(SoundRefusedError):
        for start in range(0, len(init), 100):
            passed += guard.filter(init[start : start + 100])
    assert passed == b"" and not guard.passed


def test_one_video_track_passes() -> None:
    check_init_segment(VIDEO_ONLY)


@pytest.mark.parametrize("size", [1, 7, 64, 100_000])
def test_the_guard_holds_everything_back_until_the_moov_is_whole(size: int) -> None:
    guard = InitSegmentGuard()
    stream = VIDEO_ONLY + box(b"moof", b"x" * 50)
    passed = b""
    for start in range(0, len(stream), size):
        piece = guard.filter(stream[start : start + size])
        assert not piece or start + size >= len(VIDEO_ONLY)
        passed += piece
    assert passed == stream


@pytest.mark.parametrize(
    "start", [box(b"mdat", b"voice" * 9), box(b"moof", bytes(40)), bytes(40), box(b"ftyp", bytes(2 << 20))]
)
def test_bytes_that_do_not_start_with_the_init_segment_are_refused(start: bytes) -> None:
    with pytest.raises(SoundRefusedError):
        InitSegmentGuard().filter(start)


@pytest.mark.parametrize("maps", [("0:v", "0:a"), ("0:a",), ("0:a", "0:v")])
def test_a_real_file_with_sound_is_refused(maps: tuple[str, ...], tmp_path: Path) -> None:
    data = fragmented(make_clip(tmp_path / "clip.mp4", sound=True), *maps)
    with pytest.raises(SoundRefusedError):
        InitSegmentGuard().filter(data)


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_a_real_file_without_sound_passes(codec: str, tmp_path: Path) -> None:
    data = fragmented(make_clip(tmp_path / "clip.mp4", sound=True, codec=codec), "0:v")
    assert InitSegmentGuard().filter(data) == data


def test_only_video_may_be_demuxed() -> None:
    refuse_unless_video("video")
    for kind in ("audio", "data", "subtitle", "attachment"):
        with pytest.raises(SoundRefusedError, match=kind):
            refuse_unless_video(kind)


def test_streams_of_sound_are_counted() -> None:
    assert sound_streams(["video", "audio", "data", "audio"]) == 2


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".avi"])
def test_a_clip_with_sound_is_recorded_without_it_and_reported(suffix: str, tmp_path: Path) -> None:
    source = ReplaySource(make_clip(tmp_path / f"clip{suffix}", sound=True), SimulatedClock(), paced=False, loop=False)
    out = tmp_path / "out.mp4"
    said = source.open()
    assert said.source_has_sound
    _record(source, said, out)
    assert [stream["codec_type"] for stream in probe(out)["streams"]] == ["video"]


@pytest.mark.skipif(not available(), reason="gst-rtsp-server is not installed")
@pytest.mark.parametrize("sound", ["aac", "pcmu"])
def test_a_camera_with_a_microphone_is_recorded_without_it_and_reported(sound: str, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    with RtspServer(sound=sound) as camera:
        source = RtspSource(camera.url)
        said = source.open()
        assert said.source_has_sound
        _record(source, said, out, most=40)
        source.close()
    assert [stream["codec_type"] for stream in probe(out)["streams"]] == ["video"]


def test_no_sound_track_is_set_up_at_a_camera_that_offers_one() -> None:
    setup = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\nSession: 1"
    answers = {
        "OPTIONS": [reply("200 OK", "Public: DESCRIBE, SETUP, PLAY")],
        "DESCRIBE": [reply("200 OK", body=SDP_VIDEO + SDP_SOUND)],
        "SETUP": [reply("200 OK", setup)],
        "PLAY": [reply("200 OK", "Session: 1")],
    }
    with ScriptedRtsp(answers) as camera, pytest.raises(SourceError):
        RtspSource(camera.url, read_timeout_s=1).open()  # it plays nothing, so opening times out
    asked = [request.split(" ")[1] for request in camera.requests if request.startswith("SETUP")]
    assert asked and all(url.endswith("trackV") for url in asked)


def test_the_source_never_demuxes_without_naming_a_stream() -> None:
    calls = [call for path in AGENT.rglob("*.py") for call in _calls(path, "demux")]
    assert calls and all(call.args for call in calls)


def test_nothing_in_the_agent_opens_a_sound_device_or_adds_a_sound_stream() -> None:
    words = ("/dev/snd", "alsa", "pulse", "sounddevice", "pyaudio", "libopus", "pcm_")
    for path in AGENT.rglob("*.py"):
        for text in _strings_and_imports(path):
            assert not any(word in text.lower() for word in words), f"{path}: {text}"


def _record(source: ReplaySource | RtspSource, said: object, out: Path, most: int = 1000) -> None:
    with out.open("wb") as file:

        class Sink:
            write = file.write

            def fragment_complete(self, end_pts_us: int, frames: int) -> None: ...

            def close(self, end_pts_us: int, frames: int) -> None: ...

        segmenter = Segmenter(said, lambda _start: Sink(), 1000, AvMuxer, InitSegmentGuard)  # type: ignore[arg-type]
        try:
            for frame in itertools.islice(source.frames(), most):
                segmenter.feed(frame)
        except SourceError as exc:
            assert "ended" in str(exc)
        segmenter.finish()


def _calls(path: Path, method: str) -> list[ast.Call]:
    found = ast.walk(ast.parse(path.read_text()))
    return [n for n in found if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute) and n.func.attr == method]


def _strings_and_imports(path: Path) -> list[str]:
    """Return every string of the code that is no docstring, and every imported name."""
    tree = ast.parse(path.read_text())
    docs = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant)}
    strings = [
        n.value
        for n in ast.walk(tree)
        if isinstance(n, ast.Constant) and isinstance(n.value, str) and id(n) not in docs
    ]
    imports = [a.name for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom) for a in n.names]
    return strings + imports
