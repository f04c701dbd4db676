"""The Raspberry Pi's own camera through picamera2 (FACTS "picamera2").

Rules:
* picamera2 is imported when the camera is opened, so that this file loads on any machine;
* the encoder is chosen by us (picamera2's own platform check guesses): the V4L2 one where its device node is, else
  libav's; `Encoder.audio` must be False, or nothing is started (R-AUDIO: set, it opens PulseAudio);
* our output takes the encoder's bytes in the encoder's thread and never blocks or raises there: a bounded queue,
  whole groups of pictures dropped and counted when the recorder is too slow;
* parameter sets are repeated at every keyframe, so that each segment can start at any of them.
"""

import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from agent.camera.frame_queue import FrameQueue
from agent.camera.frame_source import EncodedFrame, VideoFormat
from agent.errors import SoundRefusedError, SourceError

EncoderKind = Literal["v4l2", "libav"]
_TIME_BASE = Fraction(1, 1_000_000)
_GOP_S = 2


def encoder_here(root: Path = Path("/")) -> EncoderKind:
    """Return "v4l2" where the board has a hardware encoder node (up to Pi 4), else "libav" (Pi 5 has none)."""
    return "v4l2" if (root / "dev/video11").exists() else "libav"


class Picamera2Source:
    """See `FrameSource`. `number` is libcamera's index of the camera."""

    def __init__(
        self,
        number: int,
        width: int,
        height: int,
        fps: int,
        *,
        bitrate_kbps: int = 4000,
        read_timeout_s: float = 5.0,
        encoder: EncoderKind | None = None,
    ) -> None:
        self._number = number
        self._name = f"camera {number} of this board"
        self._size = (width // 2 * 2, height // 2 * 2)
        self._fps = fps
        self._bitrate_kbps = bitrate_kbps
        self._read_timeout_s = read_timeout_s
        self._encoder_kind = encoder or encoder_here()
        self._lock = threading.Lock()
        self._camera: Any = None
        self._queue: FrameQueue | None = None

    @property
    def frames_dropped(self) -> int:
        """Frames of the present opening that the recorder was too slow for."""
        return self._queue.frames_dropped if self._queue else 0

    def open(self) -> VideoFormat:
        """Start camera and encoder.

        Raises:
            SourceError: picamera2 is missing, there is no such camera, or another program holds it.
            SoundRefusedError: the encoder would take sound.
        """
        self.close()
        queue = FrameQueue()
        camera = self._start(queue)
        with self._lock:
            self._camera, self._queue = camera, queue
        width, height = self._size
        return VideoFormat("h264", width, height, float(self._fps), _TIME_BASE, b"", False, passthrough=True)

    def frames(self) -> Iterator[EncodedFrame]:
        """Yield frames until `close`.

        Raises:
            SourceError: the encoder put out nothing for the read timeout, or the source was not opened.
        """
        queue = self._queue
        if queue is None:
            raise SourceError(f"{self._name} is not open; call open before frames")
        while (frame := queue.get(self._read_timeout_s, self._name)) is not None:
            yield frame

    def close(self) -> None:
        """End `frames`, then stop the camera."""
        with self._lock:
            camera, self._camera = self._camera, None
            if self._queue is not None:
                self._queue.close()
        if camera is not None:
            _stop(camera)

    def _start(self, queue: FrameQueue) -> Any:
        try:
            from picamera2 import Picamera2
        except ImportError as exc:
            raise SourceError("picamera2 is not installed; install the package python3-picamera2") from exc
        camera: Any = None
        try:
            camera = Picamera2(self._number)
            camera.configure(
                camera.create_video_configuration(
                    main={"size": self._size, "format": "YUV420"}, controls={"FrameRate": self._fps}
                )
            )
            encoder = self._make_encoder()
            camera.start_recording(encoder, _make_output(queue))
        except (IndexError, RuntimeError, OSError) as exc:
            _stop(camera)
            if isinstance(exc, SoundRefusedError):
                raise
            raise SourceError(
                f"{self._name} cannot be started: {str(exc).lower() or 'no reason given'}; "
                "check the ribbon cable, the overlay in config.txt and that no other program uses it"
            ) from exc
        return camera

    def _make_encoder(self) -> Any:
        asked = {
            "bitrate": self._bitrate_kbps * 1000,
            "repeat": True,
            "iperiod": self._fps * _GOP_S,
            "framerate": self._fps,
        }
        encoder: Any
        if self._encoder_kind == "v4l2":
            from picamera2.encoders.h264_encoder import H264Encoder

            encoder = H264Encoder(**asked)
        else:
            from picamera2.encoders.libav_h264_encoder import LibavH264Encoder

            encoder = LibavH264Encoder(**asked)
        if encoder.audio is not False:
            raise SoundRefusedError("picamera2's encoder would record sound; it is not started (PIPA 25(5))")
        return encoder


def _stop(camera: Any) -> None:
    """Stop recording and free the camera, whichever of it had begun."""
    if camera is None:
        return
    try:
        camera.stop_recording()
    except (RuntimeError, AttributeError, OSError):
        pass  # It had not begun; what matters is that the device is freed next.
    finally:
        camera.close()


def _make_output(queue: FrameQueue) -> Any:
    """Return a picamera2 Output that puts each encoded frame into `queue`."""
    from picamera2.outputs import Output

    class QueueOutput(Output):  # type: ignore[misc]  # picamera2 has no types
        def outputframe(
            self,
            frame: Any,
            keyframe: bool = True,
            timestamp: int | None = None,
            packet: Any = None,
            audio: bool = False,
        ) -> None:
            """Take one frame in the encoder's thread; never raises there."""
            if audio:
                queue.fail(SoundRefusedError("picamera2 delivered sound; the source is stopped (PIPA 25(5))"))
            elif timestamp is not None:
                payload = bytes(frame)
                queue.put(EncodedFrame(payload, timestamp, timestamp, keyframe, 0), len(payload))

    return QueueOutput()
