"""Encodes what is not H.264/H.265 (MJPEG, MPEG-4, VP8, raw) with libx264; imported only when it is needed (N2).

Rules:
* no B-frames, a keyframe at least every `gop_s`, low latency, yuv420p, even width and height;
* parameter sets stand in front of every keyframe (Annex B), so that each segment can start at any of them;
* a frame that cannot be decoded is dropped and counted; `MAX_BROKEN` in a row end the source.
"""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
from av.codec.context import CodecContext
from av.video.codeccontext import VideoCodecContext

from agent.camera.encoding import Encoding
from agent.camera.frame_source import VideoFormat
from agent.errors import SourceError

TIME_BASE = Fraction(1, 90_000)
MAX_BROKEN = 100


def make_encoder(width: int, height: int, fps: float, encoding: Encoding) -> VideoCodecContext:
    """Return an opened libx264 encoder for frames of that (even) size; times count `TIME_BASE`.

    Raises:
        SourceError: this PyAV has no libx264.
    """
    try:
        encoder = CodecContext.create("libx264", "w")
    except (ValueError, av.FFmpegError) as exc:
        raise SourceError("this PyAV cannot encode h.264 (no libx264); set the camera to send h.264 itself") from exc
    assert isinstance(encoder, VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.time_base = TIME_BASE
    encoder.framerate = Fraction(fps).limit_denominator(1001)
    encoder.bit_rate = encoding.bitrate_kbps * 1000
    gop = max(1, int(fps * encoding.gop_s))
    encoder.gop_size = gop
    encoder.max_b_frames = 0
    encoder.options = {
        "preset": "veryfast",
        "tune": "zerolatency",
        "forced-idr": "1",
        "x264-params": f"keyint={gop}:min-keyint=1:bframes=0:annexb=1:repeat-headers=1",
    }
    encoder.open()
    return encoder


class AvTranscoder:
    """Decodes one input stream and encodes it; `encode` is a generator over the input's packets."""

    def __init__(self, stream: Any, name: str, fps: float, encoding: Encoding) -> None:
        self._stream = stream
        self._name = name
        self._width = max(2, stream.codec_context.width // 2 * 2)
        self._height = max(2, stream.codec_context.height // 2 * 2)
        self._frame_ticks = max(1, round(1 / (TIME_BASE * Fraction(fps))))
        self._last_pts = -self._frame_ticks
        self._encoder = make_encoder(self._width, self._height, fps, encoding)
        self._broken_in_a_row = 0
        self.frames_broken = 0

    def format(self, fps: float, source_has_sound: bool) -> VideoFormat:
        """Return what comes out."""
        return VideoFormat(
            codec="h264",
            width=self._width,
            height=self._height,
            fps=fps,
            time_base=TIME_BASE,
            extradata=b"",
            source_has_sound=source_has_sound,
            passthrough=False,
        )

    def encode(self, packets: Iterator[Any]) -> Iterator[Any]:
        """Yield encoded packets, their times in `TIME_BASE`.

        Raises:
            SourceError: nothing decodable came for `MAX_BROKEN` packets.
        """
        for packet in packets:
            for frame in self._decode(packet):
                yield from self._encode_one(frame)
        yield from self._encoder.encode(None)

    def _decode(self, packet: Any) -> list[Any]:
        try:
            frames: list[Any] = packet.decode()
        except av.InvalidDataError:
            frames = []
            self.frames_broken += 1
            self._broken_in_a_row += 1
        if frames:
            self._broken_in_a_row = 0
        if self._broken_in_a_row > MAX_BROKEN:
            raise SourceError(f"{self._name} sends video that cannot be decoded; check the camera's encoder settings")
        return frames

    def _encode_one(self, frame: Any) -> Iterator[Any]:
        pts = self._last_pts + self._frame_ticks
        if frame.pts is not None and frame.time_base:
            pts = max(self._last_pts + 1, round(frame.pts * Fraction(frame.time_base) / TIME_BASE))
        self._last_pts = pts
        picture = frame.reformat(width=self._width, height=self._height, format="yuv420p")
        picture.pts, picture.time_base = pts, TIME_BASE
        picture.pict_type = 0
        for packet in self._encoder.encode(picture):
            packet.duration = packet.duration or self._frame_ticks
            yield packet
