"""The whole upload service, as `pole-agent upload` runs it, against a real center."""

import threading
from pathlib import Path

import pytest
from support.certificates import CertificateShop, certificates
from support.ingest_server import POLE, IngestServer, PoleSide

from agent.clock import SystemClock
from agent.config import Config, SealingConfig
from agent.status_file import ServiceStatus, read_status
from agent.wiring.upload import build_upload_service
from center.config import load_config
from center.errors import ConfigError
from center.ingest.service import run_ingest

__all__ = ["certificates"]


def wait_for(run_dir: Path, holds: object) -> ServiceStatus:
    """Return the first status for which `holds` is true; the clock of the wait is the service's own second."""
    never = threading.Event()
    for _ in range(600):
        status = read_status(run_dir, "upload")
        if status is not None and holds(status):
            return status
        never.wait(0.05)
    raise AssertionError(f"it never came: {status}")


def test_the_service_delivers_reports_and_stops_in_order(tmp_path: Path, certificates: CertificateShop):
    server = IngestServer(tmp_path / "center", certificates)
    pole = PoleSide(tmp_path / "pole")
    server.trust(pole.recipient)
    records = [pole.seal() for _ in range(3)]
    config = Config(
        pole=pole.pole,
        center=server.link_config(),
        sealing=SealingConfig(recipients_file=tmp_path / "recipients"),
        spool=pole.config,
        cameras=(),
        run_dir=tmp_path / "run",
        state_dir=tmp_path / "state",
    )
    service = build_upload_service(config, SystemClock())
    statuses: list[int] = []
    running = threading.Thread(target=lambda: statuses.append(service.run(catch_signals=False)))
    running.start()
    try:
        down = wait_for(config.run_dir, lambda status: status.faults)
        assert [fault.code for fault in down.faults] == ["link-down"]
        assert down.upload.last_answer_age_s is None and down.spool.pending_segments == 3
        server.start()
        done = wait_for(config.run_dir, lambda status: status.upload.segments_deleted == 3 and not status.faults)
    finally:
        service.request_stop()
        running.join(20)
        server.stop()
        pole.spool.close()
    assert statuses == [0]
    assert done.upload.segments_receipted == 3 and done.upload.certificate_days_left > 300
    assert done.upload.bytes_sent == sum(record.bytes for record in records)
    assert done.upload.last_answer_age_s is not None and done.spool.pending_segments == 0
    assert POLE in {path.name for path in (server.state_dir / "objects").iterdir()}


@pytest.mark.parametrize("damage", ["cert_file", "receipt.key", "port"])
def test_a_center_that_cannot_start_says_which_key_is_wrong(tmp_path: Path, certificates: CertificateShop, damage: str):
    server = IngestServer(tmp_path / "center", certificates)
    text = server.config_file.read_text()
    if damage == "cert_file":
        server.config_file.write_text(text.replace(str(certificates.center().cert_file), "/nowhere.crt", 1))
    elif damage == "receipt.key":
        (server.directory / "receipt.key").write_text("not a key")
    else:
        server.start()
    key = {"cert_file": "ingest.cert_file", "receipt.key": "receipts.key_file", "port": "ingest.port"}[damage]
    with pytest.raises(ConfigError, match=key):
        run_ingest(load_config(server.config_file))
    server.stop()
