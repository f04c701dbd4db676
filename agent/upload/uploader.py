"""Sends the spool to the center and deletes only on its receipt (DESIGN decisions 5 and 7).

Rules:
* footage around an open bell incident goes first, even in the middle of another segment; then the newest;
* the order for one segment: ask for its receipt when an attempt was cut off, announce, send what is missing,
  fetch the receipt, verify it, store it, delete. Each step is durable before the next, and any may be repeated;
* after a cut the sending goes on where the center's durable bytes end: at most one chunk goes twice;
* an attempt that ends without progress doubles the wait up to a minute; progress starts it over;
* a segment refused for its own sake is set aside with a wait of its own and never blocks the others; so are records
  that the center refuses or fails at: one record that it stumbles over must not keep the footage here;
* a segment whose file is no longer what its record says is quarantined, never sent as if it were whole.
"""

import hashlib
import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from agent.clock import Clock
from agent.errors import LinkError, LinkRefusedError, SpoolError, SpoolFullError
from agent.fault_board import FaultBoard
from agent.recording.spool import Spool, SpooledSegment
from agent.supervise import WorkerContext
from agent.upload.backoff import Backoff, SetAside
from agent.upload.bell_windows import in_windows
from agent.upload.link import (
    CenterFailedError,
    CenterFullError,
    DigestMismatchError,
    RecordLink,
    RemoteUpload,
    SegmentLink,
    SegmentRefusedError,
)
from agent.upload.receipts import ReceiptCheck

log = logging.getLogger(__name__)

CHUNK_BYTES = 1 << 20
RECORD_BATCH = 128
LOOK_AHEAD = 16
IDLE_S = 1.0
RECORDS = "records"
LINK_FAULTS = (LinkError.fault, LinkRefusedError.fault, CenterFullError.fault)

Windows = list[tuple[int, int]]
Pulse = Callable[[], object]


class SegmentDamagedError(SpoolError):
    """The spool's file is not what its record says; it is kept in quarantine and never sent."""

    fault = "segment-damaged"


class _StoppingError(Exception):
    """The service stops in the middle of a segment; nobody else may catch it."""


class Uploader:
    """One worker; `segments_receipted`, `segments_deleted` and `advanced` (bytes and steps) only grow."""

    def __init__(
        self,
        spool: Spool,
        link: SegmentLink,
        records: RecordLink,
        receipts: ReceiptCheck,
        windows: Callable[[], Windows],
        faults: FaultBoard,
        clock: Clock,
        chunk_bytes: int = CHUNK_BYTES,
    ) -> None:
        self._spool = spool
        self._link = link
        self._records = records
        self._receipts = receipts
        self._windows = windows
        self._faults = faults
        self._clock = clock
        self._chunk_bytes = chunk_bytes
        self._aside = SetAside()
        self._cut_off: set[str] = set()
        self._refused: dict[str, tuple[str, str]] = {}
        self._backoff = Backoff()
        self._records_from: int | None = None
        self.advanced = 0
        self.segments_receipted = 0
        self.segments_deleted = 0

    def run(self, context: WorkerContext) -> None:
        """Send until the service stops; a chunk that is on its way is given up then, it is not lost."""

        def pulse() -> None:
            context.beat()
            if context.stopping:
                raise _StoppingError

        with suppress(_StoppingError):
            while not context.stopping:
                context.wait(self.attempt(pulse))

    def attempt(self, pulse: Pulse) -> float:
        """Try once, let faults stand or end, and return the seconds to wait before the next attempt."""
        before = self.advanced
        try:
            busy = self.run_once(pulse)
        except LinkError as error:
            self._faults.report_error(error)
            self._clear_link_faults(but=error.fault)
            self._backoff = (Backoff() if self.advanced > before else self._backoff).failed()
            return self._backoff.delay_s()
        except SpoolError as error:
            self._faults.report_error(error)
            self._backoff = self._backoff.failed()
            return self._backoff.delay_s()
        for fault in (SpoolError.fault, SpoolFullError.fault):
            self._faults.clear(fault)
        if self.advanced > before:
            self._backoff = Backoff()
        return 0.0 if busy else IDLE_S

    def run_once(self, pulse: Pulse = lambda: None) -> bool:
        """Send one batch of records and one segment (or the part of it that fits before a bell's footage).

        Returns whether there was something to do.

        Raises:
            LinkError: the center cannot be reached or refuses the pole.
            SpoolError: the spool cannot be read or written.
        """
        sent = self._send_records()
        segment = self._next(self._windows())
        if segment is None:
            return sent
        try:
            self._upload(segment, pulse)
        except SegmentRefusedError as error:
            self._set_aside(segment, error, pulse)
        except SegmentDamagedError as error:
            self._quarantine(segment, str(error))
        return True

    # -- which one ----------------------------------------------------------------------------------------------

    def _next(self, windows: Windows) -> SpooledSegment | None:
        now_s = self._clock.mono_s()
        most = LOOK_AHEAD + len(self._aside)
        candidates = self._spool.pending(most, windows)
        if self._refused and len(candidates) < most:
            for gone in self._refused.keys() - {one.segment for one in candidates}:
                self._accepted(gone)  # it was expired or evicted
        return next((one for one in candidates if not self._aside.waiting(one.segment, now_s)), None)

    def _overtaken(self, segment: SpooledSegment) -> bool:
        """Return whether footage of an open bell incident waits, and this segment is not part of it."""
        windows = self._windows()
        if not windows or in_windows(windows, segment.start_us, segment.end_us):
            return False
        first = self._next(windows)
        return first is not None and in_windows(windows, first.start_us, first.end_us)

    # -- one segment --------------------------------------------------------------------------------------------

    def _upload(self, segment: SpooledSegment, pulse: Pulse) -> None:
        if segment.segment in self._cut_off and self._take_receipt(segment):
            return
        self._cut_off.add(segment.segment)
        with _opened(segment) as file:
            upload = self._link.create(segment.segment, segment.sha256, segment.bytes, segment.record)
            self._clear_link_faults()
            while upload.offset < segment.bytes:
                upload = self._append(upload, file, segment, pulse)
                if upload.offset < segment.bytes and self._overtaken(segment):
                    log.info("upload overtaken by a bell segment=%s offset=%d", segment.segment, upload.offset)
                    return
        if not self._take_receipt(segment):
            self._link.append(upload, b"", pulse)
            if not self._take_receipt(segment):
                raise LinkError(f"the center holds every byte of {segment.segment} and gives no receipt, look there")

    def _append(self, upload: RemoteUpload, file: BinaryIO, segment: SpooledSegment, pulse: Pulse) -> RemoteUpload:
        file.seek(upload.offset)
        chunk = file.read(min(self._chunk_bytes, segment.bytes - upload.offset))
        if not chunk:
            raise SegmentDamagedError(f"segment {segment.segment} ends at {upload.offset} of {segment.bytes} bytes")
        following = self._link.append(upload, chunk, pulse)
        self.advanced += following.offset - upload.offset
        return following

    def _take_receipt(self, segment: SpooledSegment) -> bool:
        """Fetch, verify and store the receipt, then delete the file; return False when there is none yet."""
        note = self._link.receipt(segment.segment)
        if note is None:
            return False
        self._receipts.check(note, segment.segment, segment.sha256, segment.bytes)
        self._clear_link_faults()
        self._spool.receipt(segment.segment, note)
        self.segments_receipted += 1
        self.advanced += 1
        self._spool.delete_receipted(segment.segment)
        self.segments_deleted += 1
        self._accepted(segment.segment)
        log.info("segment delivered segment=%s bytes=%d", segment.segment, segment.bytes)
        return True

    def _accepted(self, segment: str) -> None:
        """Forget what stood against a segment; its fault ends with the last one that had it."""
        self._cut_off.discard(segment)
        self._aside.accept(segment)
        fault = self._refused.pop(segment, None)
        if fault is not None and fault not in self._refused.values():
            self._faults.clear(*fault)

    def _clear_link_faults(self, but: str = "") -> None:
        for fault in LINK_FAULTS:
            if fault != but:
                self._faults.clear(fault)

    def _set_aside(self, segment: SpooledSegment, error: SegmentRefusedError, pulse: Pulse) -> None:
        if isinstance(error, DigestMismatchError) and _digest_of(segment.path, pulse) != segment.sha256:
            self._quarantine(segment, f"segment {segment.segment} no longer has the digest of its record")
            return
        self._clear_link_faults()
        fault = (error.fault, segment.camera)
        if self._refused.get(segment.segment, fault) != fault:
            self._accepted(segment.segment)  # it is refused for another reason now
        self._refused[segment.segment] = fault
        self._faults.report_error(error, segment.camera)
        self._aside.refuse(segment.segment, self._clock.mono_s())

    def _quarantine(self, segment: SpooledSegment, reason: str) -> None:
        before = self._spool.totals().quarantined
        with suppress(SpoolError):  # it was evicted or expired while we read it: nothing is damaged
            self._spool.quarantine(segment.segment, reason)
        if self._spool.totals().quarantined > before:
            self._faults.report(SegmentDamagedError.fault, f"{reason}, test the disk", segment.camera)
        self._accepted(segment.segment)

    # -- records ------------------------------------------------------------------------------------------------

    def _send_records(self) -> bool:
        if self._aside.waiting(RECORDS, self._clock.mono_s()):
            return False
        first = self._spool.records_acknowledged() if self._records_from is None else self._records_from
        batch = self._spool.records_after(first, RECORD_BATCH)
        if not batch:
            return False
        first = batch[0][0]
        try:
            following = self._records.send_records(first, [record for _, record in batch], self._spool.log_id())
        except (SegmentRefusedError, CenterFailedError) as error:
            return self._refuse_records(str(error))
        self._clear_link_faults()
        if following < first:
            return self._go_back(first, following)
        self._records_from = None
        self._aside.accept(RECORDS)
        self._faults.clear(LinkRefusedError.fault, RECORDS)
        acknowledged = min(following, first + len(batch))
        if acknowledged > self._spool.records_acknowledged():
            self._spool.acknowledge_records(acknowledged)
            self.advanced += 1
        elif acknowledged > first:
            self._records_from = acknowledged
        return acknowledged > first

    def _go_back(self, first: int, wanted: int) -> bool:
        """The center lacks records before `first` (it was restored from a backup): send them again if we have them."""
        held = self._spool.records_after(wanted, 1)
        if held and held[0][0] == wanted:
            self._records_from = wanted
            return True
        return self._refuse_records(f"the center wants records from {wanted} on, the pole has them from {first} on")

    def _refuse_records(self, reason: str) -> bool:
        self._clear_link_faults()
        self._faults.report(LinkRefusedError.fault, reason, RECORDS)
        self._aside.refuse(RECORDS, self._clock.mono_s())
        return False


def _opened(segment: SpooledSegment) -> BinaryIO:
    try:
        return segment.path.open("rb")
    except FileNotFoundError as exc:
        raise SegmentDamagedError(f"segment {segment.segment} has no file") from exc
    except OSError as exc:
        raise SpoolError(f"segment {segment.segment} cannot be read, test the disk: {exc}") from exc


def _digest_of(path: Path, pulse: Pulse) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
                pulse()
    except OSError:
        return ""
    return digest.hexdigest()
