"""A pole's bell service for stories: in this process (its pins in our hand) or as a process of its own."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from agent.bell.control_socket import press_bell
from agent.bell.gpiozero_contact import SimulatedButton, mock_factory
from agent.clock import Clock, SystemClock
from agent.config import BellConfig, CenterConfig, Config, HealthConfig, PoleConfig, SealingConfig, SpoolConfig
from agent.status_file import ServiceStatus, read_status
from agent.supervise import Supervisor
from agent.wiring.bell import build_bell_service
from center.pki import Issued

POLE = "pole-1"


def bell_config(
    directory: Path, port: int, who: Issued, host: str = "127.0.0.1", ca_file: Path | None = None
) -> Config:
    return Config(
        pole=PoleConfig(id=who.name, zone="z1", policy="gangseo", retention_days=30),
        center=CenterConfig(
            ingest_url="https://127.0.0.1:1",
            broker_host=host,
            broker_port=port,
            ca_file=ca_file or who.ca_file,
            cert_file=who.cert_file,
            key_file=who.key_file,
            receipt_key="unused",
        ),
        sealing=SealingConfig(recipients_file=directory / "recipients"),
        spool=SpoolConfig(dir=directory / "spool", max_bytes=1 << 30, min_free_bytes=0),
        cameras=(),
        bell=BellConfig(simulate=True),
        health=HealthConfig(heartbeat_s=1.0, probe_s=5.0),
        run_dir=directory / "run",
        state_dir=directory / "state",
    )


class BellInProcess:
    """The whole service in a thread of this process."""

    def __init__(self, config: Config, held: bool = False, clock: Clock | None = None) -> None:
        self.config = config
        self.pins = mock_factory()
        self.button = SimulatedButton(self.pins, config.bell.no_pin, config.bell.nc_pin)
        if held:
            self.button.set("pressed")
        self.supervisor: Supervisor = build_bell_service(config, clock or SystemClock(), simulated_pins=self.pins)
        self._thread = threading.Thread(target=self.supervisor.run, kwargs={"catch_signals": False})

    def press(self, hold_s: float = 0.06) -> None:
        self.button.set("pressed")
        time.sleep(hold_s)
        self.button.set("idle")
        time.sleep(0.05)

    def status(self) -> ServiceStatus | None:
        return read_status(self.config.run_dir, "bell")

    def wait_for(self, condition: Callable[[ServiceStatus], bool], timeout_s: float = 20) -> ServiceStatus:
        return wait_for_status(self.config.run_dir, condition, timeout_s)

    def lamp(self, name: str) -> bool:
        return bool(self.pins.pin(getattr(self.config.bell, f"{name}_pin")).state)

    def __enter__(self) -> "BellInProcess":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.supervisor.request_stop()
        self._thread.join(10)


class BellProcess:
    """The service as its own process. `die_at_publish` ends it by SIGKILL between commit and the first publish.

    `wrapper` is a command that runs it, such as one that mounts a small disk for it first.
    """

    def __init__(
        self, config: Config, directory: Path, die_at_publish: bool = False, wrapper: Sequence[str] = ()
    ) -> None:
        self.config = config
        self._log = directory / "bell.log"
        words = [config.center.cert_file, config.center.key_file, config.center.ca_file, directory]
        argv = [sys.executable, "-m", "support.bell_process", *map(str, words), str(config.center.broker_port)]
        with self._log.open("ab") as log:
            self._child = subprocess.Popen(
                [*wrapper, *argv, *(["--die-at-publish"] if die_at_publish else [])],
                stdout=log,
                stderr=log,
                cwd=Path(__file__).parents[2],
                env={**os.environ, "PYTHONPATH": "tests:."},
            )

    def wait_for(self, condition: Callable[[ServiceStatus], bool], timeout_s: float = 20) -> ServiceStatus:
        return wait_for_status(self.config.run_dir, lambda s: s.pid == self._child.pid and condition(s), timeout_s)

    def press(self, hold_ms: int = 60) -> None:
        press_bell(self.config.run_dir, hold_ms)
        time.sleep(0.05)  # the release must be debounced as well

    @property
    def pid(self) -> int:
        return self._child.pid

    def wait_end(self, timeout_s: float = 20) -> int:
        return self._child.wait(timeout_s)

    def kill(self) -> None:
        self._child.send_signal(signal.SIGKILL)
        self._child.wait()

    def log_text(self) -> str:
        return self._log.read_text()

    def __enter__(self) -> "BellProcess":
        return self

    def __exit__(self, *_: object) -> None:
        if self._child.poll() is None:
            self._child.terminate()
            self._child.wait(10)


def wait_for_status(run_dir: Path, condition: Callable[[ServiceStatus], bool], timeout_s: float) -> ServiceStatus:
    deadline = time.monotonic() + timeout_s
    while True:
        status = read_status(run_dir, "bell")
        if status is not None and condition(status):
            return status
        assert time.monotonic() < deadline, f"never came; last status: {status}"
        time.sleep(0.05)
