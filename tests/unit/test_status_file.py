"""Status files: replaced whole, readable by the group, and damaged ones are as good as absent."""

import stat
import threading

import pytest

from agent.contract.messages import CameraReading, Fault
from agent.status_file import ServiceStatus, read_all_status, read_status, write_status


def status(service: str = "camera-front", **parts) -> ServiceStatus:
    return ServiceStatus(service=service, pid=1, written_at_us=1, written_mono_s=1.0, **parts)


def test_what_is_written_is_read_back(tmp_path):
    written = status(camera=CameraReading(state="recording", source="replay"), faults=[Fault(code="x", since_us=1)])
    write_status(tmp_path, written)
    assert read_status(tmp_path, "camera-front") == written


def test_absent_empty_or_torn_files_read_as_none(tmp_path):
    assert read_status(tmp_path, "upload") is None
    (tmp_path / "upload.json").write_bytes(b"")
    assert read_status(tmp_path, "upload") is None
    (tmp_path / "upload.json").write_bytes(b'{"service":"upl')
    assert read_status(tmp_path, "upload") is None


def test_all_readable_ones_are_found_and_temporary_ones_are_not(tmp_path):
    write_status(tmp_path, status("bell"))
    write_status(tmp_path, status("upload"))
    (tmp_path / ".health.json.77").write_bytes(b"{}")
    (tmp_path / "health.json").write_bytes(b"torn")
    assert sorted(read_all_status(tmp_path)) == ["bell", "upload"]


def test_an_absent_directory_holds_no_status(tmp_path):
    assert read_all_status(tmp_path / "absent") == {}


def test_an_absent_directory_cannot_be_written(tmp_path):
    with pytest.raises(OSError, match="absent"):
        write_status(tmp_path / "absent", status())


def test_a_status_is_readable_by_its_group_and_by_nobody_else(tmp_path):
    write_status(tmp_path, status("bell"))
    assert stat.S_IMODE((tmp_path / "bell.json").stat().st_mode) == 0o640


def test_a_reader_never_sees_half_a_file(tmp_path):
    write_status(tmp_path, status("bell"))
    stop = threading.Event()

    def rewrite() -> None:
        while not stop.is_set():
            write_status(tmp_path, status("bell", faults=[Fault(code="x", since_us=1, detail="y" * 5000)]))

    writer = threading.Thread(target=rewrite)
    writer.start()
    try:
        assert all(read_status(tmp_path, "bell") is not None for _ in range(500))
    finally:
        stop.set()
        writer.join()
