"""Builds `pole-health` from the configuration: probes, heartbeat and the two workers. It uses no network."""

from functools import partial
from pathlib import Path

from agent.clock import Clock
from agent.config import Config
from agent.contract.messages import CpuReading
from agent.fault_board import FaultBoard
from agent.health.heartbeat import Expected, HeartbeatComposer, Probes
from agent.health.probes.disk import DiskProbe
from agent.health.probes.psutil_load import LoadProbe
from agent.health.probes.psutil_memory import read_memory
from agent.health.probes.temperature import read_temperature_mc
from agent.health.probes.throttling import read_throttled
from agent.health.probes.under_voltage import read_under_voltage
from agent.health.probes.uptime import read_uptime_s
from agent.health.reporter import DISK_SILENCE_S, SERVICE, HealthReporter, run_disk_test
from agent.supervise import Supervisor, Worker
from agent.systemd_service_manager import service_manager_for


def build_health_service(config: Config, clock: Clock) -> Supervisor:
    """Return the health service, ready to run."""
    config.run_dir.mkdir(parents=True, exist_ok=True)
    faults = FaultBoard(clock)
    disk = DiskProbe(config.spool.dir, clock)
    load = LoadProbe()
    root = config.health.system_root
    probes = Probes(
        disk=disk.reading,
        cpu=lambda: _read_cpu(load, root),
        memory=read_memory,
        uptime_s=partial(read_uptime_s, root),
    )
    services = [*(f"camera-{camera.id}" for camera in config.cameras), "upload", "bell"]
    expected = Expected(config.pole.id, services, config.spool.min_free_bytes)
    composer = HeartbeatComposer(expected, probes, faults, clock)
    reporter = HealthReporter(config.run_dir, config.health.probe_s, composer, faults, clock)
    disk_test = partial(run_disk_test, disk, config.health.heartbeat_s)
    workers = [
        Worker("heartbeat", reporter.run),
        Worker("disk-test", disk_test, stall_s=DISK_SILENCE_S),
    ]
    return Supervisor(SERVICE, workers, clock, service_manager_for())


def _read_cpu(load: LoadProbe, system_root: Path) -> CpuReading:
    throttled = read_throttled(system_root)
    return CpuReading(
        busy_percent=load.busy_percent(),
        load_1min=load.load_1min(),
        temperature_mc=read_temperature_mc(system_root),
        throttled=throttled,
        under_voltage=read_under_voltage(system_root, throttled),
    )
