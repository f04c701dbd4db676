"""The segmenter with the real muxer: what any tool reads back from the bytes that reached the sink."""

import itertools
from pathlib import Path
from typing import Any

import pytest
from support.video import decode_warnings, make_clip, packet_times, probe, vtest_clip

from agent.camera.frame_source import EncodedFrame, FrameSource, VideoFormat
from agent.camera.no_audio_guard import InitSegmentGuard
from agent.camera.replay_source import ReplaySource
from agent.camera.synthetic_source import SyntheticSource
from agent.clock import SimulatedClock
from agent.errors import SourceError
from agent.recording import av_muxer
from agent.recording.av_muxer import AvMuxer
from agent.recording.segmenter import Segmenter, SegmentStart


class FileSink:
    def __init__(self, path: Path, start: SegmentStart) -> None:
        self.path = path
        self.start_us = start.start_pts_us
        self.fragments: list[tuple[int, int, int]] = []
        self.end: tuple[int, int] | None = None
        self._file = path.open("wb")

    def write(self, data: bytes) -> None:
        self._file.write(data)

    def fragment_complete(self, end_pts_us: int, frames: int) -> None:
        self.fragments.append((end_pts_us, frames, self._file.tell()))

    def close(self, end_pts_us: int, frames: int) -> None:
        self._file.close()
        self.end = (end_pts_us, frames)

    def drop(self) -> None:
        self._file.close()


def record(
    source: FrameSource, directory: Path, segment_s: float, most: int = 10_000
) -> tuple[VideoFormat, list[FileSink], int]:
    """Record at most `most` frames and return format, sinks and how many frames were fed."""
    sinks: list[FileSink] = []

    def open_segment(start: SegmentStart) -> FileSink:
        sinks.append(FileSink(directory / f"{len(sinks)}.mp4", start))
        return sinks[-1]

    video_format = source.open()
    segmenter = Segmenter(video_format, open_segment, segment_s, AvMuxer, InitSegmentGuard)
    fed = 0
    try:
        for frame in itertools.islice(source.frames(), most):
            segmenter.feed(frame)
            fed += 1
    except SourceError as exc:
        assert "ended" in str(exc)
    segmenter.finish()
    source.close()
    return video_format, sinks, fed


def clip_source(path: Path, loop: bool = False) -> ReplaySource:
    return ReplaySource(path, SimulatedClock(), paced=False, loop=loop)


CLIPS: list[Any] = [
    pytest.param({}, id="h264"),
    pytest.param({"bframes": True}, id="h264 with b-frames"),
    pytest.param({"sound": True, "bframes": True}, id="h264 with sound"),
    pytest.param({"codec": "hevc"}, id="hevc"),
    pytest.param({"codec": "mpeg4", "sound": True}, id="mpeg4, transcoded"),
    pytest.param({"codec": "mjpeg", "size": "322x242"}, id="mjpeg, transcoded"),
]


@pytest.mark.parametrize("clip", CLIPS)
def test_every_segment_reads_back_whole_with_video_only(clip: dict[str, Any], tmp_path: Path) -> None:
    source = clip_source(make_clip(tmp_path / "clip.mp4", seconds=5, gop=15, **clip))
    _, sinks, fed = record(source, tmp_path, 2)
    assert fed == 75
    assert len(sinks) >= 2
    for sink in sinks:
        said = probe(sink.path)
        assert [stream["codec_type"] for stream in said["streams"]] == ["video"]
        assert sink.end is not None
        assert int(said["streams"][0]["nb_read_packets"]) == sink.end[1]
        assert said["warnings"] == "" and decode_warnings(sink.path) == ""
    assert sum(sink.end[1] for sink in sinks if sink.end) == fed


@pytest.mark.parametrize("clip", [{}, {"bframes": True}])
def test_files_hold_absolute_times_that_go_on_from_segment_to_segment(clip: dict[str, Any], tmp_path: Path) -> None:
    source = clip_source(make_clip(tmp_path / "clip.mp4", seconds=3, **clip), loop=True)
    _, sinks, fed = record(source, tmp_path, 2, most=100)
    times = [time_s for sink in sinks for time_s in packet_times(sink.path)]
    assert len(times) == fed == 100
    steps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert all(abs(step - 1 / 15) < 0.002 for step in steps)
    for sink in sinks:
        assert abs(packet_times(sink.path)[0] - sink.start_us / 1e6) < 0.001


def test_segments_meet_exactly_over_the_loop(tmp_path: Path) -> None:
    source = clip_source(make_clip(tmp_path / "clip.mp4", seconds=3), loop=True)
    _, sinks, _ = record(source, tmp_path, 2, most=200)
    ends = [sink.end[0] for sink in sinks if sink.end]
    assert ends[:-1] == [sink.start_us for sink in sinks[1:]]


def test_a_cut_at_any_reported_fragment_reads_back_all_frames_up_to_there(tmp_path: Path) -> None:
    source = clip_source(make_clip(tmp_path / "clip.mp4", seconds=5, bframes=True))
    _, (sink,), _ = record(source, tmp_path, 60)
    whole = sink.path.read_bytes()
    assert len(sink.fragments) == 5
    for number, (_, frames, size) in enumerate(sink.fragments[:-1]):
        torn = tmp_path / f"torn{number}.mp4"
        torn.write_bytes(whole[:size])
        assert int(probe(torn)["streams"][0]["nb_read_packets"]) == frames
        assert decode_warnings(torn) == ""


def test_plain_bytes_are_muxed_like_packets(tmp_path: Path) -> None:
    _, sinks, fed = record(SyntheticSource(SimulatedClock(), paced=False), tmp_path, 1, most=60)
    assert fed == 60
    assert [probe(sink.path)["streams"][0]["nb_read_packets"] for sink in sinks] == ["15"] * 4
    assert all(decode_warnings(sink.path) == "" for sink in sinks)


def test_the_surveillance_clip_of_opencv_is_transcoded(tmp_path: Path) -> None:
    path = vtest_clip(tmp_path)
    if path is None:
        pytest.skip("opencv-doc is not installed")
    video_format, sinks, _ = record(clip_source(path), tmp_path, 4, most=100)
    assert (video_format.passthrough, video_format.codec) == (False, "h264")
    assert all(decode_warnings(sink.path) == "" for sink in sinks)


def test_a_sink_that_fails_stops_the_feeding_and_gets_no_more(tmp_path: Path) -> None:
    class FullSink(FileSink):
        written = 0

        def write(self, data: bytes) -> None:
            FullSink.written += 1
            raise OSError(28, "No space left on device")

    source = clip_source(make_clip(tmp_path / "clip.mp4"))
    sinks: list[FullSink] = []

    def open_segment(start: SegmentStart) -> FullSink:
        sinks.append(FullSink(tmp_path / "full.mp4", start))
        return sinks[-1]

    segmenter = Segmenter(source.open(), open_segment, 10, AvMuxer, InitSegmentGuard)
    with pytest.raises(OSError, match="No space"):
        for frame in source.frames():
            segmenter.feed(frame)
    segmenter.abandon()
    segmenter.finish()
    source.close()
    sinks[0].drop()
    assert FullSink.written == 1
    assert sinks[0].end is None


def test_the_self_test_passes_with_this_pyav() -> None:
    av_muxer.self_test()


def test_a_muxer_that_loses_a_frame_says_so() -> None:
    class Losing(AvMuxer):
        @property
        def frames_out(self) -> int:
            return super().frames_out - 1

    video_format, frames = _synthetic_frames(20)
    muxer = Losing(video_format, lambda _data: None)
    for frame in frames:
        muxer.write(frame)
    with pytest.raises(SourceError, match="took 20 frames and wrote 19"):
        muxer.close()


def test_an_abandoned_muxer_writes_nothing_even_when_collected() -> None:
    written: list[int] = []
    video_format, frames = _synthetic_frames(20)
    muxer: AvMuxer | None = AvMuxer(video_format, lambda data: written.append(len(data)))
    assert muxer is not None
    for frame in frames:
        muxer.write(frame)
    before = len(written)
    muxer.abandon()
    muxer = None
    assert len(written) == before


def test_fragments_are_counted_whatever_the_size_of_the_writes() -> None:
    pieces: list[bytes] = []
    video_format, frames = _synthetic_frames(40)
    muxer = AvMuxer(video_format, pieces.append)
    for frame in frames:
        muxer.write(frame)
    muxer.close()
    whole = b"".join(pieces)
    for size in (1, 7, 8, 1000):
        output = av_muxer._Output(lambda _data: None)
        for start in range(0, len(whole), size):
            output.write(whole[start : start + size])
        assert output.samples == 40


def _synthetic_frames(count: int) -> tuple[VideoFormat, list[EncodedFrame]]:
    source = SyntheticSource(SimulatedClock(), paced=False)
    video_format = source.open()

    return video_format, list(itertools.islice(source.frames(), count))
