"""N5 with a town behind it: press to receipt while N poles (3,300) hold their TLS sessions and beat every 30 s.

The same real processes and the same measure as `bench_bell.py`; the fleet (`tests/support/fleet.py`) is one process
more, with one session, will, birth, ping and heartbeat for each pole. First everything is measured without the fleet,
then the fleet comes up slowly, lives through one heartbeat interval, and everything is measured again: bare paho
publish -> PUBACK and a 4 KiB fsync alternate with the presses in both halves. Processor time of each process in the
second half is printed beside it, because poles, broker and center share this machine's cores.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import psutil  # noqa: E402
from bench_bell import (  # noqa: E402
    REFERENCE_POLE,
    BarePaho,
    BellService,
    center_alarms,
    file_system,
    fsync_once,
    wait_for_bell,
    write_pole_config,
)
from measure import machine, print_json, summary  # noqa: E402
from support.broker import Broker  # noqa: E402
from support.certificates import CertificateShop  # noqa: E402
from support.fleet import raise_file_limit  # noqa: E402

WARM_UP = 10
GOAL = "median <= 3 ms, p99 <= 15 ms beyond the debounce time; p99 <= 20 ms with 3,300 poles beating"


class Fleet:
    """`python -m support.fleet`."""

    def __init__(self, pki_dir: Path, port: int, poles: int, beat_s: float) -> None:
        words = [sys.executable, "-m", "support.fleet", str(pki_dir), str(port), str(poles), str(beat_s)]
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
        pipe = subprocess.PIPE
        self.child = subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True, env=environment, cwd=ROOT)
        self.issued_s = self._seconds("issued")
        self.connected_s = self._seconds("ready")

    def counts(self) -> dict[str, int]:
        assert self.child.stdin is not None and self.child.stdout is not None
        self.child.stdin.write("counts\n")
        self.child.stdin.flush()
        return dict(json.loads(self.child.stdout.readline()))

    def stop(self) -> None:
        assert self.child.stdin is not None
        self.child.stdin.close()
        self.child.wait(60)

    def _seconds(self, word: str) -> float:
        assert self.child.stdout is not None
        said = self.child.stdout.readline().split()
        if not said or said[0] != word:
            raise SystemExit(f"the fleet did not come up: said {said!r} instead of {word}")
        print(f"bench-bell-fleet: {' '.join(said)}", file=sys.stderr)
        return float(said[2])


class Rig:
    """Bell, reference and disk, measured in turns."""

    def __init__(self, directory: Path, broker: Broker) -> None:
        self._probe = directory / "fsync.probe"
        self.bell = BellService(write_pole_config(directory, broker), directory / "run")
        self._reference = BarePaho(broker, broker.shop.pole(REFERENCE_POLE))
        wait_for_bell(directory / "run")

    def measure(self, presses: int) -> dict[str, Any]:
        values: dict[str, list[float]] = {"press": [], "bare": [], "fsync": []}
        for number in range(WARM_UP + presses):
            one = {"press": self.bell.press(), "bare": self._reference.publish(), "fsync": fsync_once(self._probe)}
            time.sleep(random.uniform(0.04, 0.14))  # the release must be debounced as well
            if number >= WARM_UP:
                for name, value in one.items():
                    values[name].append(value)
        return {
            "press_to_receipt_ms": summary(values["press"]),
            "reference_bare_publish_puback_ms": summary(values["bare"]),
            "fsync_4k_ms": summary(values["fsync"]),
            "most_ms": max(values["press"]),
        }

    def stop(self) -> None:
        self._reference.stop()
        self.bell.stop()


class ProcessorTime:
    """How much of one core each named process took between two looks."""

    def __init__(self, processes: dict[str, int]) -> None:
        self._processes = {name: psutil.Process(pid) for name, pid in processes.items()}
        self._before = self._seconds()
        self._began = time.monotonic()

    def percent(self) -> dict[str, float]:
        passed, now = time.monotonic() - self._began, self._seconds()
        return {name: round(100 * (now[name] - self._before[name]) / passed, 1) for name in now}

    def _seconds(self) -> dict[str, float]:
        return {name: sum(process.cpu_times()[:2]) for name, process in self._processes.items()}


def measure(directory: Path, poles: int, presses: int, beat_s: float) -> dict[str, Any]:
    """Measure idle and with the fleet."""
    shop = CertificateShop(directory / "pki")
    with Broker(directory / "broker", shop) as broker, center_alarms(directory, broker):
        rig = Rig(directory, broker)
        try:
            idle = rig.measure(presses)
            fleet = Fleet(shop.directory, broker.port, poles, beat_s)
            time.sleep(beat_s)
            before = fleet.counts()
            load = ProcessorTime(processes(fleet))
            with_fleet = rig.measure(presses)
            percent, after = load.percent(), fleet.counts()
            fleet.stop()
        finally:
            rig.stop()
    return {
        "idle": idle,
        "with_fleet": with_fleet,
        "fleet": {
            "poles": poles,
            "connected": after["connected"],
            "sessions_lost_while_measured": after["lost"] - before["lost"],
            "heartbeats_while_measured": after["beats_sent"] - before["beats_sent"],
            "beat_s": beat_s,
            "certificates_issued_s": fleet.issued_s,
            "all_connected_s": fleet.connected_s,
        },
        "percent_of_a_core_with_fleet": percent,
    }


def processes(fleet: Fleet) -> dict[str, int]:
    """Return the processes of this bench by name."""
    known = {"mosquitto": "mosquitto", "center": "center alarms", "bell": "agent bell"}
    found = {"fleet": fleet.child.pid}
    for child in psutil.Process().children():
        words = " ".join(child.cmdline())
        for name, word in known.items():
            if word in words:
                found[name] = child.pid
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="press to receipt with a fleet in the background (N5)")
    parser.add_argument("--poles", type=int, default=3300)
    parser.add_argument("--presses", type=int, default=300, help="in each half")
    parser.add_argument("--beat", type=float, default=30.0, help="seconds between two heartbeats of a pole")
    parser.add_argument("--dir", type=Path, help="where the databases lie (default: the temporary directory)")
    told = parser.parse_args()
    raise_file_limit(told.poles)
    load_before = os.getloadavg()[0]
    directory = Path(tempfile.mkdtemp(prefix="bench-fleet-", dir=told.dir))
    try:
        result = measure(directory, told.poles, told.presses, told.beat)
        disk = file_system(directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    idle, fleet = (result[half]["press_to_receipt_ms"] for half in ("idle", "with_fleet"))
    print_json(
        {
            "benchmark": f"N5 press to receipt with {told.poles} poles beating",
            "machine": machine(),
            "goal": GOAL,
            "reached": idle["median"] <= 3 and idle["p99"] <= 15 and fleet["p99"] <= 20,
            **result,
            "file_system": disk,
            "load_1min": {"before": load_before, "after": os.getloadavg()[0]},
        }
    )


if __name__ == "__main__":
    main()
