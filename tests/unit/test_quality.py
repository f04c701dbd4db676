"""The legal floor is judged on frames that really arrived (R-QUALITY)."""

import pytest

from agent.recording.quality import FrameRate, below_legal


def rate_of(fps: float, seconds: int) -> FrameRate:
    rate = FrameRate()
    for second in range(seconds + 1):
        rate.add(float(second), int(second * fps))
    return rate


@pytest.mark.parametrize(("width", "height"), [(319, 240), (320, 239), (160, 120)])
def test_a_picture_below_the_floor_is_said_at_once(width: int, height: int) -> None:
    assert "is below 320x240" in below_legal(width, height, FrameRate())


def test_a_rate_below_the_floor_is_said_after_ten_seconds_not_before() -> None:
    assert below_legal(640, 480, rate_of(14, 9)) == ""
    assert "below 15" in below_legal(640, 480, rate_of(14, 10))


@pytest.mark.parametrize("fps", [15, 25, 30])
def test_a_legal_rate_is_no_fault(fps: int) -> None:
    assert below_legal(320, 240, rate_of(fps, 30)) == ""


def test_only_the_last_ten_seconds_count() -> None:
    rate = rate_of(30, 20)
    for second in range(21, 32):
        rate.add(float(second), 600 + (second - 20) * 5)
    assert below_legal(640, 480, rate) != ""


def test_a_counter_that_began_anew_is_no_negative_rate() -> None:
    rate = rate_of(30, 20)
    rate.add(21.0, 3)
    assert rate.fps == 0.0
    rate.clear()
    assert (rate.fps, rate.span_s) == (0.0, 0.0)
