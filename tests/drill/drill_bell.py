"""N6: alarms lost or shown twice while everything on the way dies, with plain QoS 1 beside it under the same blows.

    python tests/drill/drill_bell.py [--presses N] [--poles N] [--seed N] [--pace S] [--longest S]

Real parts: mosquitto over TLS 1.3, the whole bell service on mock pins (one process a pole, its wall clock ours to
step: `drill.stepped_clock`), `pole-center alarms`, a relay as the link. Progress goes to standard error, the result to
standard output. The exit status is 1 when a press was lost or shown twice.
"""

import argparse
import dataclasses
import math
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT / "tests") not in sys.path:
    sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "bench")]

from support.certificates import CertificateShop  # noqa: E402

from drill.cable import CableDuct  # noqa: E402
from drill.desk_person import DeskPerson  # noqa: E402
from drill.disturbance import Disturbance  # noqa: E402
from drill.ledger import Shown  # noqa: E402
from drill.side import OurSide, Side  # noqa: E402

PROGRESS_S = 10.0
DRAIN_S = 120.0
STEP_S = 0.25


@dataclass(frozen=True)
class Plan:
    """How long and how hard: `pace_s` between two harms, `longest_s` for one harm, `most_s` for the whole drill."""

    presses: int = 10_000
    poles: int = 4
    seed: int = 20261120
    pace_s: float = 2.0
    longest_s: float = 25.0
    most_s: float = 3600.0
    quiet_s: float = 15.0


class BellDrill:
    """One drill in `directory`."""

    def __init__(self, directory: Path, plan: Plan) -> None:
        self._plan = plan
        self._duct = CableDuct()
        shop = CertificateShop(directory / "pki")
        self.ours = OurSide("ours", directory / "ours", shop, plan.poles, plan.seed, self._duct)
        self.plain = Side("plain", directory / "plain", shop, plan.poles, plan.seed, self._duct)
        self._sides = (self.ours, self.plain)
        self.disturbance = Disturbance(self._sides, random.Random(plan.seed), plan.pace_s, plan.longest_s)
        self._person = DeskPerson(self.ours.operator().store, random.Random(plan.seed + 1))
        self._began_mono_s = time.monotonic()
        self._told_mono_s = 0.0

    def run(self) -> dict[str, Any]:
        stop = threading.Event()
        person = threading.Thread(target=self._person.run, args=(stop,), daemon=True)
        person.start()
        for side in self._sides:
            side.start(self._enough)
        self.disturbance.run(self._enough)
        drained = self._drain()
        stop.set()
        person.join(10)
        return self._result(drained)

    def close(self) -> None:
        for side in self._sides:
            side.close()
        self._duct.close()

    def _enough(self) -> bool:
        self._progress()
        over = time.monotonic() - self._began_mono_s > self._plan.most_s
        return over or (self.ours.ledger.count >= self._plan.presses and self.disturbance.complete)

    def _drain(self) -> bool:
        """Wait until the last presses arrived, and their receipts; False when they did not come in time."""
        self._wait(lambda: all(side.fingers_gone() for side in self._sides), DRAIN_S)
        for side in self._sides:
            for pole in side.poles:
                pole.revive()
        arrived = self._wait(lambda: not missing(self.ours) and self.ours.outboxes_empty(), DRAIN_S)
        quiet = Quiet(lambda: len(missing(self.plain)), self._plan.quiet_s)
        self._wait(quiet, DRAIN_S)
        return arrived

    def _wait(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        end = time.monotonic() + timeout_s
        while not (met := condition()) and time.monotonic() < end:
            self._progress()
            time.sleep(STEP_S)
        return met

    def _progress(self) -> None:
        now = time.monotonic()
        if now - self._told_mono_s < PROGRESS_S:
            return
        self._told_mono_s = now
        print(
            f"drill-bell: {now - self._began_mono_s:.0f} s, {self.ours.ledger.count} presses"
            f" (plain {self.plain.ledger.count}), {sum(self.disturbance.done.values())} harms,"
            f" {len(missing(self.ours))} under way (plain {len(missing(self.plain))})",
            file=sys.stderr,
            flush=True,
        )

    def _result(self, drained: bool) -> dict[str, Any]:
        return {
            "seed": self._plan.seed,
            "poles": self._plan.poles,
            "minutes": round((time.monotonic() - self._began_mono_s) / 60, 1),
            "harms": dict(sorted(self.disturbance.done.items())),
            "answered_by_a_person": self._person.answered,
            "closed_by_a_person": self._person.closed,
            "ours": self._side_result(self.ours) | {"every_receipt_came_back": drained},
            "plain_qos1_persistent_session": self._side_result(self.plain),
        }

    def _side_result(self, side: Side) -> dict[str, Any]:
        shown = side.center.shown()
        verdict = dataclasses.asdict(side.ledger.judge(shown))
        for name in ("lost_ids", "twice_ids"):
            verdict[name] = list(verdict[name][:5])
        verdict["lost_percent"] = round(100 * verdict["lost"] / max(1, verdict["presses"]), 2)
        ended = sum(pole.deaths for pole in side.poles)
        verdict["processes_that_ended"] = {"killed": self.disturbance.pole_kills, "all": ended}
        return verdict | {"press_to_commit_ms": spread(shown)}


class Quiet:
    """True once a number is 0 or has not changed for `for_s`."""

    def __init__(self, number: Callable[[], int], for_s: float) -> None:
        self._number = number
        self._for_s = for_s
        self._last = -1
        self._since_mono_s = time.monotonic()

    def __call__(self) -> bool:
        number, now = self._number(), time.monotonic()
        if number != self._last:
            self._last, self._since_mono_s = number, now
        return number == 0 or now - self._since_mono_s > self._for_s


def missing(side: Side) -> set[str]:
    """Return the alarms that the poles have committed and the center does not show yet."""
    return side.ledger.expected() - {row.alarm_id for row in side.center.shown()}


def spread(shown: Sequence[Shown]) -> dict[str, float]:
    """Return percentiles of press to commit in ms, outages included."""
    delays = sorted(row.delay_ms for row in shown if row.committed_at_us)
    if not delays:
        return {}
    at = {name: delays[math.ceil(len(delays) * part) - 1] for name, part in PARTS.items()}
    return {**at, "most": delays[-1], "n": len(delays)}


PARTS = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


def run_drill(directory: Path, plan: Plan) -> dict[str, Any]:
    """Run one drill in `directory` and return its result."""
    drill = BellDrill(directory, plan)
    try:
        return drill.run()
    finally:
        drill.close()


def main() -> int:
    """Drill and print."""
    from measure import machine, print_json

    plan, keep = parse(sys.argv[1:])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("drill-bell: ended from outside"))  # and clean up
    directory = Path(tempfile.mkdtemp(prefix="drill-bell-"))
    result = run_drill(directory, plan)
    clean = not (result["ours"]["lost"] or result["ours"]["twice"])
    print_json(
        {
            "benchmark": "N6 alarms lost or shown twice under kill -9, cut links, full disks, clock jumps",
            "goal": "lost 0, twice 0 in 10,000 presses",
            "reached": clean and result["ours"]["presses"] >= 10_000,
            **result,
            "machine": machine(),
        }
    )
    if clean and not keep:
        shutil.rmtree(directory, ignore_errors=True)
    else:
        print(f"drill-bell: databases and logs are kept in {directory}", file=sys.stderr)
    return 0 if clean else 1


def parse(words: list[str]) -> tuple[Plan, bool]:
    parser = argparse.ArgumentParser(description="press bells while everything dies (N6)")
    plan = Plan()
    parser.add_argument("--presses", type=int, default=plan.presses)
    parser.add_argument("--poles", type=int, default=plan.poles)
    parser.add_argument("--seed", type=int, default=plan.seed)
    parser.add_argument("--pace", type=float, default=plan.pace_s, help="mean seconds between two harms")
    parser.add_argument("--longest", type=float, default=plan.longest_s, help="longest harm in seconds")
    parser.add_argument("--most", type=float, default=plan.most_s, help="longest drill in seconds")
    parser.add_argument("--keep", action="store_true", help="keep databases and logs")
    told = parser.parse_args(words)
    return Plan(told.presses, told.poles, told.seed, told.pace, told.longest, told.most), told.keep


if __name__ == "__main__":
    sys.exit(main())
