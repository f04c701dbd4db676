"""Judging: what raises a fault, what ends it, and that a value at the limit does not flutter."""

import pytest

from agent.contract.messages import (
    BellReading,
    CameraReading,
    ClockState,
    CpuReading,
    DiskReading,
    MemoryReading,
    SpoolReading,
    UploadReading,
)
from agent.health.judgement import (
    CLOCK_GRACE_S,
    Limits,
    judge_bell,
    judge_camera,
    judge_clock,
    judge_cpu,
    judge_disk,
    judge_memory,
    judge_silence,
    judge_upload,
)

HIGH_IS_BAD = Limits(raise_at=80, clear_at=75)
LOW_IS_BAD = Limits(raise_at=8, clear_at=12)


def stands(verdicts) -> dict[str, bool | None]:
    return {verdict.code: verdict.stands for verdict in verdicts}


@pytest.mark.parametrize(("value", "crossed"), [(80, True), (79.9, None), (75.1, None), (75, False)])
def test_high_values_raise_and_clear_apart(value, crossed):
    assert HIGH_IS_BAD.crossed(value) is crossed


@pytest.mark.parametrize(("value", "crossed"), [(8, True), (8.1, None), (11.9, None), (12, False)])
def test_low_values_raise_and_clear_apart(value, crossed):
    assert LOW_IS_BAD.crossed(value) is crossed


@pytest.mark.parametrize(("seconds", "silent"), [(0.0, False), (5.0, False), (5.1, True), (1e6, True), (-60.0, True)])
def test_a_service_is_silent_after_five_seconds_or_with_a_stamp_of_another_boot(seconds, silent):
    verdict = next(judge_silence({"bell": seconds}))
    assert (verdict.code, verdict.subject, verdict.stands) == ("service-silent", "bell", silent)


GIB = 1 << 30


@pytest.mark.parametrize(("free", "low"), [(GIB // 2, True), (GIB * 5 // 8, None), (GIB * 3 // 4, False), (GIB, False)])
def test_the_disk_is_low_below_half_of_what_the_spool_keeps_free(free, low):
    disk = DiskReading(total_bytes=64 * GIB, free_bytes=free, writable=True)
    assert stands(judge_disk(disk, GIB)) == {"disk-low": low, "spool-unwritable": False}


def test_a_disk_that_does_not_give_back_is_unwritable_however_empty():
    disk = DiskReading(total_bytes=64 * GIB, free_bytes=60 * GIB, writable=False)
    assert stands(judge_disk(disk, GIB))["spool-unwritable"] is True


def test_a_part_without_a_reading_is_not_judged():
    assert list(judge_disk(None, GIB)) == []
    assert list(judge_memory(None)) == []
    assert list(judge_cpu(None)) == []


@pytest.mark.parametrize(("available", "low"), [(7, True), (10, None), (13, False)])
def test_memory_is_judged_by_its_share(available, low):
    assert stands(judge_memory(MemoryReading(total_bytes=100, available_bytes=available))) == {"memory-low": low}


def test_what_a_board_cannot_measure_neither_raises_nor_clears():
    verdicts = stands(judge_cpu(CpuReading(busy_percent=100.0, load_1min=8.0)))
    assert verdicts == {"throttled": None, "under-voltage": None}


def test_heat_and_voltage_are_told_apart():
    hot = CpuReading(busy_percent=1, load_1min=1, temperature_mc=85_000, throttled="0x4", under_voltage=False)
    assert stands(judge_cpu(hot)) == {"temperature-high": True, "throttled": True, "under-voltage": False}
    weak = CpuReading(busy_percent=1, load_1min=1, temperature_mc=50_000, throttled="0x1", under_voltage=True)
    assert stands(judge_cpu(weak)) == {"temperature-high": False, "throttled": False, "under-voltage": True}


def test_a_clock_has_a_grace_after_boot_to_find_its_server():
    unsynced = ClockState(synced=False, source="free-running", error_us=16_000_000)
    assert judge_clock(unsynced, CLOCK_GRACE_S - 1).stands is None
    assert judge_clock(unsynced, CLOCK_GRACE_S).stands is True


@pytest.mark.parametrize(("error_us", "bad"), [(1_000_000, True), (700_000, None), (2_000, False)])
def test_a_synced_clock_is_judged_by_its_error(error_us, bad):
    assert judge_clock(ClockState(synced=True, source="ntp", error_us=error_us), 0).stands is bad


def recording(**parts) -> CameraReading:
    return CameraReading(state="recording", source="rtsp", width=1920, height=1080, **parts)


@pytest.mark.parametrize(("age", "lost"), [(0.1, False), (5.0, None), (10.0, True)])
def test_a_camera_is_judged_by_the_age_of_its_last_frame(age, lost):
    assert stands(judge_camera("front", recording(last_frame_age_s=age)))["camera-source-lost"] is lost


def test_a_camera_that_waits_for_a_recipient_is_not_called_lost():
    waiting = CameraReading(state="waiting", source="rtsp", last_frame_age_s=500.0)
    assert "camera-source-lost" not in stands(judge_camera("front", waiting))


def test_a_source_with_sound_is_a_fault_of_its_camera():
    verdicts = [v for v in judge_camera("front", recording(source_has_sound=True)) if v.code == "source-has-sound"]
    assert [(v.subject, v.stands) for v in verdicts] == [("front", True)]


def test_frames_per_second_that_are_not_measured_yet_are_not_judged():
    assert "quality-below-legal" not in stands(judge_camera("front", recording(fps=0.0)))


def test_an_idle_link_is_not_called_down():
    upload = UploadReading(last_answer_age_s=500.0)
    assert stands(judge_upload(upload, SpoolReading(pending_segments=0, pending_bytes=0))) == {"link-down": None}
    assert stands(judge_upload(upload, SpoolReading(pending_segments=2, pending_bytes=9))) == {"link-down": True}


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        (60, {"certificate-expired": False, "certificate-expiring": False}),
        (21, {"certificate-expired": False, "certificate-expiring": True}),
        (0, {"certificate-expired": False, "certificate-expiring": True}),
        (-1, {"certificate-expired": True, "certificate-expiring": False}),
    ],
)
def test_a_certificate_expires_or_has_expired_never_both(days, expected):
    assert stands(judge_upload(UploadReading(certificate_days_left=days), None)) == expected


@pytest.mark.parametrize(("age", "bad"), [(0.01, False), (1.5, None), (2.0, True)])
def test_a_bell_whose_level_is_not_read_is_a_fault(age, bad):
    bell = BellReading(line="idle", line_poll_age_s=age, light="idle", presses=0, outbox_waiting=0)
    assert judge_bell(bell).stands is bad
