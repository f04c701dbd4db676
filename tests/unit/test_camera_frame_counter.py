"""The camera's numbers: only what moved counts."""

from fractions import Fraction

from agent.camera.frame_counter import FrameCounter
from agent.camera.frame_source import EncodedFrame, VideoFormat
from agent.clock import SimulatedClock

FORMAT = VideoFormat("h264", 640, 360, 15.0, Fraction(1, 1000), b"", True, True)


def feed(counter: FrameCounter, clock: SimulatedClock, seconds: int, fps: int, first_dts: int = 0) -> None:
    for number in range(seconds * fps):
        counter.count(EncodedFrame(b"", first_dts + number, first_dts + number, number == 0))
        clock.advance(1 / fps)
        if number % fps == 0:
            counter.fps()


def test_before_the_first_frame_there_is_no_age() -> None:
    reading = FrameCounter(SimulatedClock(), "rtsp").reading("starting")
    assert (reading.state, reading.source, reading.frames, reading.last_frame_age_s) == ("starting", "rtsp", 0, None)


def test_a_reading_holds_format_counts_and_sound() -> None:
    clock = SimulatedClock()
    counter = FrameCounter(clock, "replay")
    counter.opened(FORMAT)
    feed(counter, clock, 3, 15)
    clock.advance(4)
    reading = counter.reading("recording", frames_dropped=2)
    assert (reading.codec, reading.width, reading.height, reading.passthrough) == ("h264", 640, 360, True)
    assert (reading.frames, reading.frames_dropped, reading.source_has_sound, reading.reopened) == (45, 2, True, 0)
    assert reading.last_frame_age_s is not None and abs(reading.last_frame_age_s - 4 - 1 / 15) < 0.01


def test_fps_is_that_of_the_last_seconds_and_falls_to_zero_when_the_camera_stops() -> None:
    clock = SimulatedClock()
    counter = FrameCounter(clock, "replay")
    feed(counter, clock, 60, 15)
    assert abs(counter.fps() - 15) < 0.5
    for _ in range(15):
        clock.advance(1)
        counter.fps()
    assert counter.fps() == 0


def test_a_frame_with_a_stuck_time_does_not_count() -> None:
    counter = FrameCounter(SimulatedClock(), "replay")
    for _ in range(5):
        counter.count(EncodedFrame(b"", 7, 7, True))
    assert counter.frames == 1


def test_openings_after_the_first_are_counted() -> None:
    counter = FrameCounter(SimulatedClock(), "replay")
    for _ in range(3):
        counter.opened(FORMAT)
    assert counter.reading("recording").reopened == 2
