"""The two sides of the drill: ours and plain QoS 1, each with its own broker, center, poles and cables.

What differs between them is only here; whoever disturbs does the same to both.
"""

import contextlib
import random
import signal
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from support.broker import Broker
from support.center_alarms import AlarmCenter
from support.certificates import CertificateShop

from agent.status_file import read_status
from drill.cable import CableDuct
from drill.child import Child
from drill.ledger import Ledger, Shown
from drill.pole import DrillPole

NEVER = "no such step"  # lets AlarmCenter.start return at once: its broker may be down


class DrillCenter(Protocol):
    """A center that may be killed, frozen or run out of disk, and what it shows."""

    def start(self) -> None: ...
    def kill(self) -> None: ...
    def freeze(self, frozen: bool) -> None: ...
    def refuse_writes(self, refuse: bool) -> None: ...
    def shown(self) -> list[Shown]: ...


class RealCenter:
    """`pole-center alarms`; its beat is quick (0.3 s), everything else is as delivered."""

    def __init__(self, directory: Path, broker: Broker) -> None:
        self.alarms = AlarmCenter(directory, broker)
        self._database = directory / "state" / "center.sqlite"

    def start(self) -> None:
        self.alarms.start(NEVER)

    def kill(self) -> None:
        self.alarms.kill()

    def freeze(self, frozen: bool) -> None:
        self.alarms.signal(signal.SIGSTOP if frozen else signal.SIGCONT)

    def refuse_writes(self, refuse: bool) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.alarms.refuse_writes(refuse)

    def shown(self) -> list[Shown]:
        """Return the presses; one that the incident counts and no row explains is one that a person sees twice."""
        with contextlib.closing(sqlite3.connect(self._database)) as db:
            rows = db.execute("SELECT alarm_id, pressed_at_us, committed_at_us FROM alarm").fetchall()
            extra = db.execute(
                "SELECT (SELECT max(alarm_id) FROM alarm a WHERE a.incident_id = i.incident_id), 0, 0,"
                " presses - (SELECT count(*) FROM alarm a WHERE a.incident_id = i.incident_id) AS more"
                " FROM incident i WHERE more != 0"
            ).fetchall()
        return [Shown(*row) for row in rows] + [Shown(name, at, to, abs(more)) for name, at, to, more in extra]


class PlainCenter:
    """A subscriber with a kept session that commits what it hears."""

    def __init__(self, directory: Path, broker: Broker) -> None:
        who = broker.shop.center("center-alarms")
        self._database = directory / "plain.sqlite"
        files = map(str, (who.cert_file, who.key_file, who.ca_file, broker.port, self._database))
        self._words = ["drill.plain_child", "center", *files]
        self._log = directory / "plain.log"
        self._child: Child | None = None

    def start(self) -> None:
        self.kill()
        self._child = Child(self._words, self._log, lambda line: None)
        self._child.wait_said("ready")

    def kill(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child = None

    def freeze(self, frozen: bool) -> None:
        if self._child is not None:
            self._child.signal(signal.SIGSTOP if frozen else signal.SIGCONT)

    def refuse_writes(self, refuse: bool) -> None:
        if self._child is not None:
            self._child.refuse_writes(refuse)

    def shown(self) -> list[Shown]:
        with contextlib.closing(sqlite3.connect(self._database)) as db:
            return [
                Shown(*row)
                for row in db.execute("SELECT alarm_id, pressed_at_us, committed_at_us FROM message").fetchall()
            ]


class Side:
    """Broker, center, poles with their cables, and the ledger of their presses."""

    def __init__(
        self, name: str, directory: Path, shop: CertificateShop, poles: int, seed: int, duct: CableDuct
    ) -> None:
        directory.mkdir()
        self.name = name
        self.ledger = Ledger()
        self.broker = Broker(directory / "broker", shop).start()
        self._directory = directory
        self._shop = shop
        self.center: DrillCenter = self._make_center()
        self.center.start()
        self.cables = [duct.lay(self.broker.port) for _ in range(poles)]
        self.poles = [self._make_pole(number, random.Random(f"{seed}/{number}")) for number in range(poles)]
        self._fingers: list[threading.Thread] = []

    def start(self, enough: Callable[[], bool]) -> None:
        self._fingers = [threading.Thread(target=pole.run, args=(enough,), daemon=True) for pole in self.poles]
        for finger in self._fingers:
            finger.start()

    def fingers_gone(self) -> bool:
        return not any(finger.is_alive() for finger in self._fingers)

    def disk_is_well(self, number: int, since_mono_s: float) -> bool:
        """Whether the pole has written down what it could not: killed earlier, it could not keep its word."""
        return True

    def outboxes_empty(self) -> bool:
        return True

    def close(self) -> None:
        for pole in self.poles:
            pole.close()
        self.center.kill()
        self.broker.kill()

    def _make_center(self) -> DrillCenter:
        return PlainCenter(self._directory, self.broker)

    def _make_pole(self, number: int, dice: random.Random) -> DrillPole:
        who = self._shop.pole(f"pole-{number}")
        words = [
            "drill.plain_child",
            "pole",
            *map(str, (who.cert_file, who.key_file, who.ca_file, self.cables[number].port)),
        ]
        return DrillPole(
            who.name, lambda held, offset_s: words, None, self.ledger, dice, self._directory / f"{who.name}.log"
        )


class OurSide(Side):
    """The bell service and `pole-center alarms`."""

    def disk_is_well(self, number: int, since_mono_s: float) -> bool:
        status = read_status(self._pole_dir(number) / "run", "bell")
        if status is None or status.written_mono_s < since_mono_s + 1.5:
            return False
        return not any(fault.code == "outbox-unwritable" and not fault.subject for fault in status.faults)

    def outboxes_empty(self) -> bool:
        """Whether every pole holds the receipt of every alarm: its light says the truth."""
        found = [read_status(self._pole_dir(number) / "run", "bell") for number in range(len(self.poles))]
        return all(status is not None and status.bell and status.bell.outbox_waiting == 0 for status in found)

    def operator(self) -> AlarmCenter:
        assert isinstance(self.center, RealCenter)
        return self.center.alarms

    def close(self) -> None:
        super().close()
        self.operator().close()

    def _make_center(self) -> DrillCenter:
        return RealCenter(self._directory / "center", self.broker)

    def _make_pole(self, number: int, dice: random.Random) -> DrillPole:
        who, directory = self._shop.pole(f"pole-{number}"), self._pole_dir(number)
        directory.mkdir()
        files: Sequence[object] = (who.cert_file, who.key_file, who.ca_file, directory, self.cables[number].port)
        words = ["drill.bell_child", *map(str, files)]
        return DrillPole(
            who.name,
            lambda held, offset_s: [*words, str(offset_s)],
            directory / "state" / "outbox.sqlite",
            self.ledger,
            dice,
            self._directory / f"{who.name}.log",
        )

    def _pole_dir(self, number: int) -> Path:
        return self._directory / f"pole-{number}"
