"""Writes `run_dir/upload.json` once a second: the link, the backlog, and what stands against them (R-MAINT)."""

import logging
import os
from pathlib import Path
from typing import Protocol

from agent.clock import Clock
from agent.contract.messages import SpoolReading, UploadReading
from agent.errors import SpoolError
from agent.fault_board import FaultBoard
from agent.recording.spool import Spool
from agent.status_file import ServiceStatus, write_status
from agent.supervise import WorkerContext
from agent.upload.certificate import certificate_days_left, certificate_fault

log = logging.getLogger(__name__)

SERVICE = "upload"
EVERY_S = 1.0
CERTIFICATE_FAULTS = ("certificate-expiring", "certificate-expired")


class LinkCounters(Protocol):
    """What the link counts."""

    bytes_sent: int

    @property
    def last_answer_age_s(self) -> float | None:
        """Seconds since the center last answered."""
        ...


class UploadCounters(Protocol):
    """What the uploader counts."""

    segments_receipted: int
    segments_deleted: int


class UploadStatus:
    """One worker."""

    def __init__(
        self,
        run_dir: Path,
        cert_file: Path,
        spool: Spool,
        link: LinkCounters,
        uploader: UploadCounters,
        faults: FaultBoard,
        clock: Clock,
    ) -> None:
        self._run_dir = run_dir
        self._cert_file = cert_file
        self._spool = spool
        self._link = link
        self._uploader = uploader
        self._faults = faults
        self._clock = clock

    def run(self, context: WorkerContext) -> None:
        """Write until the service stops; a directory that cannot be written is health's to see (service-silent)."""
        told = False
        while not context.stopping:
            try:
                self.run_once()
                told = False
            except OSError as exc:
                if not told:
                    log.error("status file not written dir=%s reason=%s", self._run_dir, exc)
                told = True
            context.wait(EVERY_S)

    def run_once(self) -> ServiceStatus:
        """Write the file and return what it says.

        Raises:
            OSError: the directory cannot be written.
        """
        days_left = certificate_days_left(self._cert_file, self._clock.utc_us())
        self._judge_certificate(days_left)
        status = ServiceStatus(
            service=SERVICE,
            pid=os.getpid(),
            written_at_us=self._clock.utc_us(),
            written_mono_s=self._clock.mono_s(),
            spool=self._spool_reading(),
            upload=UploadReading(
                last_answer_age_s=self._link.last_answer_age_s,
                bytes_sent=self._link.bytes_sent,
                segments_receipted=self._uploader.segments_receipted,
                segments_deleted=self._uploader.segments_deleted,
                certificate_days_left=days_left,
            ),
            faults=self._faults.standing(),
        )
        write_status(self._run_dir, status)
        return status

    def _judge_certificate(self, days_left: int | None) -> None:
        fault = certificate_fault(days_left)
        for code in CERTIFICATE_FAULTS:
            if fault is None or fault[0] != code:
                self._faults.clear(code)
        if fault is not None and fault[0] in CERTIFICATE_FAULTS:
            self._faults.report(*fault)

    def _spool_reading(self) -> SpoolReading | None:
        try:
            return self._spool.reading()
        except SpoolError as error:
            self._faults.report_error(error)
            return None
