"""The port between cameras and the recorder: encoded video in, nothing else.

Rules:
* a source delivers one video stream and never a sound packet; when the device or file carries sound, it is
  not demuxed, and `VideoFormat.source_has_sound` says so (R-AUDIO);
* `frames()` blocks at most `read_timeout_s` for the next frame, then raises `SourceError`;
* `dts` rises from 0 or more, over a file's loop too, except where the camera's own clock jumps by more than 2 s;
  `pts` is never before `dts`; the first frame is a keyframe;
* `close` ends `frames` at once, from any thread, even when the camera is frozen; a source can be opened again;
* another picture size or parameter set ends `frames` with SourceError: one opening is one format;
* the fake (`SyntheticSource`) is shipped and passes the same contract suite (`tests/contract`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

import msgspec


@dataclass(frozen=True)
class VideoFormat:
    """What a source delivers: `codec` "h264" or "hevc", `extradata` as the demuxer gave it (may be empty).

    `template` is a stream object for a muxer of the same library to copy from, or None; it outlives the source.
    """

    codec: str
    width: int
    height: int
    fps: float
    time_base: Fraction
    extradata: bytes
    source_has_sound: bool
    passthrough: bool
    template: Any = None


class EncodedFrame(msgspec.Struct, frozen=True, gc=False):
    """One access unit. `pts` and `dts` count `VideoFormat.time_base`; `payload` is bytes-like (maybe a PyAV packet).

    A struct, not a dataclass: made thirty times a second, it costs a tenth of one.
    """

    payload: Any
    pts: int
    dts: int
    keyframe: bool
    duration: int = 0


class FrameSource(Protocol):
    """A camera. Made closed; `open` once, then `frames`, then `close` (which also unblocks `frames`)."""

    @property
    def frames_dropped(self) -> int:
        """Frames that came and were not delivered, since the source was made; from any thread."""
        ...

    def open(self) -> VideoFormat:
        """Connect and return the format.

        Raises:
            SourceError: missing, corrupt, refused or silent for longer than the read timeout; says which.
        """
        ...

    def frames(self) -> Iterator[EncodedFrame]:
        """Yield frames until `close`.

        Raises:
            SourceError: the source ended, stalled or broke; the recorder closes its segment and reopens.
        """
        ...

    def close(self) -> None:
        """Release the device; safe to call twice and from another thread."""
        ...
