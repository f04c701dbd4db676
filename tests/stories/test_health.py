"""The health service as a real process: it reports what is silent, and it notices who comes and goes."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.contract.messages import BellReading, CameraReading, UploadReading
from agent.status_file import ServiceStatus, read_status, write_status

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "guide" / "pole.toml.example"


@pytest.fixture
def pole(tmp_path) -> Path:
    """A pole's folder with a configuration that lives entirely in it."""
    (tmp_path / "run").mkdir()
    (tmp_path / "spool").mkdir()
    text = EXAMPLE.read_text(encoding="utf-8")
    for found, instead in [
        ('# run_dir = "/run/pole-agent"', f'run_dir = "{tmp_path}/run"'),
        ('# dir = "/var/lib/pole-agent/spool"', f'dir = "{tmp_path}/spool"'),
        ("# min_free_bytes = 1073741824", "min_free_bytes = 0"),
        ("# probe_s = 5.0", "probe_s = 0.5"),
        ('# system_root = "/"', f'system_root = "{tmp_path}/root"'),
    ]:
        assert found in text
        text = text.replace(found, instead, 1)
    (tmp_path / "pole.toml").write_text(text, encoding="utf-8")
    return tmp_path


@pytest.fixture
def service(pole) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "agent", "health", "--config", str(pole / "pole.toml")]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE)
    yield process
    if process.poll() is None:
        process.kill()
    process.communicate(timeout=10)


def until(pole: Path, claim: Callable[[ServiceStatus], bool], within_s: float = 20.0) -> ServiceStatus:
    """Return the first status of the health service of which `claim` is true."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        status = read_status(pole / "run", "health")
        if status is not None and claim(status):
            return status
        time.sleep(0.05)
    raise AssertionError(f"not within {within_s} s; the last status was {read_status(pole / 'run', 'health')}")


def speak(pole: Path) -> None:
    stamp = {"pid": 1, "written_at_us": time.time_ns() // 1000, "written_mono_s": time.monotonic()}
    bell = BellReading(line="idle", line_poll_age_s=0.0, light="idle", presses=0, outbox_waiting=0)
    camera = CameraReading(state="recording", source="replay", width=1920, height=1080, fps=30.0, last_frame_age_s=0.0)
    for status in (
        ServiceStatus(service="camera-front", camera=camera, **stamp),
        ServiceStatus(service="camera-back", camera=camera, **stamp),
        ServiceStatus(service="upload", upload=UploadReading(), **stamp),
        ServiceStatus(service="bell", bell=bell, **stamp),
    ):
        write_status(pole / "run", status)


def silent(status: ServiceStatus) -> set[str]:
    assert status.heartbeat is not None
    return {fault.subject for fault in status.heartbeat.faults if fault.code == "service-silent"}


ALL = {"camera-front", "camera-back", "upload", "bell"}


def test_silent_services_are_faults_and_end_when_they_speak(pole, service):
    until(pole, lambda status: silent(status) == ALL)
    speak(pole)
    status = until(pole, lambda status: silent(status) == set())
    assert status.heartbeat is not None
    assert set(status.heartbeat.cameras) == {"front", "back"}
    until(pole, lambda status: silent(status) == ALL)


def test_a_spool_that_vanishes_is_in_the_heartbeat(pole, service):
    until(pole, lambda status: status.heartbeat is not None and status.heartbeat.disk is not None)
    service.send_signal(signal.SIGTERM)
    service.communicate(timeout=10)
    for path in (pole / "spool").iterdir():
        path.unlink()
    (pole / "spool").rmdir()
    command = [sys.executable, "-m", "agent", "health", "--config", str(pole / "pole.toml")]
    again = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE)
    try:
        codes = {"spool-unwritable"}
        until(pole, lambda status: codes <= {fault.code for fault in status.faults})
    finally:
        again.kill()
        again.communicate(timeout=10)


def test_what_this_board_cannot_measure_is_absent_and_the_service_ends_in_order(pole, service):
    status = until(pole, lambda status: status.heartbeat is not None and status.heartbeat.seq >= 2)
    assert status.heartbeat is not None and status.heartbeat.cpu is not None
    assert status.heartbeat.cpu.temperature_mc is None
    assert status.heartbeat.memory is not None
    service.send_signal(signal.SIGTERM)
    service.communicate(timeout=5)
    assert service.returncode == 0
