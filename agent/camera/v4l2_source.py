"""A USB camera through Video4Linux. It has no sound by itself; its microphone is another device, never opened.

Rules:
* the camera's own H.264 is taken when it has it (no encoding), else MJPEG, else whatever it sends, transcoded;
* a missing device is an error of one sentence, a busy one is waited for (`live_source`);
* a pulled plug ends `frames` with SourceError.
"""

import os
from pathlib import Path

from agent.camera.av_input import AvInput, DeviceBusyError, InputRequest
from agent.camera.encoding import Encoding
from agent.camera.live_source import LiveSource
from agent.errors import SourceError

_FORMATS = ("h264", "mjpeg", None)


class V4l2Source(LiveSource):
    """`device` is a path such as `/dev/video0`."""

    def __init__(
        self,
        device: Path,
        width: int,
        height: int,
        fps: int,
        *,
        read_timeout_s: float = 5.0,
        encoding: Encoding | None = None,
    ) -> None:
        self._device = device
        self._mode = {"video_size": f"{width}x{height}", "framerate": str(fps)}
        self._fps = fps
        self._encoding = encoding or Encoding()
        super().__init__(f"camera {device}", self._connect, read_timeout_s, 3 * read_timeout_s)

    def _connect(self) -> AvInput:
        if not self._device.exists():
            raise SourceError(f"{self._name} is not there; check the plug and `address`")
        if not os.access(self._device, os.R_OK | os.W_OK):
            raise SourceError(f"{self._name} may not be opened; add the service's user to the group video")
        failure: SourceError | None = None
        for picture_format in _FORMATS:
            try:
                return AvInput(self._input_request(picture_format))
            except DeviceBusyError:
                raise
            except SourceError as exc:
                failure = exc
        raise failure or SourceError(f"{self._name} has no picture format we read; use another camera")

    def _input_request(self, picture_format: str | None) -> InputRequest:
        options = self._mode | ({"input_format": picture_format} if picture_format else {})
        return InputRequest(
            str(self._device), self._name, self._read_timeout_s, options, "v4l2", self._fps, self._encoding
        )
