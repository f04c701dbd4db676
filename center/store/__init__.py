"""What the center knows, in SQLite. `center.store.store.Store` is the one door.

The rows callers handle: `PoleRow`, `AlarmRow`, `IncidentRow`, `DownRow`, `StoredObject`, `FaultRow`,
`LedgerEntry`, `LedgerRow`, `EventRow`, `TimelineSpan`.
"""

from center.store.alarms import AlarmRow as AlarmRow
from center.store.alarms import DownRow as DownRow
from center.store.alarms import IncidentRow as IncidentRow
from center.store.events import EventRow as EventRow
from center.store.faults import FaultRow as FaultRow
from center.store.ledger import LedgerEntry as LedgerEntry
from center.store.ledger import LedgerRow as LedgerRow
from center.store.objects import StoredObject as StoredObject
from center.store.poles import PoleRow as PoleRow
from center.store.records import TimelineSpan as TimelineSpan
from center.store.store import Store as Store
