"""Draws one group of pictures and encodes it: the footage of `SyntheticSource`. Needs no numpy."""

import av

from agent.camera.av_encoder import TIME_BASE, make_encoder
from agent.camera.encoding import Encoding


def encode_pattern(width: int, height: int, fps: int, frames: int, bitrate_kbps: int) -> list[tuple[bytes, bool]]:
    """Return `frames` encoded frames (payload, keyframe): a keyframe first, then deltas; a bar moves over a ramp.

    Width and height must be even. The same arguments give the same pictures.

    Raises:
        SourceError: this PyAV cannot encode.
    """
    encoder = make_encoder(width, height, float(fps), Encoding(bitrate_kbps, gop_s=frames / fps))
    step = round(1 / (TIME_BASE * fps))
    encoded = []
    for number in range(frames):
        picture = _draw(width, height, number, frames)
        picture.pts, picture.time_base = number * step, TIME_BASE
        encoded += encoder.encode(picture)
    encoded += encoder.encode(None)
    return [(bytes(packet), packet.is_keyframe) for packet in encoded]


def _draw(width: int, height: int, number: int, frames: int) -> av.VideoFrame:
    picture = av.VideoFrame(width, height, "yuv420p")
    bar = number * width // frames
    row = bytes(235 if bar <= x < bar + width // 16 else 16 + x * 200 // width for x in range(width))
    for plane, line in zip(picture.planes, (row, b"\x60" * (width // 2), b"\xa0" * (width // 2)), strict=True):
        plane.update(line.ljust(plane.line_size, b"\0") * plane.height)
    return picture
