"""The thread that writes: frames -> segmenter -> guard -> sealer -> spool, and the record of every time without video.

Rules:
* no error of the disk, the recipients or the muxer ends the thread: the segment is left to recovery, a fault stands,
  a gap with its cause begins, and it is tried again with a back-off at a keyframe;
* nothing is written about a camera while an abandoned segment of it waits for recovery: its torn part comes first;
* the recipients file is read at each segment; without a recipient it is looked at every `RECIPIENT_RETRY_S`;
* sound at the guard ends recording until the service is started again (R-AUDIO);
* in order to stop, the open segment is sealed, the gap so far is recorded and the run is noted as clean.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from agent.camera.frame_source import EncodedFrame, VideoFormat
from agent.clock import Clock
from agent.contract.errors import PoleAgentError, SealError
from agent.contract.records import BootRecord, GapCause, GapRecord, SegmentRecord
from agent.errors import NoRecipientError, SoundRefusedError, SourceError, SpoolError, SpoolFullError
from agent.fault_board import FaultBoard
from agent.recording.coverage import Coverage, Gap, cause_of_absence
from agent.recording.journal import SegmentHeader
from agent.recording.recipients import RecipientChoice, RecipientsFile
from agent.recording.recorder_queue import POLL_S, Arrived, Item, Lost, Opened, RecorderQueue
from agent.recording.sealer import SegmentSealer
from agent.recording.segmenter import Segmenter, SegmentSink, SegmentStart
from agent.recording.spool import Spool
from agent.recording.spool_error import is_full, spool_error
from agent.recording.utc_anchor import UtcAnchor
from agent.supervise import WorkerContext

log = logging.getLogger(__name__)

RECIPIENT_RETRY_S = 2.0
FIRST_BACKOFF_S = 1.0
MAX_BACKOFF_S = 30.0
TICK_S = 1.0
EVICTING_S = 60.0


@dataclass(frozen=True)
class RecordedCamera:
    """What records say of a camera, and how much room one of its segments may take."""

    id: str
    management_number: str
    purpose: str
    expected_bytes: int


@dataclass(frozen=True)
class RecorderPorts:
    """What a recorder is given: each is asked anew when it is needed."""

    open_spool: Callable[[], Spool]
    recipients: RecipientsFile
    make_segmenter: Callable[[VideoFormat, Callable[[SegmentStart], SegmentSink]], Segmenter]
    protected_windows: Callable[[], Sequence[tuple[int, int]]]
    boot_id: Callable[[], str]
    refuse_sound: Callable[[SoundRefusedError], None]
    reopen_source: Callable[[], None]


class Recorder:
    """Records one camera from a `RecorderQueue` into the spool; `run` is one worker, counters are read by others."""

    def __init__(
        self, camera: RecordedCamera, queue: RecorderQueue, ports: RecorderPorts, faults: FaultBoard, clock: Clock
    ) -> None:
        self._camera = camera
        self._queue = queue
        self._ports = ports
        self._faults = faults
        self._clock = clock
        self._spool: Spool | None = None
        self._coverage: Coverage | None = None
        self._torn_waits = False
        self._format: VideoFormat | None = None
        self._segmenter: Segmenter | None = None
        self._sealer: SegmentSealer | None = None
        self._anchor: UtcAnchor | None = None
        self._arrived_us = 0
        self._retry_mono_s = 0.0
        self._ticked_mono_s = 0.0
        self._backoff_s = FIRST_BACKOFF_S
        self._evicted_mono_s: float | None = None
        self.segments = 0
        self.bytes_sealed = 0
        self._frames_dropped = 0
        self.sound_checked_at_us: int | None = None
        self.video_format: VideoFormat | None = None

    @property
    def recording(self) -> bool:
        """Whether a segment is open."""
        return self._sealer is not None

    @property
    def frames_dropped(self) -> int:
        """Frames that arrived and could not be written: no segment was open, or it had to begin with a keyframe."""
        segmenter = self._segmenter
        return self._frames_dropped + (segmenter.frames_dropped if segmenter is not None else 0)

    def run(self, context: WorkerContext) -> None:
        """Record until the service stops; may be called again after it failed."""
        self._abandon()
        while not context.stopping:
            self.run_once()
            context.beat()
        self._ports.reopen_source()
        self.stop()

    def run_once(self) -> None:
        """Write what arrived, or wait `POLL_S` for it; about every `TICK_S` look after gaps and recovery."""
        items = self._queue.take(POLL_S)
        now_mono_s = self._clock.mono_s()
        if now_mono_s - self._ticked_mono_s >= TICK_S:
            self._ticked_mono_s = now_mono_s
            self._guarded(self._tick)
        self._write(items)

    def stop(self) -> None:
        """Write what was read, seal the open segment, record the gap so far and note that the run was clean."""
        self._write(self._queue.take(0.0))
        was_recording = self._sealer is not None
        self._guarded(self._finish)
        if was_recording and self._coverage is not None:
            self._coverage = Coverage(self._coverage.covered_until_us, "maintenance", "the service stops")
        self._guarded(self._sign_off)

    # -- what arrives -----------------------------------------------------------------------------------------

    def _write(self, items: list[Item]) -> None:
        """Handle each item once; after one that failed, go on with the next."""
        rest = iter(items)
        while not self._guarded(partial(self._write_until_error, rest)):
            pass

    def _write_until_error(self, rest: Iterator[Item]) -> None:
        for item in rest:
            if not isinstance(item, EncodedFrame):
                self._handle(item)
            elif self._segmenter is not None:
                self._segmenter.feed(item)
            else:
                self._frames_dropped += 1

    def _handle(self, item: Arrived | Opened | Lost) -> None:
        if isinstance(item, Opened):
            self._guarded(self._finish)
            self._format = self.video_format = item.format
            self._anchor = None
        elif isinstance(item, Lost):
            self._guarded(self._finish)
            self._anchor = None
            self._format = self._format if item.follows else None
            self._pause(item.cause, item.detail)
        else:
            self._arrived_us = item.at_us
            self._feed(item)

    def _feed(self, item: Arrived) -> None:
        if self._segmenter is None:
            if self._format is None or self._clock.mono_s() < self._retry_mono_s:
                self._frames_dropped += 1
                return
            self._segmenter = self._ports.make_segmenter(self._format, self._begin)
        self._segmenter.feed(item.frame)

    def _begin(self, start: SegmentStart) -> SegmentSink:
        """Open a segment for the segmenter: recipient first, then the gap before it, then the file."""
        spool = self._ready_spool()
        choice = self._choose_recipient()
        anchor = UtcAnchor(start.start_pts_us, self._arrived_us)
        if self._anchor is not None:
            anchor = self._anchor.trimmed(start.start_pts_us, self._arrived_us)
        frame_us = round(1_000_000 / start.format.fps) if start.format.fps > 0 else 0
        start_us = self._cover(lambda coverage: coverage.resumed(anchor.utc_us, frame_us))
        self._anchor = anchor = anchor.held(start_us)
        header = self._header(start, start_us, choice.id)
        evicted = spool.totals().evicted
        spool.make_room(self._camera.expected_bytes, self._ports.protected_windows())
        self._note_evictions(spool.totals().evicted - evicted)
        self._torn_waits = True
        opened = spool.begin(header, expected_bytes=0)
        try:
            self._sealer = SegmentSealer(opened, [choice.recipient], anchor.at, self._clock, self._sealed)
        except (OSError, SealError):
            opened.abandon()
            raise
        self._coverage = Coverage(start_us, "source", "frames are missing")
        return self._sealer

    def _header(self, start: SegmentStart, start_us: int, recipient: str) -> SegmentHeader:
        return SegmentHeader(
            camera=self._camera.id,
            management_number=self._camera.management_number,
            purpose=self._camera.purpose,
            start_us=start_us,
            recipient=recipient,
            codec=start.format.codec,
            width=start.format.width,
            height=start.format.height,
            source_has_sound=start.format.source_has_sound,
        )

    def _sealed(self, record: SegmentRecord) -> None:
        self._sealer = None
        self._torn_waits = False
        if self._coverage is not None:
            self._coverage = self._coverage.recorded(record.end_us)
        self.segments += 1
        self.bytes_sealed += record.bytes
        self.sound_checked_at_us = record.written_at_us
        self._backoff_s = FIRST_BACKOFF_S
        for code in (SpoolError.fault, SpoolFullError.fault):
            self._faults.clear(code)
        self._faults.clear("seal-failed", self._camera.id)

    def _choose_recipient(self) -> RecipientChoice:
        choice = self._ports.recipients.choose()
        self._faults.clear(NoRecipientError.fault)
        if choice.is_fallback:
            self._faults.report("recipient-fallback", "; ".join(choice.passed_over))
        else:
            self._faults.clear("recipient-fallback")
        return choice

    def _note_evictions(self, count: int) -> None:
        now_mono_s = self._clock.mono_s()
        if count:
            self._evicted_mono_s = now_mono_s
            self._faults.report("spool-evicting", f"{count} unsent segment(s) removed for the newest one")
        elif self._evicted_mono_s is not None and now_mono_s - self._evicted_mono_s > EVICTING_S:
            self._evicted_mono_s = None
            self._faults.clear("spool-evicting")

    # -- errors -----------------------------------------------------------------------------------------------

    def _guarded(self, action: Callable[[], object]) -> bool:
        """Do one thing that may fail for a reason we know; then the segment is left to recovery and tried again.

        Returns whether it was done.
        """
        try:
            action()
            return True
        except SoundRefusedError as error:
            self._ports.refuse_sound(error)
            self._fail(error, "sound")
        except NoRecipientError as error:
            self._fail(error, "no-key")
            self._retry_mono_s = self._clock.mono_s() + RECIPIENT_RETRY_S
        except SpoolFullError as error:
            self._fail(error, "storage-full")
        except SourceError as error:
            self._ports.reopen_source()
            self._fail(error, "encoder")
        except SealError as error:
            self._fail(error, "unknown")
        except PoleAgentError as error:
            self._fail(error, "storage-error")
        except OSError as error:
            self._fail(spool_error(error), "storage-full" if is_full(error) else "storage-error")
        return False

    def _fail(self, error: PoleAgentError, cause: GapCause) -> None:
        self._abandon()
        if isinstance(error, SourceError):
            self._format = None
        subject = self._camera.id if isinstance(error, SourceError) or error.fault == "seal-failed" else ""
        self._faults.report_error(error, subject)
        self._retry_mono_s = self._clock.mono_s() + self._backoff_s
        if cause in ("storage-full", "storage-error"):
            self._backoff_s = min(MAX_BACKOFF_S, self._backoff_s * 2)
        self._pause(cause, error.fault)

    def _abandon(self) -> None:
        """Close what is open, also a sink that no segmenter has taken over; whatever fails, nothing stays open."""
        segmenter, sealer = self._leave_segmenter(), self._sealer
        self._sealer = self._anchor = None
        try:
            if segmenter is not None:
                segmenter.abandon()
        finally:
            if sealer is not None:
                self._close_sink(sealer)

    def _close_sink(self, sealer: SegmentSealer) -> None:
        try:
            sealer.abandon()
        except OSError as error:
            log.warning("segment not closed camera=%s error=%s", self._camera.id, error)

    def _pause(self, cause: GapCause, detail: str) -> None:
        """From now on nothing is recorded for this cause; the time before keeps its own."""
        if self._coverage is None:
            return
        if self._torn_waits or self._spool is None:
            self._coverage = Coverage(self._coverage.covered_until_us, cause, detail)
            return
        try:
            self._cover(lambda coverage: coverage.because(cause, detail, self._clock.utc_us()))
        except (PoleAgentError, OSError) as error:
            log.debug("gap waits cause=%s error=%s", cause, error)
            self._coverage = Coverage(self._coverage.covered_until_us, cause, detail)

    # -- spool, recovery, gaps --------------------------------------------------------------------------------

    def _tick(self) -> None:
        if self._sealer is not None or self._clock.mono_s() < self._retry_mono_s:
            return
        self._ready_spool()
        self._cover(lambda coverage: coverage.passed(self._clock.utc_us()))

    def _finish(self) -> None:
        if self._segmenter is not None:
            self._segmenter.finish()
            self._leave_segmenter()

    def _leave_segmenter(self) -> Segmenter | None:
        left, self._segmenter = self._segmenter, None
        self._frames_dropped += left.frames_dropped if left is not None else 0
        return left

    def _sign_off(self) -> None:
        spool = self._ready_spool()
        self._cover(lambda coverage: coverage.flushed(self._clock.utc_us()))
        spool.note_run(self._camera.id, self._ports.boot_id(), clean=True)
        self._spool = self._coverage = None
        spool.close()

    def _ready_spool(self) -> Spool:
        """Return the spool, opened, recovered and with this run noted.

        Raises:
            SpoolError: it cannot be used now.
        """
        if self._spool is None or self._coverage is None:
            self._sign_on()
        elif self._torn_waits:
            self._recover(self._spool)
            self._torn_waits = False
            covered_us = self._spool.covered_until_us(self._camera.id)
            self._coverage = self._coverage.recorded(covered_us or 0)
        assert self._spool is not None
        return self._spool

    def _sign_on(self) -> None:
        if self._spool is None:
            self._spool = self._ports.open_spool()
        spool = self._spool
        self._recover(spool)
        last = spool.start_camera(self._camera.id, self._clock.utc_us())
        boot_id = self._ports.boot_id()
        first_run = last.counter < 0 and not last.boot_id
        boot = BootRecord(**spool.stamp(), service=f"camera-{self._camera.id}", boot_id=boot_id, clean=last.clean)
        spool.append_record(boot)
        spool.note_run(self._camera.id, boot_id, clean=False)
        cause = cause_of_absence(clean=last.clean, last_boot_id=last.boot_id, boot_id=boot_id)
        self._coverage = Coverage(last.covered_until_us, "source" if first_run else cause, "until the first frame")
        self._torn_waits = False

    def _recover(self, spool: Spool) -> None:
        quarantined = spool.totals().quarantined
        spool.recover(self._camera.id)
        if spool.totals().quarantined > quarantined:
            self._faults.report("segment-damaged", "see quarantine/ in the spool", self._camera.id)

    def _cover(self, change: Callable[[Coverage], tuple[Coverage, list[Gap]]]) -> int:
        """Apply a change of coverage, record its gaps, and return the new end of coverage."""
        assert self._coverage is not None
        assert self._spool is not None
        after, gaps = change(self._coverage)
        for gap in gaps:
            self._spool.append_record(
                GapRecord(
                    **self._spool.stamp(),
                    camera=self._camera.id,
                    start_us=gap.start_us,
                    end_us=gap.end_us,
                    cause=gap.cause,
                    detail=gap.detail[:200],
                )
            )
        self._coverage = after
        return after.covered_until_us
