"""What pole-upload says of itself (agent.upload.upload_status, agent.upload.certificate)."""

from pathlib import Path
from types import SimpleNamespace

from support.certificates import CertificateShop, certificates
from support.ingest_server import PoleSide

from agent.clock import SystemClock
from agent.fault_board import FaultBoard
from agent.status_file import read_status
from agent.upload.certificate import certificate_days_left, certificate_fault
from agent.upload.upload_status import UploadStatus
from center import pki

__all__ = ["certificates"]


def written(directory: Path, cert_file: Path) -> object:
    clock = SystemClock()
    pole = PoleSide(directory, clock)
    pole.seal()
    link = SimpleNamespace(bytes_sent=12, last_answer_age_s=0.5)
    uploader = SimpleNamespace(segments_receipted=3, segments_deleted=2)
    faults = FaultBoard(clock)
    UploadStatus(directory, cert_file, pole.spool, link, uploader, faults, clock).run_once()
    return read_status(directory, "upload")


def test_the_status_file_says_how_link_and_backlog_are(tmp_path: Path, certificates: CertificateShop):
    status = written(tmp_path, certificates.pole().cert_file)
    assert (status.upload.bytes_sent, status.upload.segments_receipted, status.upload.segments_deleted) == (12, 3, 2)
    assert status.upload.last_answer_age_s == 0.5
    assert status.spool.pending_segments == 1 and status.spool.pending_bytes > 100_000
    assert status.upload.certificate_days_left == pki.CERTIFICATE_DAYS - 1
    assert status.faults == []


def test_a_certificate_that_ended_is_a_fault(tmp_path: Path, certificates: CertificateShop):
    status = written(tmp_path, certificates.expired_pole().cert_file)
    assert [fault.code for fault in status.faults] == ["certificate-expired"]


def test_a_certificate_that_ends_soon_is_a_fault(tmp_path: Path, certificates: CertificateShop):
    soon = pki.issue_pole(certificates.directory, "pole-soon", days=5)
    status = written(tmp_path, soon.cert_file)
    assert [fault.code for fault in status.faults] == ["certificate-expiring"]


def test_a_certificate_of_more_than_two_weeks_is_none():
    assert certificate_fault(14) is None
    assert certificate_fault(13) is not None


def test_an_unreadable_certificate_has_no_days(tmp_path: Path):
    (tmp_path / "pole.crt").write_text("not a certificate")
    assert certificate_days_left(tmp_path / "pole.crt", 0) is None
    assert certificate_days_left(tmp_path / "missing.crt", 0) is None
