"""The center's memory: one `Store` per process (or thread that must not wait), all on one file.

Rules: `write_check` really commits; each noun has its own repository; a method either did all or nothing.
"""

import time
from collections.abc import Callable
from pathlib import Path

from center.store.alarms import Alarms
from center.store.commands import Commands
from center.store.database import Database
from center.store.escalations import Escalations
from center.store.events import Events
from center.store.faults import Faults
from center.store.inspections import Inspections
from center.store.ledger import Ledger
from center.store.objects import Objects
from center.store.poles import Poles
from center.store.quarantine import Quarantine
from center.store.records import Records
from center.store.work_orders import WorkOrders


def utc_now_us() -> int:
    """Return UTC in microseconds since 1970."""
    return time.time_ns() // 1000


class Store:
    """The repositories over one connection; thread-safe. `now_us` is the clock of every row the center writes."""

    def __init__(
        self,
        path: Path,
        now_us: Callable[[], int] = utc_now_us,
        *,
        durable: bool = True,
        autocheckpoint: bool = True,
    ) -> None:
        """Open `path`, making or migrating it; for the two flags see `Database`.

        Raises:
            StoreError: not writable, not ours, or of a newer schema.
        """
        self.database = Database(path, durable=durable, autocheckpoint=autocheckpoint)
        self._now_us = now_us
        self.events = Events(self.database, now_us)
        self.faults = Faults(self.database, self.events, now_us)
        self.poles = Poles(self.database, self.events, self.faults, now_us)
        self.alarms = Alarms(self.database, self.events, now_us)
        self.commands = Commands(self.database, self.events, now_us)
        self.escalations = Escalations(self.database, self.events, now_us)
        self.work_orders = WorkOrders(self.database, self.events, now_us)
        self.inspections = Inspections(self.database, self.events, self.faults, self.work_orders, now_us)
        self.objects = Objects(self.database, self.events, now_us)
        self.records = Records(self.database)
        self.ledger = Ledger(self.database, self.events, now_us)
        self.quarantine = Quarantine(self.database, self.events, now_us)

    def write_check(self) -> None:
        """Commit one row for real.

        Raises:
            StoreError: the center cannot store anything now, so it must not promise anything.
        """
        with self.database.transaction():
            self.database.write(
                "INSERT INTO write_check VALUES (1, ?) ON CONFLICT DO UPDATE SET at_us = excluded.at_us",
                (self._now_us(),),
            )

    def close(self) -> None:
        """Close the connection."""
        self.database.close()
