"""The queue between a camera's thread and the recorder, with streams drawn as strings."""

import threading
import time

import pytest

from agent.camera.frame_queue import FrameQueue
from agent.camera.frame_source import EncodedFrame
from agent.errors import SourceError


def put(queue: FrameQueue, stream: str, size: int = 1) -> None:
    for number, letter in enumerate(stream):
        queue.put(EncodedFrame(letter, number, number, letter == "I"), size)


def taken(queue: FrameQueue, count: int) -> str:
    frames = [queue.get(0, "camera") for _ in range(count)]
    return "".join(frame.payload for frame in frames if frame is not None)


def rest(queue: FrameQueue) -> str:
    queue.fail(SourceError("the end"))
    out = ""
    with pytest.raises(SourceError, match="the end"):
        while True:
            out += taken(queue, 1)
    return out


def test_frames_before_the_first_keyframe_are_dropped_and_counted() -> None:
    queue = FrameQueue()
    put(queue, "PPIP")
    assert (rest(queue), queue.frames_dropped) == ("IP", 2)


def test_a_full_queue_drops_the_rest_of_the_group_up_to_the_next_keyframe() -> None:
    queue = FrameQueue(max_frames=3)
    put(queue, "IPPPP")
    assert taken(queue, 3) == "IPP"
    put(queue, "PPIP")
    assert (rest(queue), queue.frames_dropped) == ("IP", 4)


def test_a_keyframe_that_finds_no_room_takes_its_group_with_it() -> None:
    queue = FrameQueue(max_frames=3)
    put(queue, "IPPIPP")
    assert taken(queue, 3) == "IPP"
    put(queue, "PIP")
    assert (rest(queue), queue.frames_dropped) == ("IP", 4)


def test_bytes_are_bounded_too() -> None:
    queue = FrameQueue(max_bytes=25)
    put(queue, "IPPP", size=10)
    assert (taken(queue, 2), queue.frames_dropped) == ("IP", 2)
    put(queue, "IP", size=10)
    assert rest(queue) == "IP"


def test_an_error_comes_after_the_frames_before_it_and_the_first_one_stays() -> None:
    queue = FrameQueue()
    put(queue, "IP")
    queue.fail(SourceError("first"))
    queue.fail(SourceError("second"))
    put(queue, "I")
    assert taken(queue, 2) == "IP"
    with pytest.raises(SourceError, match="first"):
        queue.get(0, "camera")


def test_silence_names_the_camera_and_the_time() -> None:
    with pytest.raises(SourceError, match=r"camera 7 sent no frame for 0\.05 s; check power and cable"):
        FrameQueue().get(0.05, "camera 7")


def test_a_frame_that_wakes_nobody_is_there_within_a_nap() -> None:
    queue = FrameQueue()
    put(queue, "I")
    got: list[EncodedFrame | None] = []
    reader = threading.Thread(target=lambda: got.extend(queue.get(10, "camera") for _ in "IP"))
    reader.start()
    put(queue, "P")
    reader.join(20)
    assert [frame and frame.payload for frame in got] == ["I", "P"]


def test_close_wakes_the_reader_at_once_and_drops_what_is_queued() -> None:
    queue = FrameQueue()
    got: list[object] = []
    reader = threading.Thread(target=lambda: got.append(queue.get(30, "camera")))
    reader.start()
    began_s = time.monotonic()
    queue.close()
    reader.join(5)
    put(queue, "IP")
    assert got == [None] and time.monotonic() - began_s < 2
    assert queue.closed and queue.get(0, "camera") is None
