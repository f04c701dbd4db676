"""One opened libav input: its video stream as frames that follow the port's rules (`frame_source`).

Rules:
* only the first video stream is demuxed; streams of sound are counted and never read (R-AUDIO);
* H.264 and H.265 pass untouched; anything else is decoded and encoded by `av_encoder`, imported only then (N2);
* frames before the first keyframe are dropped and counted; flush packets (no dts, no bytes) are not frames;
* no error text holds an address's user, password or path: libav puts its URL into its messages, so only the kind
  of the failure is taken over and libav's exception is not chained (it would be logged with its text).
"""

import errno
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import av
from av.container import InputContainer

from agent.camera.encoding import Encoding
from agent.camera.frame_source import EncodedFrame, VideoFormat
from agent.camera.glibc_heap import give_back
from agent.camera.no_audio_guard import refuse_unless_video, sound_streams
from agent.camera.parameter_set import HEAD_BYTES, sequence_parameter_set
from agent.camera.timestamps import RisingTimes
from agent.errors import SourceError

PASSTHROUGH_CODECS = frozenset({"h264", "hevc"})


class DeviceBusyError(SourceError):
    """The device is held by another program, or still by an earlier opening of ours."""


@dataclass(frozen=True)
class InputRequest:
    """What to open. `name` stands in error texts instead of `url`; `options` are libav's."""

    url: str
    name: str
    read_timeout_s: float
    options: Mapping[str, str] = field(default_factory=dict)
    container: str | None = None
    fps_hint: float = 25.0
    encoding: Encoding = field(default_factory=Encoding)


class AvInput:
    """An opened input. One thread opens, reads and closes it: libav inputs must not be closed by another."""

    def __init__(self, request: InputRequest) -> None:
        """Open the input.

        Raises:
            DeviceBusyError: it is in use.
            SourceError: missing, refused, silent or not video; says which.
        """
        self._name = request.name
        self._sps: bytes | None = None
        self.frames_dropped = 0
        self._container = _open_container(request)
        try:
            self._stream = _video_stream(self._container, request.name)
            self._encoder = (
                None if self._stream.codec_context.name in PASSTHROUGH_CODECS else self._make_encoder(request)
            )
            self.format = self._describe(request)
        except BaseException:
            self._container.close()
            raise
        give_back()

    def frames(self, first_dts: int | None = None) -> Iterator[EncodedFrame]:
        """Yield frames from the first keyframe to the input's end (no error at the end).

        With `first_dts` every time is shifted so that the first frame's dts is that.

        Raises:
            SourceError: the input broke, or sent nothing for the read timeout.
        """
        times = RisingTimes(self.format.time_base, frame_ticks(self.format), first_dts)
        passthrough = self._encoder is None
        started = False
        for packet in self._packets() if self._encoder is None else self._encoder.encode(self._packets()):
            if not packet.size:
                continue
            keyframe = packet.is_keyframe
            if keyframe:
                started = True
                if passthrough:
                    self._refuse_change(packet)
            elif not started:
                self.frames_dropped += 1
                continue
            duration = packet.duration or 0
            pts, dts = times.next(packet.pts, packet.dts, duration)
            yield EncodedFrame(packet, pts, dts, keyframe, duration)

    def close(self) -> None:
        """Close the input; safe to call twice."""
        self._container.close()

    def _packets(self) -> Iterator[Any]:
        """Yield the video stream's packets, flush packet included."""
        try:
            yield from self._container.demux(self._stream)
            return
        except av.FFmpegError as exc:
            failure = _failure(exc)
        raise SourceError(f"{self._name} stopped sending: {failure}; it is reopened")

    def _refuse_change(self, keyframe: Any) -> None:
        """One opening is one format: the container's header holds the first parameter set only."""
        changed = False
        if keyframe.has_sidedata("new_extradata"):
            changed = bytes(keyframe.get_sidedata("new_extradata")) != self.format.extradata
        sps = sequence_parameter_set(bytes(memoryview(keyframe)[:HEAD_BYTES]), self.format.codec)
        if sps is not None:
            changed = changed or self._sps not in (None, sps)
            self._sps = sps
        if changed:
            raise SourceError(f"{self._name} changed its video format; it is reopened")

    def _make_encoder(self, request: InputRequest) -> Any:
        from agent.camera.av_encoder import AvTranscoder

        return AvTranscoder(self._stream, request.name, _fps(self._stream, request.fps_hint), request.encoding)

    def _describe(self, request: InputRequest) -> VideoFormat:
        has_sound = sound_streams([stream.type for stream in self._container.streams]) > 0
        fps = _fps(self._stream, request.fps_hint)
        if self._encoder is not None:
            described: VideoFormat = self._encoder.format(fps, has_sound)
            return described
        context = self._stream.codec_context
        return VideoFormat(
            codec=context.name,
            width=context.width,
            height=context.height,
            fps=fps,
            time_base=Fraction(self._stream.time_base),
            extradata=bytes(context.extradata or b""),
            source_has_sound=has_sound,
            passthrough=True,
            template=_own_template(self._stream),
        )


def frame_ticks(video_format: VideoFormat) -> int:
    """Return how long one frame lasts at the format's frame rate, in its time base."""
    return max(1, round(1 / (float(video_format.time_base) * video_format.fps)))


def _open_container(request: InputRequest) -> InputContainer:
    timeout = (request.read_timeout_s, request.read_timeout_s)
    try:
        return av.open(request.url, "r", format=request.container, options=dict(request.options), timeout=timeout)
    except (av.FFmpegError, OSError, ValueError) as exc:
        kind = DeviceBusyError if getattr(exc, "errno", None) == errno.EBUSY else SourceError
        failure = _failure(exc)
    raise kind(f"{request.name} cannot be opened: {failure}")


def _video_stream(container: InputContainer, name: str) -> Any:
    if not container.streams.video:
        raise SourceError(f"{name} holds no video stream; check that it is the camera's video address or a video file")
    stream = container.streams.video[0]
    refuse_unless_video(stream.type)
    if stream.codec_context is None or not stream.codec_context.width:
        raise SourceError(f"{name} has video that cannot be read; check the file or the camera's encoder settings")
    return stream


def _fps(stream: Any, hint: float) -> float:
    rate = stream.average_rate or stream.guessed_rate or stream.base_rate
    return float(rate) if rate and 0 < rate <= 1000 else hint


def _own_template(stream: Any) -> Any:
    """Return a copy of the stream's parameters that outlives the input (a closed input frees its streams)."""
    scratch = av.open(_Nowhere(), "w", format="mp4")
    return scratch.add_stream_from_template(stream, opaque=True)


class _Nowhere:
    """A file object for a container that is never written."""

    def write(self, data: bytes) -> int:
        return len(data)


_NEXT_STEPS: tuple[tuple[Callable[[BaseException], bool], str], ...] = (
    (lambda exc: isinstance(exc, FileNotFoundError), "there is no such file or device; check the address"),
    (lambda exc: isinstance(exc, PermissionError), "access is not allowed; check the owner and group of it"),
    (lambda exc: isinstance(exc, IsADirectoryError), "it is a directory; name a video file"),
    (lambda exc: isinstance(exc, av.InvalidDataError), "it is no readable video; check the file or the encoder"),
    (
        lambda exc: isinstance(exc, (av.HTTPUnauthorizedError, av.HTTPForbiddenError)),
        "it refused the credentials; check user and password",
    ),
    (lambda exc: isinstance(exc, av.HTTPNotFoundError), "it has no stream of that path; check the address"),
    (lambda exc: isinstance(exc, ConnectionRefusedError), "it refused the connection; check power, address and port"),
    (
        lambda exc: isinstance(exc, (av.ExitError, TimeoutError)),
        "it sent nothing within the read timeout; check power and cable",
    ),
    (lambda exc: isinstance(exc, av.EOFError), "it ended before any video came; check the file or the encoder"),
    (lambda exc: getattr(exc, "errno", None) == errno.EBUSY, "another program uses it; stop that program"),
    (
        lambda exc: getattr(exc, "errno", None) in (errno.EHOSTUNREACH, errno.ENETUNREACH),
        "there is no way to it; check the cable and the network settings",
    ),
)


def _failure(exc: BaseException) -> str:
    """Return what failed and the next step, without libav's text when that could hold the address."""
    for matches, text in _NEXT_STEPS:
        if matches(exc):
            return text
    reason = getattr(exc, "strerror", None) or type(exc).__name__
    return f"{str(reason).lower()}; check the address, the cable and the camera"
