"""Probes: each reads a part of the machine, and a part that is not there has no reading."""

import os
import stat
import threading
from pathlib import Path

import pytest

from agent.clock import SimulatedClock
from agent.health.probes.disk import FIRST_S, OUTCOME_S, PROBE_NAME, DiskProbe, write_and_read_back
from agent.health.probes.psutil_load import LoadProbe
from agent.health.probes.psutil_memory import read_memory
from agent.health.probes.temperature import read_temperature_mc
from agent.health.probes.throttling import SYSFS, ask_vcgencmd, read_throttled, throttled_now
from agent.health.probes.under_voltage import read_under_voltage
from agent.health.probes.uptime import read_uptime_s


def put(root: Path, path: str, text: str) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_a_good_disk_gives_back_what_was_written(tmp_path):
    assert write_and_read_back(tmp_path) is True
    assert [path.name for path in tmp_path.iterdir()] == [PROBE_NAME]


def test_an_absent_directory_is_not_writable(tmp_path):
    assert write_and_read_back(tmp_path / "absent") is False


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make a device that is always full")
def test_a_full_disk_is_not_writable(tmp_path):
    os.mknod(tmp_path / PROBE_NAME, stat.S_IFCHR | 0o600, os.makedev(1, 7))
    assert write_and_read_back(tmp_path) is False


def test_a_card_that_keeps_nothing_is_not_writable(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "pread", lambda fd, size, offset: b"\0" * size)
    assert write_and_read_back(tmp_path) is False


def test_a_link_in_place_of_the_test_file_is_not_followed(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / PROBE_NAME).symlink_to(victim)
    assert write_and_read_back(tmp_path) is False
    assert victim.read_text() == "mine"


def test_a_disk_is_not_judged_before_its_first_test(tmp_path):
    assert DiskProbe(tmp_path, SimulatedClock()).reading() is None


def test_a_tested_disk_has_sizes_and_an_outcome(tmp_path):
    probe = DiskProbe(tmp_path, SimulatedClock())
    probe.run_once()
    reading = probe.reading()
    assert reading is not None
    assert reading.writable
    assert 0 < reading.free_bytes <= reading.total_bytes


def test_a_disk_that_hangs_counts_as_not_writable_and_the_reading_does_not_wait(tmp_path):
    clock = SimulatedClock()
    probe = DiskProbe(tmp_path, clock)
    probe.run_once()
    clock.advance(OUTCOME_S + 1)
    reading = probe.reading()
    assert reading is not None
    assert reading.writable is False


def test_a_disk_that_hangs_from_the_start_counts_as_not_writable(tmp_path):
    clock = SimulatedClock()
    probe = DiskProbe(tmp_path, clock)
    clock.advance(OUTCOME_S + 1)
    reading = probe.reading()
    assert reading is not None
    assert reading.writable is False


def test_a_disk_that_answers_nothing_but_errors_is_reported_and_does_not_end_the_service(tmp_path):
    sick = tmp_path / ("x" * 300)  # each look at it is an OSError, as on a card that died
    probe = DiskProbe(sick, SimulatedClock())
    probe.run_once()
    reading = probe.reading()
    assert reading is not None
    assert reading.writable is False


def test_a_spool_that_is_gone_is_reported_by_its_parents_sizes(tmp_path):
    spool = tmp_path / "spool"
    spool.mkdir()
    probe = DiskProbe(spool, SimulatedClock())
    probe.run_once()
    (spool / PROBE_NAME).unlink()
    spool.rmdir()
    probe.run_once()
    reading = probe.reading()
    assert reading is not None
    assert reading.writable is False
    assert reading.total_bytes > 0


def test_a_spool_that_nobody_has_made_is_no_fault_at_first_and_one_in_the_end(tmp_path):
    clock = SimulatedClock()
    probe = DiskProbe(tmp_path / "spool", clock)
    probe.run_once()
    assert probe.reading() is None
    clock.advance(FIRST_S + 1)
    reading = probe.reading()
    assert reading is not None
    assert reading.writable is False


def test_memory_is_between_nothing_and_all():
    reading = read_memory()
    assert 0 < reading.available_bytes <= reading.total_bytes


def test_load_moves_with_work():
    probe = LoadProbe()
    stop = threading.Event()
    threading.Timer(0.15, stop.set).start()
    while not stop.is_set():
        sum(range(1000))
    busy = probe.busy_percent()
    assert 0 < busy <= 100
    assert probe.load_1min() >= 0


def test_the_hottest_zone_counts_and_a_sleeping_one_is_left_out(tmp_path):
    put(tmp_path, "sys/class/thermal/thermal_zone0/temp", "48312\n")
    put(tmp_path, "sys/class/thermal/thermal_zone1/temp", "61000\n")
    put(tmp_path, "sys/class/thermal/thermal_zone2/temp", "\n")
    assert read_temperature_mc(tmp_path) == 61000


def test_a_board_without_a_sensor_has_no_temperature(tmp_path):
    assert read_temperature_mc(tmp_path) is None


def test_throttle_bits_come_from_sysfs_first(tmp_path):
    put(tmp_path, SYSFS, "50005\n")
    assert read_throttled(tmp_path, lambda: "throttled=0x0\n") == "0x50005"


def test_throttle_bits_come_from_vcgencmd_else(tmp_path):
    assert read_throttled(tmp_path, lambda: "throttled=0x50000\n") == "0x50000"


@pytest.mark.parametrize("answer", [None, "VCHI initialization failed\n"])
def test_another_board_has_no_throttle_bits(tmp_path, answer):
    assert read_throttled(tmp_path, lambda: answer) is None


def test_a_missing_or_failing_vcgencmd_is_no_answer(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert ask_vcgencmd() is None
    put(tmp_path, "vcgencmd", "#!/bin/sh\nexit 1\n")
    (tmp_path / "vcgencmd").chmod(0o755)
    assert ask_vcgencmd() is None


@pytest.mark.parametrize(
    ("bits", "now"),
    [("0x0", False), ("0x50000", False), ("0x1", False), ("0x4", True), ("0x80008", True), (None, None)],
)
def test_only_the_bits_of_now_throttle(bits, now):
    assert throttled_now(bits) is now


@pytest.mark.parametrize(("alarm", "low"), [("1\n", True), ("0\n", False)])
def test_the_voltage_alarm_of_the_board_counts(tmp_path, alarm, low):
    put(tmp_path, "sys/class/hwmon/hwmon0/name", "cpu_thermal\n")
    put(tmp_path, "sys/class/hwmon/hwmon1/name", "rpi_volt\n")
    put(tmp_path, "sys/class/hwmon/hwmon1/in0_lcrit_alarm", alarm)
    assert read_under_voltage(tmp_path, None) is low


@pytest.mark.parametrize(("throttled", "low"), [("0x50005", True), ("0x50000", False), (None, None)])
def test_without_the_alarm_the_firmwares_bit_counts(tmp_path, throttled, low):
    assert read_under_voltage(tmp_path, throttled) is low


def test_uptime_is_whole_seconds(tmp_path):
    put(tmp_path, "proc/uptime", "3661.27 7000.00\n")
    assert read_uptime_s(tmp_path) == 3661
    assert read_uptime_s(tmp_path / "absent") == 0
