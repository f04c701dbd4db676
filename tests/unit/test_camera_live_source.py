"""A live input's own thread: a device that an earlier opening still holds is waited for, but not for ever."""

import itertools
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.video import make_clip

from agent.camera.av_input import AvInput, DeviceBusyError, InputRequest
from agent.camera.live_source import LiveSource
from agent.errors import SourceError


class Device:
    """A clip as a device that answers "busy" for the first `busy` openings."""

    def __init__(self, path: Path, busy: int) -> None:
        self._path = path
        self._busy = busy
        self.tried = threading.Event()
        self.attempts = 0

    def open(self) -> AvInput:
        self.attempts += 1
        self.tried.set()
        if self.attempts <= self._busy:
            raise DeviceBusyError("camera 7 cannot be opened: another program uses it; stop that program")
        return AvInput(InputRequest(f"file:{self._path}", "camera 7", 5.0))


@pytest.fixture
def clip(tmp_path: Path) -> Iterator[Path]:
    yield make_clip(tmp_path / "clip.mp4", seconds=2)


def test_a_device_that_is_let_go_of_is_opened(clip: Path) -> None:
    device = Device(clip, busy=2)
    source = LiveSource("camera 7", device.open, read_timeout_s=5, open_timeout_s=10)
    source.open()
    assert len(list(itertools.islice(source.frames(), 5))) == 5
    assert device.attempts == 3
    source.close()


def test_a_device_that_another_program_keeps_is_an_error_with_the_next_step(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.camera.live_source.BUSY_MARGIN_S", 0.0)
    source = LiveSource("camera 7", Device(clip, busy=1000).open, read_timeout_s=0.3, open_timeout_s=10)
    with pytest.raises(SourceError, match="another program uses it; stop that program"):
        source.open()


def test_close_ends_the_wait_for_a_busy_device(clip: Path) -> None:
    device = Device(clip, busy=1000)
    source = LiveSource("camera 7", device.open, read_timeout_s=60, open_timeout_s=60)

    def refused() -> None:
        with pytest.raises(SourceError):
            source.open()

    opening = threading.Thread(target=refused)
    opening.start()
    assert device.tried.wait(10)
    source.close()
    opening.join(10)
    assert not opening.is_alive()


def test_what_the_input_drops_is_counted_by_the_source(tmp_path: Path) -> None:
    # A transport stream joined in the middle of a group of pictures.
    path = make_clip(tmp_path / "clip.ts", seconds=4, gop=15)
    opened = AvInput(InputRequest(f"file:{path}", "clip", 5.0))
    position = next(itertools.islice((p for p in opened._packets() if p.size), 5, None)).pos
    opened.close()
    path.write_bytes(path.read_bytes()[position:])
    source = LiveSource("camera 7", Device(path, busy=0).open, read_timeout_s=5, open_timeout_s=10)
    source.open()
    next(source.frames())
    assert source.frames_dropped > 0
    source.close()
