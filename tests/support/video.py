"""Small real videos, made once a session by ffmpeg: `make_clip(path, ...)`; frames carry their number as a picture."""

import functools
import gzip
import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

_ENCODERS = {
    "h264": ["libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"],
    "hevc": ["libx265", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-x265-params", "log-level=none:open-gop=0"],
    "mjpeg": ["mjpeg", "-pix_fmt", "yuvj420p", "-q:v", "5"],
    "mpeg4": ["mpeg4", "-q:v", "5"],
    "vp8": ["libvpx", "-deadline", "realtime", "-b:v", "500k"],
}
VTEST = Path("/usr/share/doc/opencv-doc/examples/data/vtest.avi")


def make_clip(
    path: Path,
    seconds: float = 4,
    fps: int = 15,
    size: str = "320x240",
    codec: str = "h264",
    sound: bool = False,
    bframes: bool = False,
    gop: int | None = None,
) -> Path:
    """Write a clip to `path` (the suffix names the container) and return it; equal clips are encoded once."""
    made = _made(path.suffix, seconds, fps, size, codec, sound, bframes, gop or fps)
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(made, path)
    return path


@functools.cache
def _directory() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="clips-")


@functools.cache
def _made(suffix: str, seconds: float, fps: int, size: str, codec: str, sound: bool, bframes: bool, gop: int) -> Path:
    path = Path(_directory().name) / f"{codec}-{size}-{fps}-{seconds}-{gop}-{sound:d}{bframes:d}{suffix}"
    command = ["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", f"testsrc=size={size}:rate={fps}"]
    if sound:
        command += ["-f", "lavfi", "-i", "sine=frequency=440", "-c:a", "aac"]
    command += ["-t", str(seconds), "-c:v", *_ENCODERS[codec]]
    if codec in ("h264", "hevc"):
        command += ["-g", str(gop), "-bf", "2" if bframes else "0"]
    subprocess.run([*command, str(path)], check=True, stdin=subprocess.DEVNULL)
    return path


def vtest_clip(directory: Path) -> Path | None:
    """Return opencv-doc's surveillance clip (MS-MPEG-4 in AVI), or None when that package is absent."""
    if VTEST.exists():
        return VTEST
    packed = VTEST.with_name(VTEST.name + ".gz")
    if not packed.exists():
        return None
    path = directory / VTEST.name
    path.write_bytes(gzip.decompress(packed.read_bytes()))
    return path


def probe(path: Path) -> dict[str, Any]:
    """Return ffprobe's word on a file: `streams` (with `nb_read_packets`) and `warnings`."""
    command = ["ffprobe", "-v", "warning", "-count_packets", "-show_streams", "-of", "json", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout) | {"warnings": done.stderr}


def packet_times(path: Path) -> list[float]:
    """Return the presentation times of a file's video packets, in seconds, sorted."""
    command = ["ffprobe", "-v", "error", "-select_streams", "v", "-show_entries", "packet=pts_time", "-of", "json"]
    done = subprocess.run([*command, str(path)], capture_output=True, text=True, check=True)
    return sorted(float(packet["pts_time"]) for packet in json.loads(done.stdout)["packets"])


def decode_warnings(path: Path) -> str:
    """Decode the whole file with the ffmpeg command and return everything it complained about."""
    command = ["ffmpeg", "-v", "warning", "-i", str(path), "-f", "null", "-"]
    return subprocess.run(command, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL).stderr
