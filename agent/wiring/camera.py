"""Builds `pole-camera@<id>` from the configuration: one source, one spool, four workers. It has no way out."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from agent.camera.encoding import Encoding
from agent.camera.frame_source import FrameSource, VideoFormat
from agent.camera.no_audio_guard import InitSegmentGuard
from agent.clock import Clock
from agent.config import CameraConfig, Config
from agent.errors import SourceError
from agent.fault_board import FaultBoard
from agent.recording.av_muxer import AvMuxer, self_test
from agent.recording.boot_id import read_boot_id
from agent.recording.camera_status import CameraStatus
from agent.recording.reader import CameraReader
from agent.recording.recipients import RecipientsFile
from agent.recording.recorder import RecordedCamera, Recorder, RecorderPorts
from agent.recording.recorder_queue import RecorderQueue
from agent.recording.segmenter import Segmenter, SegmentSink, SegmentStart
from agent.recording.spool import Spool
from agent.status_file import read_status
from agent.supervise import Supervisor, Worker
from agent.systemd_service_manager import service_manager_for

QUEUE_S = 10.0
WAITING_FRAMES = 60  # what stays in the processor's cache: a source that waits needs no more
STALL_S = 60.0
ROOM_FACTOR = 1.5


def build_camera_service(config: Config, camera_id: str, clock: Clock) -> Supervisor:
    """Return the service of one camera, ready to run; `camera_id` must be configured."""
    camera = next(camera for camera in config.cameras if camera.id == camera_id)
    return assemble(config, camera, partial(make_source, camera, clock), clock)


def assemble(
    config: Config,
    camera: CameraConfig,
    source: Callable[[], FrameSource],
    clock: Clock,
    open_spool: Callable[[], Spool] | None = None,
) -> Supervisor:
    """Return the service of one camera over any source; `source` makes a closed one at each call."""
    faults = FaultBoard(clock)
    may_wait = camera.source == "replay"
    queue = RecorderQueue(WAITING_FRAMES if may_wait else round(QUEUE_S * max(camera.fps, 15)), may_wait=may_wait)
    reader = CameraReader(camera.id, partial(_checked, source), queue, faults, clock)
    ports = RecorderPorts(
        open_spool=open_spool or partial(Spool, config.spool, config.pole.id, clock),
        recipients=RecipientsFile(config.sealing.recipients_file),
        make_segmenter=partial(_make_segmenter, camera.segment_s),
        protected_windows=partial(bell_windows, config),
        boot_id=read_boot_id,
        refuse_sound=reader.refuse,
        reopen_source=reader.interrupt,
    )
    expected_bytes = round(camera.bitrate_kbps * 125 * camera.segment_s * ROOM_FACTOR)
    recorded = RecordedCamera(camera.id, camera.management_number, camera.purpose, expected_bytes)
    recorder = Recorder(recorded, queue, ports, faults, clock)
    status = CameraStatus(config.run_dir, camera.id, camera.source, reader, queue, recorder, faults, clock)
    workers = [
        Worker("reader", reader.run, stall_s=STALL_S),
        Worker("writer", recorder.run, stall_s=STALL_S),
        Worker("status", status.run),
    ]
    return Supervisor(f"camera-{camera.id}", workers, clock, service_manager_for())


def bell_windows(config: Config) -> list[tuple[int, int]]:
    """Return the spans (UTC us) around open bell incidents, whose footage must not be evicted."""
    status = read_status(config.run_dir, "bell")
    before_us = round(config.bell.window_before_s * 1_000_000)
    after_us = round(config.bell.window_after_s * 1_000_000)
    incidents = status.incidents if status is not None else []
    return [(incident.pressed_at_us - before_us, incident.pressed_at_us + after_us) for incident in incidents]


def make_source(camera: CameraConfig, clock: Clock) -> FrameSource:
    """Return the camera's source, closed; only the library it needs is imported.

    Raises:
        SourceError: its library or its address file is missing.
    """
    timeout_s = camera.read_timeout_s
    encoding = Encoding(camera.bitrate_kbps)
    if camera.source == "replay":
        from agent.camera.replay_source import ReplaySource

        return ReplaySource(Path(camera.address), clock, read_timeout_s=timeout_s, encoding=encoding)
    if camera.source == "rtsp":
        from agent.camera.rtsp_source import RtspSource

        return RtspSource(_address(camera), fps=camera.fps, read_timeout_s=timeout_s, encoding=encoding)
    if camera.source == "v4l2":
        from agent.camera.v4l2_source import V4l2Source

        return V4l2Source(
            Path(camera.address), camera.width, camera.height, camera.fps,
            read_timeout_s=timeout_s, encoding=encoding,
        )  # fmt: skip
    from agent.camera.picamera2_source import Picamera2Source

    return Picamera2Source(
        int(camera.address), camera.width, camera.height, camera.fps,
        bitrate_kbps=camera.bitrate_kbps, read_timeout_s=timeout_s,
    )  # fmt: skip


def _address(camera: CameraConfig) -> str:
    """Return the address, read anew when it lies in a file of its own (it may hold a password)."""
    if camera.address_file is None:
        return camera.address
    try:
        return camera.address_file.read_text().splitlines()[0].strip()
    except (OSError, IndexError) as error:
        raise SourceError(f"address file {camera.address_file} cannot be read; install it") from error


def _checked(source: Callable[[], FrameSource]) -> FrameSource:
    """Return a source after the muxer proved that it loses no packet (FACTS "PyAV")."""
    self_test()
    return source()


def _make_segmenter(
    segment_s: float, video_format: VideoFormat, begin: Callable[[SegmentStart], SegmentSink]
) -> Segmenter:
    return Segmenter(video_format, begin, segment_s, AvMuxer, InitSegmentGuard)
