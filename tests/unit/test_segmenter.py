"""Segmenter policy, with streams drawn as strings: I keyframe, P delta, one character a frame of 0.5 s."""

import itertools
from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.camera.frame_source import EncodedFrame, VideoFormat
from agent.errors import SoundRefusedError
from agent.recording.segmenter import Segmenter, SegmentStart, pts_us

TICKS = 500
FORMAT = VideoFormat("h264", 320, 240, 2.0, Fraction(1, 1000), b"", False, True)


class ListMuxer:
    """Puts a group of pictures out when the next keyframe comes, as the real muxer does; one byte a frame."""

    def __init__(self, _format: VideoFormat, output: Callable[[bytes], object]) -> None:
        self._output = output
        self._held = b""
        self.frames_out = 0
        self.abandoned = False
        output(b"init")

    def write(self, frame: EncodedFrame) -> None:
        if frame.keyframe:
            self._flush()
        self._held += frame.payload

    def close(self) -> None:
        self._flush()

    def abandon(self) -> None:
        self.abandoned = True

    def _flush(self) -> None:
        if self._held:
            self._output(self._held)
            self.frames_out += len(self._held)
            self._held = b""


class OpenGuard:
    def filter(self, data: bytes) -> bytes:
        return data


class SoundGuard:
    def filter(self, data: bytes) -> bytes:
        raise SoundRefusedError("the container has a track of handler soun")


class ListSink:
    def __init__(self, start: SegmentStart) -> None:
        self.start_us = start.start_pts_us
        self.data = b""
        self.fragments: list[tuple[int, int]] = []
        self.end: tuple[int, int] | None = None

    def write(self, data: bytes) -> None:
        assert self.end is None, "bytes after close"
        self.data += data

    def fragment_complete(self, end_pts_us: int, frames: int) -> None:
        assert len(self.data) - len(b"init") >= frames, "reported before its bytes were written"
        self.fragments.append((end_pts_us, frames))

    def close(self, end_pts_us: int, frames: int) -> None:
        assert self.end is None, "closed twice"
        self.end = (end_pts_us, frames)


class Bench:
    """A segmenter with list sinks; `draw` feeds a picture of a stream from `dts` on."""

    def __init__(self, segment_s: float = 2.0, guard: Callable[[], OpenGuard] = OpenGuard) -> None:
        self.sinks: list[ListSink] = []
        self.dts = 0
        self.segmenter = Segmenter(FORMAT, self._open, segment_s, ListMuxer, guard)

    def _open(self, start: SegmentStart) -> ListSink:
        self.sinks.append(ListSink(start))
        return self.sinks[-1]

    def draw(self, stream: str) -> "Bench":
        for letter in stream:
            payload = letter.encode()
            self.segmenter.feed(EncodedFrame(payload, self.dts, self.dts, letter == "I", TICKS))
            self.dts += TICKS
        return self

    def jump(self, ticks: int) -> "Bench":
        self.dts += ticks
        return self

    def contents(self) -> list[str]:
        return [sink.data.decode().removeprefix("init") for sink in self.sinks]

    def spans(self) -> list[tuple[int, int]]:
        return [(sink.start_us, sink.end[0] if sink.end else -1) for sink in self.sinks]


def test_a_segment_is_cut_at_the_first_keyframe_at_or_after_its_length() -> None:
    bench = Bench(segment_s=2.0).draw("IPIPIPIPIPP")
    bench.segmenter.finish()
    assert bench.contents() == ["IPIP", "IPIP", "IPP"]


def test_a_long_group_of_pictures_makes_the_segment_longer_never_torn() -> None:
    bench = Bench(segment_s=1.0).draw("IPPPPPIP")
    bench.segmenter.finish()
    assert bench.contents() == ["IPPPPP", "IP"]


def test_consecutive_segments_meet_exactly() -> None:
    bench = Bench(segment_s=1.0).draw("IPIPIP")
    bench.segmenter.finish()
    assert bench.spans() == [(0, 1_000_000), (1_000_000, 2_000_000), (2_000_000, 3_000_000)]


def test_frames_before_the_first_keyframe_are_dropped_and_counted() -> None:
    bench = Bench().draw("PPPIP")
    bench.segmenter.finish()
    assert bench.contents() == ["IP"]
    assert bench.segmenter.frames_dropped == 3


def test_a_fragment_is_reported_when_the_next_keyframe_is_fed() -> None:
    bench = Bench(segment_s=60).draw("IPP")
    assert bench.sinks[0].fragments == []
    bench.draw("I")
    assert bench.sinks[0].fragments == [(1_500_000, 3)]
    bench.draw("PI")
    assert bench.sinks[0].fragments == [(1_500_000, 3), (2_500_000, 5)]


def test_the_end_of_the_last_fragment_is_the_last_frames_end() -> None:
    bench = Bench(segment_s=60).draw("IPIP")
    bench.segmenter.finish()
    assert bench.sinks[0].fragments[-1] == (2_000_000, 4)
    assert bench.sinks[0].end == (2_000_000, 4)


def test_a_jump_forwards_ends_the_segment_at_its_last_frame_and_leaves_the_hole_open() -> None:
    bench = Bench(segment_s=60).draw("IPIP").jump(10_000).draw("IP")
    bench.segmenter.finish()
    assert bench.spans() == [(0, 2_000_000), (12_000_000, 13_000_000)]


def test_a_jump_backwards_ends_the_segment() -> None:
    bench = Bench(segment_s=60).jump(60_000).draw("IP").jump(-30_000).draw("IP")
    bench.segmenter.finish()
    assert bench.contents() == ["IP", "IP"]


def test_a_pause_of_two_seconds_is_not_a_jump() -> None:
    bench = Bench(segment_s=60).draw("IP").jump(1_500).draw("P")
    bench.segmenter.finish()
    assert bench.contents() == ["IPP"]


def test_after_a_jump_on_a_delta_nothing_is_recorded_until_a_keyframe() -> None:
    bench = Bench(segment_s=60).draw("IP").jump(10_000).draw("PPIP")
    bench.segmenter.finish()
    assert bench.contents() == ["IP", "IP"]
    assert bench.segmenter.frames_dropped == 2


def test_a_refused_container_leaves_no_byte_and_no_close() -> None:
    bench = Bench(guard=SoundGuard)
    with pytest.raises(SoundRefusedError):
        bench.draw("IPI")
    bench.segmenter.abandon()
    bench.segmenter.finish()
    assert bench.contents() == [""]
    assert bench.sinks[0].end is None


def test_after_abandon_the_next_keyframe_opens_a_new_segment() -> None:
    bench = Bench().draw("IP")
    bench.segmenter.abandon()
    bench.draw("PIP")
    bench.segmenter.finish()
    assert bench.contents() == ["", "IP"]
    assert bench.sinks[0].end is None


def test_finish_without_a_segment_does_nothing() -> None:
    bench = Bench()
    bench.segmenter.finish()
    assert bench.sinks == []


@pytest.mark.parametrize(
    ("pts", "base", "us"), [(1, Fraction(1, 90_000), 11), (3, Fraction(1, 90_000), 33), (7, Fraction(1), 7_000_000)]
)
def test_media_time_is_rounded_to_the_nearest_microsecond(pts: int, base: Fraction, us: int) -> None:
    assert pts_us(VideoFormat("h264", 2, 2, 1.0, base, b"", False, True), pts) == us


steps = st.lists(st.tuples(st.sampled_from("IPPP"), st.integers(-5_000, 5_000)), max_size=80)


@given(steps, st.floats(0.5, 5))
def test_whatever_comes_every_frame_is_kept_once_or_counted_and_segments_never_overlap(
    stream: list[tuple[str, int]], segment_s: float
) -> None:
    bench = Bench(segment_s).jump(1_000_000)
    for letter, shift in stream:
        bench.jump(shift if abs(shift) > 4_000 else 0).draw(letter)
    bench.segmenter.finish()
    kept = "".join(bench.contents())
    assert len(kept) + bench.segmenter.frames_dropped == len(stream)
    assert all(content[0] == "I" for content in bench.contents())
    for sink in bench.sinks:
        assert sink.end is not None and sink.end[0] > sink.start_us
        assert sink.fragments[-1] == sink.end
        assert [end for end, _ in sink.fragments] == sorted(end for end, _ in sink.fragments)
    if all(abs(shift) <= 4_000 for _, shift in stream):
        assert all(a[1] == b[0] for a, b in itertools.pairwise(bench.spans()))
