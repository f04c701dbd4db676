"""The main job as anyone starts it: `scripts/demo`, with every process, broker, certificate and video real."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.rtsp_server import RtspServer
from support.rtsp_server import available as rtsp_available

REPOSITORY = Path(__file__).parents[2]
STREET_FOOTAGE = Path("/usr/share/doc/opencv-doc/examples/data/vtest.avi")
PROCESSES = (
    "camera-front",
    "upload",
    "bell",
    "health",
    "broker",
    "center-ingest",
    "center-alarms",
    "center-console",
    "camera-gate",
)

pytestmark = pytest.mark.timeout(240)


class RunningDemo:
    """One unattended run; `report()` waits for its end."""

    def __init__(self, state: Path, *words: str) -> None:
        self.state = state
        self._log = state.with_suffix(".log")
        with self._log.open("wb") as log:
            self.child = subprocess.Popen(
                [sys.executable, "-u", str(REPOSITORY / "scripts" / "demo_run.py"), "--state", str(state), *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def pids(self) -> dict[str, int]:
        try:
            found: dict[str, int] = json.loads((self.state / "pids.json").read_text())
        except (OSError, ValueError):
            return {}
        return found

    def log(self) -> str:
        return self._log.read_text()

    def type(self, text: str) -> None:
        assert self.child.stdin is not None
        self.child.stdin.write(text + "\n")
        self.child.stdin.flush()

    def report(self) -> dict[str, Any]:
        output, _ = self.child.communicate()
        report: dict[str, Any] = json.loads(output)
        return report

    def end(self) -> None:
        if self.child.poll() is None:
            self.child.terminate()
            self.child.wait(60)
        assert self.child.stdin is not None
        assert self.child.stdout is not None
        self.child.stdin.close()
        self.child.stdout.close()


@pytest.fixture
def start_demo(tmp_path: Path) -> Iterator[Callable[..., RunningDemo]]:
    """Starts runs on one state directory, as a person does who starts the demo twice."""
    started: list[RunningDemo] = []

    def start(*words: str) -> RunningDemo:
        started.append(RunningDemo(tmp_path / "demo", *words))
        return started[-1]

    yield start
    for demo in started:
        demo.end()


def wait_for(what: str, ready: Callable[[], bool], timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not ready():
        assert time.monotonic() < deadline, f"waited {timeout_s} s for {what}"
        time.sleep(0.1)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_street_footage_is_recorded_sealed_uploaded_receipted_and_deleted_and_every_bell_answered(
    start_demo: Callable[..., RunningDemo],
) -> None:
    if not STREET_FOOTAGE.exists():
        pytest.skip("opencv-doc is not installed")
    demo = start_demo("--headless", "--seconds=45", "--presses=3", "--json", f"--video={STREET_FOOTAGE}")
    report = demo.report()
    assert report["errors"] == [], demo.log()
    assert demo.child.returncode == 0
    assert report["segments"]["sealed"] >= 8
    assert report["segments"]["sealed"] == report["segments"]["receipted"] == report["segments"]["deleted"]
    for camera in ("front", "gate"):
        assert report["coverage"][camera]["hole_s"] < 0.5
        assert report["coverage"][camera]["recorded_s"] > 40
    bell = report["bell"]
    assert (bell["presses"], bell["receipts"], bell["answers"], bell["duplicates"]) == (3, 3, 3, 0)
    assert report["sound_streams"] == 0
    assert report["heartbeats"] >= 5


def test_an_rtsp_camera_with_sound_leaves_no_sound_anywhere_and_a_second_start_goes_on(
    start_demo: Callable[..., RunningDemo],
) -> None:
    if not rtsp_available():
        pytest.skip("GStreamer's RTSP server is not installed")
    with RtspServer(sound="aac") as camera:
        words = ("--headless", "--seconds=14", "--json", f"--rtsp={camera.url}")
        first = start_demo(*words, "--presses=1").report()
        second_demo = start_demo(*words, "--presses=1")
        second = second_demo.report()
    for report in (first, second):
        assert report["errors"] == [], second_demo.log()
        assert report["sound_streams"] == 0
        assert any("source-has-sound front" in notice for notice in report["notices"])
        assert report["coverage"]["front"]["recorded_s"] > 5
        assert report["coverage"]["front"]["hole_s"] < 0.5  # the last frame was on its way when the run ended
        assert report["bell"]["duplicates"] == 0
    assert first["console_url"] == second["console_url"]


def test_each_process_killed_in_turn_comes_back_and_nothing_receipted_is_missing(
    start_demo: Callable[..., RunningDemo],
) -> None:
    demo = start_demo("--headless", "--seconds=52", "--presses=3", "--json")
    wait_for("every process", lambda: set(PROCESSES) <= set(demo.pids()))
    wait_for("the pole to record", lambda: any((demo.state / "pole" / "spool" / "gate").glob("*.journal")))
    for name in PROCESSES:
        before = demo.pids()[name]
        os.kill(before, signal.SIGKILL)
        wait_for(f"{name} to come back", lambda name=name, before=before: demo.pids()[name] != before)  # type: ignore[misc]
        time.sleep(2)
    report = demo.report()
    assert report["errors"] == [], demo.log()
    assert report["restarts"] == dict.fromkeys(PROCESSES, 1) | report["restarts"]
    bell = report["bell"]
    assert (bell["presses"], bell["receipts"], bell["answers"], bell["duplicates"]) == (3, 3, 3, 0)
    assert report["segments"]["uploaded"] == report["segments"]["receipted"] == report["segments"]["deleted"]
    for camera in ("front", "gate"):
        assert report["coverage"][camera]["hole_s"] < 0.5
        assert report["coverage"][camera]["gap_s"] < 8


def test_a_person_presses_the_bell_with_a_key_and_ends_the_demo_with_another(
    start_demo: Callable[..., RunningDemo],
) -> None:
    demo = start_demo("--json")
    wait_for("the console's address", lambda: "/enter?token=" in demo.log())
    demo.type("b")
    wait_for("the press", lambda: "pressed; answer it" in demo.log())
    demo.type("q")
    report = demo.report()
    assert report["errors"] == [], demo.log()
    assert (report["bell"]["presses"], report["bell"]["answers"]) == (1, 0)


def test_ctrl_c_ends_the_demo_in_order_and_leaves_no_process_behind(start_demo: Callable[..., RunningDemo]) -> None:
    demo = start_demo("--headless", "--seconds=600", "--presses=0", "--json")
    wait_for("every process", lambda: set(PROCESSES) <= set(demo.pids()))
    pids = demo.pids()
    demo.child.send_signal(signal.SIGINT)
    report = demo.report()
    assert report["errors"] == [], demo.log()
    assert [name for name, pid in pids.items() if alive(pid)] == []


def test_a_killed_demo_takes_its_processes_with_it(start_demo: Callable[..., RunningDemo]) -> None:
    demo = start_demo("--headless", "--seconds=600", "--presses=0", "--json")
    wait_for("every process", lambda: set(PROCESSES) <= set(demo.pids()))
    pids = demo.pids()
    demo.child.kill()
    wait_for("every process to end", lambda: not any(alive(pid) for pid in pids.values()), 20)
