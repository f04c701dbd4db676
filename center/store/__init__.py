"""What the center knows, in SQLite. `center.store.store.Store` is the one door.

The rows callers handle: `PoleRow`, `AlarmRow`, `TestPressRow`, `IncidentRow`, `ActRow`, `DownRow`, `AnswerTimes`,
`StepRow`, `WaitingCall`, `InspectionRow`, `Coverage`, `WorkOrderRow`, `StoredObject`, `FaultRow`, `LedgerEntry`,
`LedgerRow`, `EventRow`, `TimelineSpan`.
"""

from center.store.alarms import ActRow as ActRow
from center.store.alarms import AlarmRow as AlarmRow
from center.store.alarms import TestPressRow as TestPressRow
from center.store.answer_times import AnswerTimes as AnswerTimes
from center.store.down_queue import DownRow as DownRow
from center.store.escalations import StepRow as StepRow
from center.store.escalations import WaitingCall as WaitingCall
from center.store.events import EventRow as EventRow
from center.store.faults import FaultRow as FaultRow
from center.store.incident import IncidentRow as IncidentRow
from center.store.inspections import Coverage as Coverage
from center.store.inspections import InspectionRow as InspectionRow
from center.store.ledger import LedgerEntry as LedgerEntry
from center.store.ledger import LedgerRow as LedgerRow
from center.store.objects import StoredObject as StoredObject
from center.store.poles import PoleRow as PoleRow
from center.store.records import TimelineSpan as TimelineSpan
from center.store.store import Store as Store
from center.store.work_orders import WorkOrderRow as WorkOrderRow
