"""The board's camera over a small imitation of picamera2 (0.3.38): its calls, its threads, its failures."""

import itertools
import sys
import threading
from types import ModuleType
from typing import Any

import pytest

from agent.camera.picamera2_source import EncoderKind, Picamera2Source
from agent.errors import SoundRefusedError, SourceError


class Output:
    def __init__(self, pts: object = None) -> None:
        self.recording = False


class Encoder:
    audio = False

    def __init__(self, **asked: Any) -> None:
        self.asked = asked


class H264Encoder(Encoder):
    pass


class LibavH264Encoder(Encoder):
    pass


class Picamera2:
    """Delivers `frames` frames from a thread of its own when recording starts, then nothing."""

    cameras = 1
    frames = 40
    sound = False
    last: "Picamera2"

    def __init__(self, number: int) -> None:
        if number >= self.cameras:
            raise IndexError("list index out of range")
        Picamera2.last = self
        self.closed = False
        self.recording = False

    def create_video_configuration(self, **asked: Any) -> dict[str, Any]:
        return asked

    def configure(self, configuration: dict[str, Any]) -> None:
        self.configuration = configuration

    def start_recording(self, encoder: Encoder, output: Any) -> None:
        self.encoder = encoder
        self.recording = True
        threading.Thread(target=self._deliver, args=(output,)).start()

    def _deliver(self, output: Any) -> None:
        for number in range(self.frames):
            output.outputframe(b"nal%d" % number, number % 10 == 0, number * 66_667, None, self.sound and number == 5)

    def stop_recording(self) -> None:
        if not self.recording:
            raise RuntimeError("not recording")
        self.recording = False

    def close(self) -> None:
        self.closed = True


@pytest.fixture(autouse=True)
def picamera2(monkeypatch: pytest.MonkeyPatch) -> None:
    names: dict[str, dict[str, Any]] = {
        "picamera2": {"Picamera2": Picamera2},
        "picamera2.encoders": {},
        "picamera2.encoders.h264_encoder": {"H264Encoder": H264Encoder},
        "picamera2.encoders.libav_h264_encoder": {"LibavH264Encoder": LibavH264Encoder},
        "picamera2.outputs": {"Output": Output},
    }
    for name, content in names.items():
        module = ModuleType(name)
        module.__dict__.update(content)
        monkeypatch.setitem(sys.modules, name, module)


def source(encoder: EncoderKind = "libav", number: int = 0) -> Picamera2Source:
    return Picamera2Source(number, 1281, 720, 15, bitrate_kbps=2000, read_timeout_s=0.2, encoder=encoder)


def test_frames_carry_the_encoders_times_in_microseconds() -> None:
    camera = source()
    said = camera.open()
    assert (said.width, said.height, said.time_base.denominator, said.source_has_sound) == (1280, 720, 1_000_000, False)
    frames = list(itertools.islice(camera.frames(), 40))
    assert [frame.dts for frame in frames] == [number * 66_667 for number in range(40)]
    assert frames[0].keyframe and frames[0].payload == b"nal0"
    camera.close()
    assert Picamera2.last.closed


@pytest.mark.parametrize(("kind", "made"), [("libav", LibavH264Encoder), ("v4l2", H264Encoder)])
def test_the_encoder_is_the_chosen_one_with_headers_repeated(kind: EncoderKind, made: type) -> None:
    camera = source(kind)
    camera.open()
    encoder = Picamera2.last.encoder
    assert type(encoder) is made
    assert encoder.asked == {"bitrate": 2_000_000, "repeat": True, "iperiod": 30, "framerate": 15}
    camera.close()


def test_an_encoder_that_would_take_sound_is_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LibavH264Encoder, "audio", True)
    with pytest.raises(SoundRefusedError):
        source().open()
    assert not Picamera2.last.recording and Picamera2.last.closed


def test_a_sound_frame_stops_the_source_and_is_not_delivered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Picamera2, "sound", True)
    camera = source()
    camera.open()
    seen: list[bytes] = []
    with pytest.raises(SoundRefusedError):
        seen.extend(frame.payload for frame in camera.frames())
    assert b"nal5" not in seen
    camera.close()


def test_a_silent_encoder_is_a_source_error() -> None:
    camera = source()
    camera.open()
    with pytest.raises(SourceError, match=r"sent no frame for 0\.2 s"):
        list(camera.frames())
    camera.close()


def test_a_slow_recorder_loses_whole_groups_and_they_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Picamera2, "frames", 300)
    camera = source()
    camera.open()
    while camera.frames_dropped < 60:
        threading.Event().wait(0.01)
    assert len(list(itertools.islice(camera.frames(), 240))) == 240
    camera.close()


def test_a_missing_camera_names_the_ribbon_cable() -> None:
    with pytest.raises(SourceError, match="check the ribbon cable"):
        source(number=3).open()


def test_without_picamera2_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "picamera2", None)
    with pytest.raises(SourceError, match="python3-picamera2"):
        source().open()
