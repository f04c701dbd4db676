"""The bell in hard times: alone, without a disk, without a processor, without a clock that can be trusted."""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.bell_pole import POLE, BellInProcess, BellProcess, bell_config
from support.broker import Broker
from support.certificates import certificates
from support.tiny_center import TinyCenter

from agent.clock import SystemClock

__all__ = ["certificates"]

DAY_S = 86_400
needs_mounts = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None, reason="needs root and unshare to mount a small disk"
)


@pytest.fixture
def broker(tmp_path, certificates):
    with Broker(tmp_path / "broker", certificates) as broker:
        yield broker


@pytest.fixture
def config(tmp_path, broker):
    return bell_config(tmp_path, broker.port, broker.shop.pole(POLE))


def codes(status):
    return [fault.code for fault in status.faults]


def small_disk(config, options):
    """Return a wrapper that gives the service a disk of its own under `state_dir`."""
    config.state_dir.mkdir()
    script = f'mount -t tmpfs -o {options} tmpfs {config.state_dir} && exec "$@"'
    return ["unshare", "-m", "sh", "-c", script, "sh"]


def seen_by(bell, path):
    return Path(f"/proc/{bell.pid}/root{path}")


def fill(directory):
    with (directory / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
        for _ in range(100_000):
            filler.write(b"x" * 4096)


def test_the_bell_works_when_every_other_service_is_stopped(broker, config):
    with TinyCenter(broker) as center, BellInProcess(config) as bell:
        assert center.wait_for(lambda: center.statuses)
        center.beat()
        bell.wait_for(lambda s: s.bell.light == "ready")
        assert not list(config.run_dir.glob("health.json")) and not config.spool.dir.exists()
        bell.press()
        assert center.wait_for(lambda: center.alarms)
        bell.wait_for(lambda s: s.bell.light == "received")
        assert center.wait_for(lambda: any("health-silent" in codes(beat) for beat in center.heartbeats))


@needs_mounts
def test_a_full_disk_stops_no_alarm_and_is_a_fault_until_there_is_room(broker, config, tmp_path):
    with TinyCenter(broker) as center, BellProcess(config, tmp_path, wrapper=small_disk(config, "size=1m")) as bell:
        assert center.wait_for(lambda: center.statuses)
        bell.wait_for(lambda s: s.bell.line == "idle")
        disk = seen_by(bell, config.state_dir)
        fill(disk)
        for number in range(1, 8):  # the pages that SQLite holds already take some
            bell.press()
            assert center.wait_for(lambda number=number: len(center.alarms) == number)
        status = bell.wait_for(lambda s: s.bell.outbox_waiting == 0 and "outbox-unwritable" in codes(s))
        assert status.bell.light == "received"
        (disk / "filler").unlink()
        bell.wait_for(lambda s: "outbox-unwritable" not in codes(s))


@needs_mounts
def test_a_read_only_disk_stops_no_alarm_and_is_a_fault_until_it_can_be_written(broker, config, tmp_path):
    with TinyCenter(broker) as center, BellProcess(config, tmp_path, wrapper=small_disk(config, "ro")) as bell:
        assert center.wait_for(lambda: center.statuses)
        bell.wait_for(lambda s: s.bell.line == "idle" and "outbox-unwritable" in codes(s))
        bell.press()
        assert center.wait_for(lambda: center.alarms)
        bell.wait_for(lambda s: s.bell.light == "received" and s.bell.outbox_waiting == 0)
        remount = ["mount", "-o", "remount,rw", str(config.state_dir)]
        subprocess.run(["nsenter", "-t", str(bell.pid), "-m", *remount], check=True)
        bell.wait_for(lambda s: "outbox-unwritable" not in codes(s))
        assert (seen_by(bell, config.state_dir) / "outbox.sqlite").exists()


@contextlib.contextmanager
def busy_processes(count):
    """As two camera processes that have run wild."""
    children = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for child in children:
            child.kill()
            child.wait()


def lamp_after_ms(bell, name):
    began = time.monotonic()
    bell.button.set("pressed")
    while not bell.lamp(name):
        assert time.monotonic() - began < 20, "the lamp never answered"
        time.sleep(0.0005)
    answered = time.monotonic()
    bell.button.set("idle")
    return (answered - began) * 1000 - bell.config.bell.debounce_ms


def test_a_saturated_processor_stops_no_alarm_and_the_lamp_still_answers(broker, config, record_property):
    with TinyCenter(broker) as center, BellInProcess(config) as bell, busy_processes(2):
        assert center.wait_for(lambda: center.statuses)
        delays_ms = []
        for number in range(1, 7):
            center.beat()
            bell.wait_for(lambda s: s.bell.light == "ready")
            delays_ms.append(lamp_after_ms(bell, "red"))
            assert center.wait_for(lambda number=number: len(center.alarms) == number)
            bell.wait_for(lambda s: s.bell.light == "received")
            center.answer(POLE, list(center.alarms.values())[-1].incident_id, "closed")
        record_property("press_to_light_ms_max", max(delays_ms))
        print(f"press to light beyond the debounce, two busy processes: {sorted(map(round, delays_ms))} ms (goal 50)")


class JumpingClock(SystemClock):
    """A clock whose UTC a time server, a dead RTC battery or an attacker moves."""

    jump_us = 0

    def utc_us(self):
        return super().utc_us() + self.jump_us


@pytest.mark.parametrize("jump_s", [DAY_S, -DAY_S])
def test_a_clock_that_jumps_a_day_loses_no_press_and_delays_none(broker, config, jump_s):
    clock = JumpingClock()
    with TinyCenter(broker) as center, BellInProcess(config, clock=clock) as bell:
        assert center.wait_for(lambda: center.statuses)
        bell.press()
        assert center.wait_for(lambda: len(center.alarms) == 1)
        clock.jump_us = jump_s * 1_000_000
        bell.press()
        assert center.wait_for(lambda: len(center.alarms) == 2)
        bell.wait_for(lambda s: s.bell.outbox_waiting == 0 and s.bell.light == "received")
        center.answer(POLE, next(iter(center.alarms.values())).incident_id, "answered")
        bell.wait_for(lambda s: s.bell.light == "answered")
    with BellInProcess(config, clock=clock) as again:
        again.wait_for(lambda s: s.bell.light == "answered" and s.bell.outbox_waiting == 0)
