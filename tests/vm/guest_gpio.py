"""Runs inside the emulated machine: the suites on real character devices, edge latencies, presses through the service.

python guest_gpio.py --presses N --report FILE    writes one JSON object; `ok` is true when nothing failed

Rules: what did not run is not ok (a suite that was skipped, an adapter with no edge); numbers are of this machine,
whose processor is emulated: they compare the adapters and find lost edges, they say nothing of a pole.
"""

import argparse
import dataclasses
import importlib.util
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any

from support.bell_pole import POLE, bell_config, wait_for_status
from support.broker import Broker
from support.certificates import CertificateShop
from support.gpio_sim import GpioSim
from support.tiny_center import TinyCenter

from agent.bell.ads1115_line import CONVERSION
from agent.bell.contact import Contact, Edge
from agent.bell.control_socket import Button
from agent.bell.gpiod_contact import GpiodContact
from agent.bell.gpiozero_contact import GpiozeroContact, lgpio_factory
from agent.bell.i2c_bus import LinuxI2cDevice
from agent.bell.resistor_contact import SIMULATED
from agent.clock import SystemClock
from agent.config import BellConfig
from agent.status_file import ServiceStatus
from agent.wiring.bell import build_bell_service
from agent.wiring.bell_hardware import ADS1115_FIRST_ADDRESS

PROJECT = Path(__file__).parents[2]
SUITES = (
    "tests/contract/test_contact_contract.py",
    "tests/contract/test_indicator_contract.py",
    "tests/contract/test_adc_contract.py",
    "tests/contract/test_switch_contract.py",
    "tests/unit/test_gpiod_contact.py",
)
RIGS = (
    ("test_contact_contract", "GpiodRig"),
    ("test_contact_contract", "LgpioRig"),
    ("test_indicator_contract", "gpiod_indicator"),
    ("test_switch_contract", "GpiodRig"),
    ("test_adc_contract", "I2cStubRig"),
)
NO_PIN, NC_PIN, RED_PIN = 17, 27, 6
REST_S = 0.12
LGPIO = importlib.util.find_spec("lgpio") is not None


def run_suites() -> dict[str, Any]:
    """Run the contract suites as their own process; count what passed on each rig that only this machine has."""
    report = Path("/tmp/suites.xml")
    words = ["-q", "-p", "no:cacheprovider", "--tb=short", "--color=no", f"--junitxml={report}"]
    subprocess.run([sys.executable, "-m", "pytest", *words, *SUITES], cwd=PROJECT, check=False, timeout=300)
    cases = list(ElementTree.parse(report).iter("testcase"))
    failed = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    skipped = [case for case in cases if case.find("skipped") is not None]
    passed = [case for case in cases if case not in failed and case not in skipped]
    names = [f"{case.get('classname')} {case.get('name')}" for case in passed]
    needed = [(suite, rig) for suite, rig in RIGS if LGPIO or rig != "LgpioRig"]
    by_rig = {f"{suite}[{rig}]": sum(suite in name and rig in name for name in names) for suite, rig in needed}
    assert not failed, f"failed: {[case.get('name') for case in failed]}"
    assert all(by_rig.values()), f"a rig passed nothing: {by_rig}"
    assert all("lgpio" in case.get("name", "").lower() for case in skipped if not LGPIO), "skipped what could run"
    assert not (skipped and LGPIO), f"skipped: {[case.get('name') for case in skipped]}"
    return {"passed": len(passed), "skipped": len(skipped), "by_rig": by_rig}


def measure_edges(contact_on: Callable[[GpioSim], AbstractContextManager[Contact]], presses: int) -> dict[str, Any]:
    """Close and open one contact, `presses` times, and measure from the write to the stamp and to the callback."""
    chip = GpioSim()
    edges: list[tuple[Edge, float]] = []
    arrived = threading.Condition()

    def note(edge: Edge) -> None:
        with arrived:
            edges.append((edge, time.monotonic()))
            arrived.notify_all()

    stamps, callbacks = [], []
    with closing(chip), contact_on(chip) as contact:
        contact.open(note)
        for number in range(2 * presses):
            began = time.monotonic()
            chip.connect(NO_PIN, number % 2 == 0)
            with arrived:
                assert arrived.wait_for(lambda: len(edges) > number, 5), f"edge {number} never came"  # noqa: B023
            edge, at = edges[number]
            assert edge.closed == (number % 2 == 0)
            stamps.append((edge.at_mono_s - began) * 1e3)
            callbacks.append((at - began) * 1e3)
    assert len(edges) == 2 * presses, "an edge came that nobody made"
    return {"edges": len(edges), "made": 2 * presses, "stamp_ms": spread(stamps), "callback_ms": spread(callbacks)}


def spread(values: list[float]) -> dict[str, float]:
    """Return min, median, p99 and max, rounded to microseconds."""
    ordered = sorted(values)
    p99 = ordered[min(int(len(ordered) * 0.99), len(ordered) - 1)]
    parts = {"min": ordered[0], "median": statistics.median(ordered), "p99": p99, "max": ordered[-1]}
    return {name: round(value, 3) for name, value in parts.items()}


class Pair:
    """The NO and NC contacts of a button, pulled on the chip's lines; NC moves first, as a button's does."""

    def __init__(self, chip: GpioSim) -> None:
        self._chip = chip

    def set(self, line: str) -> None:
        no_closed, nc_closed = {"idle": (False, True), "pressed": (True, False), "cut": (False, False)}[line]
        self._chip.connect(NC_PIN, nc_closed)
        self._chip.connect(NO_PIN, no_closed)


class Resistor:
    """An end-of-line resistor: the conversion register of the emulated ADS1115."""

    def __init__(self) -> None:
        (self.bus,) = [
            Path("/dev") / name.parent.name
            for name in Path("/sys/bus/i2c/devices").glob("i2c-*/name")
            if "SMBus stub" in name.read_text()
        ]
        self._wire = LinuxI2cDevice(self.bus, ADS1115_FIRST_ADDRESS)
        self._wire.open()

    def set(self, line: str) -> None:
        self._wire.put_word(CONVERSION, round(SIMULATED[line] / 1000 * 3.3 * 0x8000 / 4.096))


def ring_service(wire: Button, chip: GpioSim, bell: BellConfig, presses: int, replug: bool = False) -> dict[str, Any]:
    """Press the button of the real bell service, with its lamps on the same chip and a mosquitto over mutual TLS.

    With `replug` the chip goes away and comes back under the running service, which must say so and ring again.
    """
    directory = Path(tempfile.mkdtemp())
    wire.set("idle")
    shop = CertificateShop(directory / "pki")
    with Broker(directory / "broker", shop) as broker, TinyCenter(broker) as center:
        config = dataclasses.replace(bell_config(directory, broker.port, shop.pole(POLE)), bell=bell)
        supervisor = build_bell_service(config, SystemClock())
        service = threading.Thread(target=supervisor.run, kwargs={"catch_signals": False})
        service.start()
        try:
            assert center.wait_for(lambda: bool(center.statuses), 60), "the pole never came online"
            wait_for_status(config.run_dir, lambda status: status.bell.line == "idle", 30)
            numbers = press_all(wire, chip, center, presses)
            if replug:
                numbers["replug_s"] = replug_chip(wire, chip, center, config.run_dir)
            wire.set("cut")
            expected = presses + replug + 1
            assert center.wait_for(lambda: len(center.alarms) == expected, 30), "the cut cable did not alarm"
            wait_for_status(config.run_dir, lambda status: status.bell.outbox_waiting == 0, 60)
        finally:
            supervisor.request_stop()
            service.join(20)
            chip.close()
    last = list(center.alarms.values())[-1]
    assert last.line == "cut", last
    assert len(center.alarms) == expected, "an alarm came that nobody made"
    return {"alarms": len(center.alarms), "deliveries": len(center.deliveries), "cut_cable": last.line, **numbers}


def press_all(wire: Button, chip: GpioSim, center: TinyCenter, presses: int) -> dict[str, Any]:
    """Hold each press until the center has it; each is one alarm, and the first drives the red lamp's line high."""
    lamp_ms, center_ms = 0.0, []
    for number in range(1, presses + 1):
        began = time.monotonic()
        wire.set("pressed")
        if number == 1:
            lamp_ms = wait_high(chip, RED_PIN, began)
        assert center.wait_for(lambda: len(center.alarms) == number, 30), f"press {number} never came"  # noqa: B023
        center_ms.append((time.monotonic() - began) * 1e3)
        wire.set("idle")
        time.sleep(REST_S)  # the finger lets go: a press needs an end to be followed by another
    alarms = list(center.alarms.values())
    assert [alarm.press_number for alarm in alarms] == list(range(1, presses + 1))
    assert {(alarm.line, alarm.simulated, alarm.held_at_boot) for alarm in alarms} == {("pressed", False, False)}
    return {"presses": presses, "press_to_lamp_ms": round(lamp_ms, 1), "press_to_center_ms": spread(center_ms)}


def replug_chip(wire: Button, chip: GpioSim, center: TinyCenter, run_dir: Path) -> float:
    """Take the chip away and give it back; return the seconds until a press rings again.

    It gets its number back only when nobody holds the old one: the service lets go at its first try to open it again.
    """
    gone, known = {("hardware-unusable", "bell"), ("hardware-unusable", "lamps")}, len(center.alarms)
    chip.unplug()
    wait_for_status(
        run_dir, lambda status: gone <= faults_of(status) and "cannot be used" in detail(status, "bell"), 30
    )
    began = time.monotonic()
    chip.plug()
    wire.set("idle")
    wait_for_status(run_dir, lambda status: not gone & faults_of(status) and status.bell.line == "idle", 60)
    wire.set("pressed")
    assert center.wait_for(lambda: len(center.alarms) == known + 1, 30), "no press after the chip came back"
    wait_high(chip, RED_PIN, time.monotonic())
    took_s = time.monotonic() - began
    wire.set("idle")
    time.sleep(REST_S)  # as in press_all
    return round(took_s, 1)


def faults_of(status: ServiceStatus) -> set[tuple[str, str]]:
    return {(fault.code, fault.subject) for fault in status.faults}


def detail(status: ServiceStatus, subject: str) -> str:
    return next(fault.detail for fault in status.faults if fault.subject == subject)


def ring_pair(driver: str, presses: int) -> dict[str, Any]:
    """Ring by two contacts, over `driver`."""
    chip = GpioSim()
    return ring_service(Pair(chip), chip, BellConfig(driver=driver, chip=chip.path), presses, replug=driver == "gpiod")


def ring_resistor(presses: int) -> dict[str, Any]:
    """Ring by an end-of-line resistor: ADS1115 on the kernel's I2C, lamps over gpiod."""
    chip, wire = GpioSim(), Resistor()
    bell = BellConfig(driver="gpiod", chip=chip.path, wiring="eol", adc="ads1115", adc_bus=wire.bus)
    return ring_service(wire, chip, bell, presses)


def wait_high(chip: GpioSim, line: int, began: float) -> float:
    """Return the milliseconds from `began` until the line is high."""
    while not chip.high(line):
        assert time.monotonic() < began + 5, "the red lamp stayed dark"
        time.sleep(0.001)
    return (time.monotonic() - began) * 1e3


@contextmanager
def gpiod_contact(chip: GpioSim) -> Iterator[Contact]:
    with closing(GpiodContact(chip.path, NO_PIN, NC_PIN)) as contact:
        yield contact


@contextmanager
def lgpio_contact(chip: GpioSim) -> Iterator[Contact]:
    """gpiozero opens chip 0 and keeps it: let go, or the next chip has another number."""
    assert chip.path == "/dev/gpiochip0"
    factory = lgpio_factory(Path("/tmp"))
    with closing(GpiozeroContact(lambda: factory, NO_PIN, NC_PIN, time.monotonic)) as contact:
        yield contact
    factory.close()


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--presses", type=int, default=20)
    parser.add_argument("--report", type=Path, required=True)
    options = parser.parse_args()
    steps: dict[str, Callable[[], Any]] = {
        "suites": run_suites,
        "gpiod": lambda: measure_edges(gpiod_contact, 10 * options.presses),
        "bell_gpiod": lambda: ring_pair("gpiod", options.presses),
        "bell_eol": lambda: ring_resistor(options.presses),
    }
    if LGPIO:
        steps["gpiozero_lgpio"] = lambda: measure_edges(lgpio_contact, 10 * options.presses)
        # Last: like a pole's service, it keeps the chip until the process ends.
        steps["bell_gpiozero"] = lambda: ring_pair("gpiozero", options.presses)
    report: dict[str, Any] = {"kernel": platform.release(), "python": platform.python_version(), "lgpio": LGPIO}
    failures = {}
    for name, step in steps.items():
        began = time.monotonic()
        print(f"== {name}", flush=True)
        try:
            report[name] = {**step(), "took_s": round(time.monotonic() - began, 1)}
        except Exception as error:
            traceback.print_exc()
            failures[name] = str(error) or repr(error)
    report |= {"failures": failures, "uptime_s": round(time.monotonic(), 1), "ok": not failures}
    options.report.write_text(json.dumps(report))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
