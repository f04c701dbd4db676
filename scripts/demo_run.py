"""The demo: broker, center and one simulated pole on this machine, for a person to try or unattended.

    scripts/demo [--video FILE]... [--rtsp URL]... [--state DIR]
    scripts/demo --headless --seconds N --presses K --json

Rules: standard output carries the one JSON object and nothing else, all other words go to standard error; the
exit status is 0 only when nothing was wrong; what is reported is read from what pole and center stored.
"""

import argparse
import dataclasses
import fcntl
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from demo_operator import Operator
from demo_processes import Processes, wait_until
from demo_report import Run, summarize, tally, waiting_segments
from demo_site import BIN, CAMERAS, Site, lay_out

from agent.bell.control_socket import press_bell
from agent.contract.errors import PoleAgentError
from agent.status_file import ServiceStatus, read_status

POLE_SERVICES = ("health", "bell", "upload")
DRAIN_S = 30.0
ANSWER_S = 20.0


def say(text: str) -> None:
    """Tell the person at the terminal something."""
    print(f"demo: {text}", file=sys.stderr, flush=True)


class Demo:
    """One run from start to stop."""

    def __init__(self, site: Site, *, unattended: bool = True) -> None:
        self._site = site
        self._unattended = unattended
        self.processes = Processes(site.root / "logs", site.root / "pids.json")
        self.operator = Operator(site)
        self.errors: list[str] = []
        self.notices: list[str] = []
        self.press_to_receipt_ms: list[float] = []
        self.presses = 0
        self._given_up = False
        self.started_us = self.stopped_us = time.time_ns() // 1000

    def start(self, stop: threading.Event | None = None) -> None:
        """Start every process in its order and return when the pole records, or when `stop` is set.

        Raises:
            TimeoutError: something did not come up; names it.
        """
        stop = stop or threading.Event()
        site, center = self._site, str(self._site.center_config)
        for name, argv in {
            "broker": ["mosquitto", "-c", str(site.center / "broker" / "mosquitto.conf")],
            **{f"center-{name}": [str(BIN / "pole-center"), name, "--config", center] for name in CENTER_PROCESSES},
        }.items():
            self.processes.start(name, argv)
        say("starting broker and center")
        wait_until("the console", lambda: stop.is_set() or self.operator.enter(), 30)
        if self._give_up(stop):
            return
        say("starting the pole")
        pole = ["--config", str(site.pole_config)]
        for service in POLE_SERVICES:
            self.processes.start(service, [str(BIN / "pole-agent"), service, *pole])
        for camera in CAMERAS:
            self.processes.start(f"camera-{camera}", [str(BIN / "pole-agent"), "camera", *pole, "--id", camera])
        services = ["bell", "upload", *(f"camera-{camera}" for camera in CAMERAS)]
        wait_until("the pole", lambda: stop.is_set() or all(self._fresh(service) for service in services), 30)
        self._give_up(stop)

    def _give_up(self, stop: threading.Event) -> bool:
        self._given_up = stop.is_set()
        self.started_us = time.time_ns() // 1000
        return self._given_up

    def press_and_answer(self) -> None:
        """Press the bell, wait for the receipt at the pole, answer and close as an operator does."""
        self.presses += 1
        try:
            seen = {incident["incident_id"] for incident in self.operator.incidents("open")}
            press_bell(self._site.run_dir, 200)
            incident = self._wait_for(lambda: self._new_incident(seen), "the press is not on the alarm desk")
            self._wait_for(lambda: self._light() == "received", "the pole did not get the receipt")
            bell = self._fresh("bell")
            if bell is not None and bell.bell is not None and bell.bell.last_press_to_receipt_ms is not None:
                self.press_to_receipt_ms.append(bell.bell.last_press_to_receipt_ms)
            self.operator.answer(incident)
            self._wait_for(lambda: self._light() == "answered", "the pole did not show that somebody answered")
            self.operator.close(incident)
            self._wait_for(lambda: self._light() not in ("answered", "received", "calling"), "the incident stays open")
        except (PoleAgentError, TimeoutError, OSError) as error:
            self.errors.append(f"press {self.presses}: {error}")

    def stop(self) -> None:
        """Stop the cameras, let the rest of their footage reach the center, then stop everything."""
        say("stopping")
        if not self._given_up:  # one that was ended while it came up has nothing to report yet
            self._note_faults()
        self.stopped_us = time.time_ns() // 1000
        self.processes.stop([f"camera-{camera}" for camera in CAMERAS])
        try:
            wait_until("the upload of the last segments", self._drained, DRAIN_S)
        except TimeoutError as error:
            self.errors.append(str(error))
        self.processes.stop(["upload", "health", "bell"])
        self.processes.stop([f"center-{name}" for name in CENTER_PROCESSES])
        self.processes.close()

    def run(self) -> Run:
        """Return what this run did, after `stop`."""
        return Run(
            start_us=self.started_us,
            stop_us=self.stopped_us,
            presses=self.presses if self._unattended else None,
            press_to_receipt_ms=self.press_to_receipt_ms,
            errors=self.errors,
            notices=self.notices,
            restarts=self.processes.restarts(),
        )

    def line(self) -> str:
        """Return the state in one line."""
        words = []
        for camera in CAMERAS:
            status = self._fresh(f"camera-{camera}")
            words.append(f"{camera} {status.camera.frames if status and status.camera else '-'} frames")
        upload, bell = self._fresh("upload"), self._fresh("bell")
        if upload and upload.upload and upload.spool:
            words.append(f"{upload.upload.segments_receipted} receipted, {upload.spool.pending_segments} waiting")
        words.append(f"light {bell.bell.light if bell and bell.bell else '-'}")
        return " · ".join(words)

    def _note_faults(self) -> None:
        status = self._fresh("health")
        if status is None or status.heartbeat is None:
            self.errors.append("the health service does not report")
            return
        for fault in status.heartbeat.faults:
            text = f"fault {fault.code} {fault.subject}: {fault.detail}".replace(" :", ":")
            (self.notices if fault.code in HARMLESS else self.errors).append(text)

    def _drained(self) -> bool:
        return waiting_segments(self._site) == 0

    def _new_incident(self, seen: set[str]) -> str | None:
        for incident in self.operator.incidents("open"):
            if incident["incident_id"] not in seen:
                return str(incident["incident_id"])
        return None

    def _light(self) -> str:
        bell = self._fresh("bell")
        return bell.bell.light if bell and bell.bell else ""

    def _fresh(self, service: str) -> ServiceStatus | None:
        status = read_status(self._site.run_dir, service)
        fresh = status is not None and time.monotonic() - status.written_mono_s < 5
        return status if fresh else None

    def _wait_for(self, look: Callable[[], "str | bool | None"], otherwise: str) -> str:
        deadline_mono_s = time.monotonic() + ANSWER_S
        while not (found := look()):
            if time.monotonic() > deadline_mono_s:
                raise TimeoutError(f"{otherwise} after {ANSWER_S:.0f} s")
            time.sleep(0.02)
        return str(found)


CENTER_PROCESSES = ("ingest", "alarms", "console")
# Faults of the machine or the footage, not of the demo: no time server, a busy laptop, footage with sound (which is
# the point) or of 10 frames a second. They are told, not counted as errors.
HARMLESS = {"clock-unsynced", "source-has-sound", "quality-below-legal", "temperature-high", "memory-low", "disk-low"}


def main() -> int:
    """Run the demo and return the exit status."""
    words = _words()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        # from a thread of its own: Event.set takes a lock that the interrupted wait may hold
        signal.signal(number, lambda *_: threading.Thread(target=stop.set).start())
    lock = only_one(words.state.resolve())
    site = lay_out(words.state.resolve(), words.video, words.rtsp, say)
    need_ports(site)
    before, demo = tally(site), Demo(site, unattended=words.headless)
    try:
        demo.start(stop)
        if words.headless:
            _run_unattended(demo, words.seconds, words.presses, stop)
        else:
            _run_attended(demo, site, stop)
    except TimeoutError as error:
        demo.errors += [str(error), *demo.processes.last_words()]
    finally:
        demo.stop()
        os.close(lock)
    report = summarize(site, demo.run(), before)
    if words.json:
        print(json.dumps(report))
    for error in report["errors"]:
        say(f"error: {error}")
    say("nothing was wrong" if not report["errors"] else f"look into {site.root / 'logs'}")
    return 1 if report["errors"] else 0


def only_one(root: Path) -> int:
    """Hold `root` for this demo as long as the returned descriptor is open.

    Raises:
        SystemExit: another demo holds it; both would fight for the pole's name, its cameras and its bell.
    """
    root.mkdir(parents=True, exist_ok=True)
    lock = os.open(root / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise SystemExit(f"demo: another demo runs in {root}; end that one, or name another with --state DIR") from None
    return lock


def need_ports(site: Site) -> None:
    """Look whether the ports that this site was laid out with are free.

    Raises:
        SystemExit: another program listens on one.
    """
    for name, port in dataclasses.asdict(site.ports).items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                text = f"demo: port {port} of the {name} cannot be used: {error.strerror.lower()}"
                raise SystemExit(f"{text}; end that program, or name another folder with --state DIR") from None


def _run_unattended(demo: Demo, seconds: float, presses: int, stop: threading.Event) -> None:
    begin = time.monotonic()
    for number in range(presses):
        if not stop.wait(max(0.0, begin + seconds * (number + 1) / (presses + 1) - time.monotonic())):
            demo.press_and_answer()
            say(f"press {number + 1} of {presses}: {demo.line()}")
    while not stop.wait(min(10.0, max(0.0, begin + seconds - time.monotonic()))) and time.monotonic() < begin + seconds:
        say(demo.line())


def _run_attended(demo: Demo, site: Site, stop: threading.Event) -> None:
    say(f"console: {demo.operator.entry_link()}")
    say("the browser warns once about the demo's own certificate authority: go on")
    say("b + Enter presses the bell, l + Enter shows the state, q + Enter or Ctrl-C ends")

    def keys() -> None:
        for text in sys.stdin:
            if text.strip() == "b":
                try:
                    press_bell(site.run_dir, 200)
                    say("pressed; answer it on the alarm desk")
                except PoleAgentError as error:
                    say(str(error))
            elif text.strip() == "q":
                stop.set()
            else:
                say(demo.line())

    threading.Thread(target=keys, name="keys", daemon=True).start()
    while not stop.wait(30.0):
        say(demo.line())


def _words() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--video", action="append", default=[], metavar="FILE", help="footage to replay; may be repeated"
    )
    parser.add_argument("--rtsp", action="append", default=[], metavar="URL", help="camera to record; may be repeated")
    parser.add_argument("--state", type=Path, default=Path(__file__).parents[1] / ".demo", metavar="DIR")
    parser.add_argument("--headless", action="store_true", help="no keys, no browser: run, press, answer, stop")
    parser.add_argument(
        "--seconds", type=float, default=60.0, metavar="N", help="how long the cameras record (headless)"
    )
    parser.add_argument("--presses", type=int, default=3, metavar="K", help="presses of the bell (headless)")
    parser.add_argument("--json", action="store_true", help="print what happened as one JSON object")
    words = parser.parse_args()
    for video in words.video:
        if not Path(video).is_file():
            parser.error(f"--video {video}: there is no such file")
    return words


if __name__ == "__main__":
    sys.exit(main())
