"""What every camera source must do, fake or real (agent/camera/frame_source.py); one suite over all of them."""

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from support.rtsp_server import RtspServer
from support.rtsp_server import available as rtsp_available
from support.video import make_clip, vtest_clip

from agent.camera.frame_source import EncodedFrame, FrameSource, VideoFormat
from agent.camera.replay_source import ReplaySource
from agent.camera.rtsp_source import RtspSource
from agent.camera.synthetic_source import SyntheticFault, SyntheticSource
from agent.clock import SystemClock
from agent.errors import SourceError

READ_TIMEOUT_S = 1.5


class HastyClock(SystemClock):
    """Real waiting, ten times as fast, for sources that make their own pace."""

    def mono_s(self) -> float:
        return 10 * super().mono_s()

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        return super().wait(event, timeout_s / 10)


@dataclass(frozen=True)
class Camera:
    """A source under test, what it must say of itself, and how to make it end."""

    source: FrameSource
    codec: str
    sound: bool
    passthrough: bool
    end: Callable[[], object] | None = None


@contextlib.contextmanager
def synthetic(_directory: Path, *, sound: bool = False) -> Iterator[Camera]:
    source = SyntheticSource(HastyClock(), offers_sound=sound, read_timeout_s=READ_TIMEOUT_S)
    yield Camera(source, "h264", sound, passthrough=True)


@contextlib.contextmanager
def synthetic_failing(_directory: Path, *, kind: str) -> Iterator[Camera]:
    faults = [SyntheticFault(kind, 12)]  # type: ignore[arg-type]
    source = SyntheticSource(HastyClock(), faults=faults, read_timeout_s=READ_TIMEOUT_S)
    yield Camera(source, "h264", False, passthrough=True, end=lambda: None)


@contextlib.contextmanager
def replay(directory: Path, *, suffix: str = ".mp4", loop: bool = True, **clip: object) -> Iterator[Camera]:
    path = make_clip(directory / f"clip{suffix}", seconds=2, **clip)  # type: ignore[arg-type]
    codec = str(clip.get("codec", "h264"))
    through = codec in ("h264", "hevc")
    source = ReplaySource(path, HastyClock(), loop=loop, read_timeout_s=READ_TIMEOUT_S)
    end = None if loop else lambda: None
    yield Camera(source, codec if through else "h264", bool(clip.get("sound")), through, end)


@contextlib.contextmanager
def vtest(directory: Path) -> Iterator[Camera]:
    path = vtest_clip(directory)
    if path is None:
        pytest.skip("opencv-doc is not installed")
    yield Camera(ReplaySource(path, HastyClock()), "h264", False, passthrough=False)


@contextlib.contextmanager
def rtsp(_directory: Path, *, end: str | None = None, codec: str = "h264", **server: str) -> Iterator[Camera]:
    if not rtsp_available():
        pytest.skip("gst-rtsp-server is not installed")
    with RtspServer(codec=codec, **server) as running:
        source = RtspSource(running.url, read_timeout_s=READ_TIMEOUT_S)
        ending = {"kill": running.kill, "freeze": running.freeze}.get(end or "")
        yield Camera(source, "h264", "sound" in server, codec == "h264", ending)


Maker = Callable[[Path], contextlib.AbstractContextManager[Camera]]


def case(name: str, maker: Callable[..., contextlib.AbstractContextManager[Camera]], **arguments: object) -> object:
    return pytest.param(lambda directory: maker(directory, **arguments), id=name)


LASTING = [
    case("synthetic", synthetic),
    case("synthetic that offers sound", synthetic, sound=True),
    case("replay h264", replay),
    case("replay h264 with sound", replay, sound=True),
    case("replay h264 with b-frames", replay, bframes=True),
    case("replay hevc", replay, codec="hevc"),
    case("replay mjpeg avi", replay, codec="mjpeg", suffix=".avi"),
    case("replay mpeg4 with sound", replay, codec="mpeg4", sound=True),
    case("replay vp8 mkv", replay, codec="vp8", suffix=".mkv"),
    case("replay h264 mpegts", replay, suffix=".ts", bframes=True),
    case("replay vtest", vtest),
    case("rtsp", rtsp),
    case("rtsp with aac sound", rtsp, sound="aac"),
    case("rtsp with pcmu sound", rtsp, sound="pcmu"),
    case("rtsp mjpeg", rtsp, codec="mjpeg"),
    case("rtsp with digest login", rtsp, user="viewer", password="secret-word", auth="digest"),
]
ENDING = [
    case("synthetic end", synthetic_failing, kind="end"),
    case("synthetic stall", synthetic_failing, kind="stall"),
    case("synthetic error", synthetic_failing, kind="error"),
    case("replay not looping", replay, loop=False),
    case("rtsp killed", rtsp, end="kill"),
    case("rtsp frozen", rtsp, end="freeze"),
]


@pytest.fixture
def camera(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Camera]:
    maker: Maker = request.param
    with maker(tmp_path) as made:
        yield made
        made.source.close()


lasting = pytest.mark.parametrize("camera", LASTING, indirect=True)
ending = pytest.mark.parametrize("camera", ENDING, indirect=True)


def first_frames(source: FrameSource, count: int) -> tuple[VideoFormat, list[EncodedFrame]]:
    video_format = source.open()
    return video_format, list(itertools.islice(source.frames(), count))


@lasting
def test_it_says_what_it_delivers(camera: Camera) -> None:
    said = camera.source.open()
    assert (said.codec, said.passthrough) == (camera.codec, camera.passthrough)
    assert said.width > 0 and said.height > 0 and said.width % 2 == said.height % 2 == 0
    assert 5 <= said.fps <= 30
    assert said.time_base > 0


@lasting
def test_its_first_frame_is_a_keyframe_and_times_rise(camera: Camera) -> None:
    _, frames = first_frames(camera.source, 25)
    assert frames[0].keyframe
    decoding = [frame.dts for frame in frames]
    assert decoding == sorted(set(decoding)) and decoding[0] >= 0
    assert all(frame.pts >= frame.dts for frame in frames)
    assert all(len(bytes(frame.payload)) > 0 for frame in frames)


@lasting
def test_a_group_of_pictures_lasts_at_most_two_seconds(camera: Camera) -> None:
    said, frames = first_frames(camera.source, 40)
    keys = [frame.pts * said.time_base for frame in frames if frame.keyframe]
    assert len(keys) >= 2
    assert all(later - earlier <= 2.01 for earlier, later in itertools.pairwise(keys))


@lasting
def test_it_reports_that_sound_is_there_and_delivers_none(camera: Camera) -> None:
    said, frames = first_frames(camera.source, 20)
    assert said.source_has_sound is camera.sound
    # Every frame is of the one video stream: a sound packet would have made the times fall back.
    assert len({frame.dts for frame in frames}) == 20


@lasting
def test_close_ends_frames_from_another_thread_within_two_seconds(camera: Camera) -> None:
    camera.source.open()
    ended = threading.Event()
    begun = threading.Event()

    def read() -> None:
        for _ in camera.source.frames():
            begun.set()
        ended.set()

    threading.Thread(target=read, daemon=True).start()
    assert begun.wait(5)
    closed_mono_s = time.monotonic()
    camera.source.close()
    camera.source.close()
    assert ended.wait(5)
    assert time.monotonic() - closed_mono_s < 2


@lasting
def test_it_can_be_opened_again_after_close(camera: Camera) -> None:
    first, _ = first_frames(camera.source, 3)
    camera.source.close()
    again, frames = first_frames(camera.source, 3)
    assert frames[0].keyframe
    assert replace(again, template=None) == replace(first, template=None)


@lasting
def test_frames_without_open_is_refused(camera: Camera) -> None:
    with pytest.raises(SourceError, match="open"):
        next(iter(camera.source.frames()))


@ending
def test_its_end_is_one_lower_case_sentence_within_the_read_timeout(camera: Camera) -> None:
    camera.source.open()
    frames = camera.source.frames()
    list(itertools.islice(frames, 10))
    assert camera.end is not None
    camera.end()
    with pytest.raises(SourceError) as caught:
        for _ in frames:
            stalled_mono_s = time.monotonic()
    assert time.monotonic() - stalled_mono_s < READ_TIMEOUT_S + 1
    text = str(caught.value)
    assert text == text.replace("\n", " ") and text[0].islower()
    assert any(word in text for word in ("ended", "sent no frame", "stopped sending"))


@pytest.mark.parametrize("camera", [case("frozen", rtsp, end="freeze")], indirect=True)
def test_close_does_not_wait_for_a_frozen_camera(camera: Camera) -> None:
    camera.source.open()
    frames = camera.source.frames()
    next(frames)
    assert camera.end is not None
    camera.end()
    closed_mono_s = time.monotonic()
    camera.source.close()
    assert list(frames) == []
    assert time.monotonic() - closed_mono_s < 1
