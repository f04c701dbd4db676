"""A disk that stalls costs whole groups of pictures, counted and said; a file waits instead."""

from agent.camera.frame_source import EncodedFrame
from agent.recording.recorder_queue import Arrived, Lost, RecorderQueue


def picture(number: int) -> EncodedFrame | Arrived:
    frame = EncodedFrame(b"", number, number, number % 5 == 0)
    return Arrived(frame, number) if frame.keyframe else frame


def numbers(items: list[object]) -> list[int | str]:
    return [
        item.detail if isinstance(item, Lost) else item.frame.pts if isinstance(item, Arrived) else item.pts
        for item in items
        if isinstance(item, Lost | Arrived | EncodedFrame)
    ]


def test_a_full_queue_drops_up_to_a_keyframe_that_finds_room() -> None:
    queue = RecorderQueue(8)
    for number in range(12):
        queue.put(picture(number))
    assert numbers(list(queue.take(0))) == [0, 1, 2, 3, 4, 5, 6, 7]
    for number in range(12, 17):
        queue.put(picture(number))
    assert queue.frames_dropped == 7
    assert numbers(list(queue.take(0))) == ["7 frames dropped: the disk was too slow", 15, 16]


def test_the_notice_of_a_drop_says_that_the_frames_come_from_the_same_opening() -> None:
    queue = RecorderQueue(1)
    for number in range(3):
        queue.put(picture(number))
    queue.take(0)
    queue.put(picture(5))
    notice = queue.take(0)[0]
    assert isinstance(notice, Lost)
    assert (notice.cause, notice.follows) == ("storage-error", True)


def test_a_source_that_can_wait_loses_nothing() -> None:
    queue = RecorderQueue(4, may_wait=True)
    assert [queue.put(picture(number)) for number in range(6)] == [True] * 4 + [False] * 2
    assert queue.frames_dropped == 0
    assert numbers(list(queue.take(0))) == [0, 1, 2, 3]
    assert queue.put(picture(4))
