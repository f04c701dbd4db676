"""Where self-tests and assisted press tests are taken in: commit, then receipt (R-INSPECT).

Rules:
* it rides on the telemetry session, with a durable store: after an outage a whole city's inspections come at once, and
  no press may wait behind them;
* the receipt goes to `down/receipt` with the `inspection_id`, after the commit only; the pole sends again until then,
  so one that could not be stored is dropped here and not held;
* the pole is the one of the topic; what cannot be read or speaks for another is quarantined.
"""

import logging
from collections.abc import Callable

from agent.contract.errors import ContractError
from agent.contract.messages import AlarmReceipt, Inspection, decode, encode
from agent.contract.topics import down, pole_of
from center.alarms.alarm_desk import check_sender
from center.alarms.paho_session import Incoming
from center.errors import StoreError
from center.store import Store

log = logging.getLogger(__name__)

KIND = "inspection"


class InspectionDesk:
    """Takes inspections. `store` must be durable at each commit; `publish` sends at QoS 1."""

    def __init__(self, store: Store, publish: Callable[[str, bytes], object]) -> None:
        self._store = store
        self._publish = publish
        self._complained = False

    def takes(self, topic: str) -> bool:
        """Return whether a message of this topic is ours."""
        return (pole_of(topic) or ("", ""))[1] == KIND

    def take(self, incoming: Incoming) -> None:
        """Store one inspection and answer it."""
        try:
            self._settle(incoming)
            self._complained = False
        except StoreError as error:
            if not self._complained:
                log.error("inspection not stored, no receipt sent error=%s", error)
            self._complained = True

    def _settle(self, incoming: Incoming) -> None:
        pole, _kind = pole_of(incoming.topic) or ("", "")
        try:
            inspection = decode(incoming.payload, Inspection)
            check_sender(pole, inspection.pole)
            row = self._store.inspections.add(inspection, incoming.payload)
        except ContractError as error:
            log.warning("message quarantined topic=%s error=%s", incoming.topic, error)
            self._store.quarantine.add(pole, incoming.topic, str(error), incoming.payload)
            return
        receipt = AlarmReceipt(alarm_id=row.inspection_id, committed_at_us=row.committed_at_us)
        self._publish(down(pole, "receipt"), encode(receipt))
