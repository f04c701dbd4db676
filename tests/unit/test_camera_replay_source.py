"""A clip keeps a camera's pace and its times go on over the loop."""

import itertools
from pathlib import Path

import pytest
from support.video import make_clip

from agent.camera.pacing import NAP_S
from agent.camera.replay_source import ReplaySource
from agent.clock import SimulatedClock


def test_paced_frames_come_no_earlier_than_their_time_and_a_nap_later_at_most(tmp_path: Path) -> None:
    clock = SimulatedClock()
    source = ReplaySource(make_clip(tmp_path / "clip.mp4", seconds=2), clock)
    said = source.open()
    start_s = clock.mono_s()
    times = set()
    for frame in itertools.islice(source.frames(), 60):
        late_s = clock.mono_s() - start_s - float(frame.dts * said.time_base)
        assert -1e-6 <= late_s <= NAP_S + 1e-6
        times.add(clock.mono_s())
    assert len(times) <= 60 / 15 / NAP_S + 1, "one wake a nap, not one a frame"
    source.close()


def test_unpaced_frames_take_no_time_of_the_clock(tmp_path: Path) -> None:
    clock = SimulatedClock()
    source = ReplaySource(make_clip(tmp_path / "clip.mp4", seconds=2), clock, paced=False)
    source.open()
    start_s = clock.mono_s()
    assert len(list(itertools.islice(source.frames(), 100))) == 100
    assert clock.mono_s() == start_s
    source.close()


@pytest.mark.parametrize("clip", [{}, {"bframes": True}, {"codec": "mpeg4"}, {"sound": True}])
def test_times_step_evenly_over_the_loop(clip: dict[str, object], tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mp4", seconds=2, **clip)  # type: ignore[arg-type]
    source = ReplaySource(path, SimulatedClock(), paced=False)
    said = source.open()
    frames = list(itertools.islice(source.frames(), 100))
    shown_s = sorted(float(frame.pts * said.time_base) for frame in frames[:90])
    steps = [later - earlier for earlier, later in itertools.pairwise(shown_s)]
    assert all(abs(step - 1 / 15) < 0.002 for step in steps)
    assert [number for number, frame in enumerate(frames) if frame.keyframe and number % 30 == 0] == [0, 30, 60, 90]
    source.close()


def test_a_name_with_a_colon_is_a_file(tmp_path: Path) -> None:
    source = ReplaySource(make_clip(tmp_path / "http:clip.mp4"), SimulatedClock())
    assert source.open().codec == "h264"
    source.close()
