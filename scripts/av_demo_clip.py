"""Draws the footage that the demo's cameras replay when no `--video` or `--rtsp` is given."""

from fractions import Fraction
from pathlib import Path

import av
from av.filter import Graph
from av.video.frame import VideoFrame

FPS = 15
SECONDS = 20
_SCENES = {
    "front": [("testsrc2", f"size=1280x720:rate={FPS}")],
    "gate": [("gradients", f"size=1280x720:rate={FPS}:speed=0.02:seed=7")],
}


def draw_clip(path: Path, scene: str) -> None:
    """Encode `SECONDS` of the named scene (front, gate) as H.264 720p15 with a keyframe each second.

    The file is complete or absent: it is written beside its place and renamed.
    """
    graph = Graph()
    nodes = [graph.add(name, arguments) for name, arguments in _SCENES[scene]]
    nodes += [graph.add("format", "pix_fmts=yuv420p"), graph.add("buffersink")]
    graph.link_nodes(*nodes).configure()
    partial = path.with_suffix(".partial.mp4")
    with av.open(str(partial), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "veryfast", "crf": "28", "g": str(FPS)})
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        for number in range(FPS * SECONDS):
            frame = graph.pull()
            assert isinstance(frame, VideoFrame)
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    partial.rename(path)
