"""A whole site for tests: broker, center and one pole as the demo starts them, seen with the center's eyes."""

import ssl
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from demo_run import Demo
from demo_site import OPERATOR, POLE, Site, lay_out

from agent.contract.messages import Fault
from agent.status_file import read_status
from center.config import load_config
from center.store.store import Store

Found = TypeVar("Found")


class WholeSite:
    """Runs in `root`; `change` edits the pole's configuration and restarts what reads it."""

    def __init__(self, root: Path, videos: list[str], streams: list[str]) -> None:
        self.site: Site = lay_out(root, videos, streams, lambda _text: None)
        self.edit("heartbeat_s = 5", "heartbeat_s = 1")
        self.edit("probe_s = 2", "probe_s = 0.5")
        self.edit("fps = 15", "fps = 15\nsegment_s = 3\nread_timeout_s = 2")
        self.demo = Demo(self.site)

    def __enter__(self) -> "WholeSite":
        self.demo.start()
        self.store = Store(load_config(self.site.center_config).database)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.store.close()
        self.demo.processes.close()

    def edit(self, old: str, new: str) -> None:
        text = self.site.pole_config.read_text()
        assert old in text
        self.site.pole_config.write_text(text.replace(old, new))

    def change(self, old: str, new: str, *services: str) -> None:
        self.edit(old, new)
        for service in services:
            self.demo.processes.kill(service)

    def fault(self, code: str, subject: str = "") -> Fault | None:
        """Return the standing fault as the newest stored heartbeat has it."""
        pole = self.store.poles.get(POLE)
        faults = pole.heartbeat.faults if pole and pole.heartbeat else []
        return next((fault for fault in faults if (fault.code, fault.subject) == (code, subject)), None)

    def local_fault(self, service: str, code: str) -> Fault | None:
        """Return a fault from the pole's own status file, for when nothing reaches the center."""
        status = read_status(self.site.run_dir, service)
        return next((fault for fault in (status.faults if status else []) if fault.code == code), None)

    def wait_fault(self, code: str, subject: str = "", timeout_s: float = 30) -> Fault:
        """Wait until the center stands with the fault; check that its detail is one sentence for a person."""
        fault = self.wait(lambda: self.fault(code, subject), f"fault {code} at the center", timeout_s)
        assert len(fault.detail) > 10, fault
        assert "\n" not in fault.detail, fault
        assert "Traceback" not in fault.detail, fault
        return fault

    def wait_mended(self, code: str, subject: str = "", timeout_s: float = 40) -> None:
        self.wait(lambda: self.fault(code, subject) is None, f"fault {code} to be cleared", timeout_s)

    def wait_receipts(self, more: int, timeout_s: float = 40) -> None:
        """Wait until `more` further segments are stored at the center."""
        goal = self.store.objects.totals()[0] + more
        self.wait(lambda: self.store.objects.totals()[0] >= goal, f"{more} more segments at the center", timeout_s)

    def page(self, path: str) -> str:
        """Return a page of the console as a person with a certificate sees it."""
        pki = self.site.center / "pki"
        trust = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        trust.load_cert_chain(pki / "people" / f"{OPERATOR}.crt", pki / "people" / f"{OPERATOR}.key")
        with urllib.request.urlopen(self.site.console_url + path, timeout=5, context=trust) as answer:
            text: str = answer.read().decode()
        return text

    def logs(self, name: str) -> str:
        return (self.site.root / "logs" / f"{name}.log").read_text()

    def wait(self, look: Callable[[], Found | None], what: str, timeout_s: float) -> Found:
        deadline = time.monotonic() + timeout_s
        while not (found := look()):
            assert time.monotonic() < deadline, f"waited {timeout_s} s for {what}"
            time.sleep(0.1)
        return found
