"""Builds `pole-upload` from the configuration: the link, the uploader, the eraser and the status file."""

import logging
from contextlib import closing

from agent.clock import Clock
from agent.clock_sync import read_clock_state
from agent.config import Config
from agent.fault_board import FaultBoard
from agent.recording.spool import Spool
from agent.status_file import read_status
from agent.supervise import Supervisor, Worker, WorkerContext
from agent.systemd_service_manager import service_manager_for
from agent.upload.bell_windows import bell_windows
from agent.upload.eraser import Eraser
from agent.upload.receipts import ReceiptCheck
from agent.upload.tus_link import TusLink
from agent.upload.upload_status import SERVICE, UploadStatus
from agent.upload.uploader import Uploader

UPLOAD_SILENCE_S = 180.0  # one minute of back-off, and every time limit of one request
ERASE_SILENCE_S = 900.0  # half a million segments may be due at once after weeks without power


def build_upload_service(config: Config, clock: Clock) -> Supervisor:
    """Return the upload service, ready to run.

    Raises:
        SpoolError: the spool cannot be opened.
        ContractError: `center.receipt_key` is not a verifier key.
    """
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it tells of every request at INFO
    config.run_dir.mkdir(parents=True, exist_ok=True)
    faults = FaultBoard(clock)
    receipts = ReceiptCheck(config.center.receipt_key, config.pole.id)
    spool = Spool(config.spool, config.pole.id, clock)
    link = TusLink(config.center, clock)

    def windows() -> list[tuple[int, int]]:
        return bell_windows(read_status(config.run_dir, "bell"), config.bell)

    uploader = Uploader(spool, link, link, receipts, windows, faults, clock)
    eraser = Eraser(
        spool, config.pole.retention_days, faults, clock, lambda: read_clock_state().synced, link.center_utc_us
    )
    status = UploadStatus(config.run_dir, config.center.cert_file, spool, link, uploader, faults, clock)

    def send(context: WorkerContext) -> None:
        with closing(link):
            uploader.run(context)

    workers = [
        Worker("uploader", send, stall_s=UPLOAD_SILENCE_S),
        Worker("eraser", eraser.run, stall_s=ERASE_SILENCE_S),
        Worker("status", status.run),
    ]
    return Supervisor(SERVICE, workers, clock, service_manager_for())
