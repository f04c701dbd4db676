"""Fragmented MP4 by PyAV into a write-only output (DESIGN decision 1, FACTS "PyAV").

Rules:
* the init segment comes first, then one fragment a GOP, put out when the next keyframe comes;
* times stay as the source gave them (`tfdt` absolute, no edit list);
* the packets that go in are counted against the samples of the `moof` boxes that come out; a difference raises;
* `self_test` must run before the first recording: PyAV 14.2 silently wrote files with half their packets.
"""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import av
from av.packet import Packet

from agent.camera.frame_source import EncodedFrame, VideoFormat
from agent.errors import SourceError

_OPTIONS = {
    "movflags": "frag_keyframe+empty_moov+default_base_moof+frag_discont",
    "avoid_negative_ts": "disabled",
    "use_editlist": "0",
}
_BUFFER_BYTES = 1 << 18
_SELF_TEST_FRAMES = 12


class AvMuxer:
    """One segment's muxer; see `agent.recording.segmenter.Muxer`."""

    def __init__(self, video_format: VideoFormat, output: Callable[[bytes], object]) -> None:
        self._sink = _Output(output)
        self._time_base = video_format.time_base
        self._container = av.open(self._sink, "w", format="mp4", options=_OPTIONS, buffer_size=_BUFFER_BYTES)
        self._stream: Any = _add_stream(self._container, video_format)
        self._mux_one = self._container.mux_one
        self.frames_in = 0

    @property
    def frames_out(self) -> int:
        """Samples whose bytes the output has taken whole."""
        return self._sink.samples

    def write(self, frame: EncodedFrame) -> None:
        """Add one frame.

        Raises:
            SourceError: libav refused it (parameter sets missing, times not rising).
        """
        packet = frame.payload
        if not isinstance(packet, Packet):
            packet = Packet(bytes(packet))
            packet.is_keyframe = frame.keyframe
        packet.stream = self._stream
        packet.time_base = self._time_base
        packet.pts = frame.pts
        packet.dts = frame.dts
        packet.duration = frame.duration
        self.frames_in += 1
        try:
            self._mux_one(packet)
        except av.FFmpegError as exc:
            raise SourceError(f"the muxer refused frame {self.frames_in}: {exc.strerror}; reopen the source") from exc

    def close(self) -> None:
        """Write the last fragment.

        Raises:
            SourceError: fewer samples came out than frames went in.
        """
        try:
            self._container.close()
        except av.FFmpegError as exc:
            raise SourceError(f"the muxer could not end the segment: {exc.strerror}; reopen the source") from exc
        self._sink.shut()
        if self.frames_out != self.frames_in:
            raise SourceError(
                f"the muxer took {self.frames_in} frames and wrote {self.frames_out}; install another PyAV (>= 17.1)"
            )

    def abandon(self) -> None:
        """Drop what is left; libav writes its trailer when it is collected, and `_Output` swallows that."""
        self._sink.shut()


def self_test() -> None:
    """Mux a few made-up frames and count the samples that come out.

    Raises:
        SourceError: this PyAV loses packets; no recording may start with it.
    """
    # Parameter sets of 64x64 baseline video and slices that nobody decodes: libavformat only wraps them.
    sets = bytes.fromhex("00000001 6742c00a dc21 1a80 0000000168ce3c80".replace(" ", ""))
    video_format = VideoFormat("h264", 64, 64, 10.0, Fraction(1, 1000), b"", False, True)
    muxer = AvMuxer(video_format, lambda _data: None)
    for number in range(_SELF_TEST_FRAMES):
        keyframe = number % 4 == 0
        nal = b"\0\0\0\1\x65\x88\x84" if keyframe else b"\0\0\0\1\x41\x9a\x02"
        payload = (sets if keyframe else b"") + nal + bytes([number + 1]) * 40
        muxer.write(EncodedFrame(payload, number * 100, number * 100, keyframe, 100))
    muxer.close()


def _add_stream(container: Any, video_format: VideoFormat) -> Any:
    if video_format.template is not None:
        return container.add_stream_from_template(video_format.template, opaque=True)
    stream = container.add_mux_stream(
        video_format.codec,
        rate=Fraction(video_format.fps).limit_denominator(1001),
        width=video_format.width,
        height=video_format.height,
    )
    stream.time_base = video_format.time_base
    return stream


class _Output:
    """The file object that libav writes to: passes bytes on and counts the samples of whole fragments.

    It has neither `seek` nor `tell`, so that libav cannot go back.
    """

    def __init__(self, output: Callable[[bytes], object]) -> None:
        self._output: Callable[[bytes], object] | None = output
        self._header = bytearray()
        self._left = 0
        self._moof: bytearray | None = None
        self._announced = 0
        self.samples = 0

    def write(self, data: bytes) -> int:
        if self._output is not None:
            self._output(data)
            self._scan(data)
        return len(data)

    def shut(self) -> None:
        self._output = None

    def _scan(self, data: bytes) -> None:
        """Follow the top-level boxes across writes; when an `mdat` ends, its fragment is whole."""
        position = 0
        while position < len(data):
            if self._left == 0:
                wanted = 8 - len(self._header)
                self._header += data[position : position + wanted]
                position += wanted
                if len(self._header) == 8:
                    self._begin_box()
                continue
            piece = min(self._left, len(data) - position)
            if self._moof is not None:
                self._moof += data[position : position + piece]
            self._left -= piece
            position += piece
            if self._left == 0:
                self._end_box()

    def _begin_box(self) -> None:
        self._left = int.from_bytes(self._header[:4], "big") - 8
        self._moof = bytearray() if self._header[4:] == b"moof" else None
        if self._left <= 0:
            self._end_box()

    def _end_box(self) -> None:
        if self._moof is not None:
            self._announced = _samples(self._moof)
        elif self._header[4:] == b"mdat":
            self.samples += self._announced
        self._moof = None
        self._left = 0
        self._header.clear()


def _samples(moof: bytearray) -> int:
    """Return the sample count of a `moof`'s content, from the `trun` boxes of its `traf`."""
    count = 0
    position = moof.find(b"trun")
    while position != -1:
        count += int.from_bytes(moof[position + 8 : position + 12], "big")
        position = moof.find(b"trun", position + int.from_bytes(moof[position - 4 : position], "big"))
    return count
