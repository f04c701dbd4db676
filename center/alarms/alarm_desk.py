"""Where presses are taken in: commit, then receipt, then acknowledgement. Nothing is said before it is true.

Rules:
* `take` runs on the network thread, which alone uses this store: no queue and no other thread stands in the path;
* the pole is the one of the topic (the broker's access list proves it); a payload that names another is quarantined;
* a test press (`up/test/alarm`, mode "test") takes the same way and gets the same receipt, so that a test proves the
  way, but it is stored apart; when topic and mode disagree, it is real, and the breach is kept in quarantine;
* a press that cannot be stored gets no receipt and no acknowledgement: it waits here and at the pole, which resends;
  `retry` takes it again once the database can be written;
* a damaged message is kept in quarantine and acknowledged: sending it again would not mend it.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from agent.contract.errors import ContractError
from agent.contract.messages import Alarm, AlarmReceipt, decode, encode
from agent.contract.topics import down, pole_of
from center.alarms.paho_session import Incoming
from center.alarms.press_kind import TEST_KIND, breach
from center.errors import StoreError
from center.pki import is_pole_name
from center.store import AlarmRow, Store, TestPressRow

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outlet:
    """What the desk may do with the session: publish at QoS 1 (topic, payload), acknowledge."""

    publish: Callable[[str, bytes], object]
    ack: Callable[[Incoming], object]


Step = Callable[[str], None]


def no_step(name: str) -> None:
    """Do nothing at the step `name`; a crash drill dies there instead."""


class AlarmDesk:
    """Takes alarms; thread-safe against `retry` and `forget`. `step` is called with `committed` after each commit."""

    def __init__(self, store: Store, outlet: Outlet, step: Step = no_step) -> None:
        self._store = store
        self._outlet = outlet
        self._step = step
        self._lock = threading.Lock()
        self._waiting: list[Incoming] = []

    @property
    def waiting(self) -> int:
        """How many presses could not be stored yet."""
        return len(self._waiting)

    def take(self, incoming: Incoming) -> None:
        """Store one press and answer it; or hold it when the store refuses."""
        try:
            self._settle(incoming)
        except StoreError as error:
            with self._lock:
                self._waiting.append(incoming)
                first = len(self._waiting) == 1
            if first:
                log.error("alarm not stored, no receipt sent topic=%s error=%s", incoming.topic, error)

    def retry(self) -> None:
        """Take again what waited; call it when the database can be written."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for incoming in waiting:
            self.take(incoming)
        if waiting and not self._waiting:
            log.info("waiting alarms stored count=%d", len(waiting))

    def forget(self) -> None:
        """Drop what waits: the connection ended, and the broker will deliver it again."""
        with self._lock:
            self._waiting = []

    def _settle(self, incoming: Incoming) -> None:
        pole, kind = pole_of(incoming.topic) or ("", "")
        try:
            alarm = read_alarm(pole, incoming.payload)
            row = self._commit(kind, alarm, incoming)
            self._step("committed")
        except ContractError as error:
            log.error("alarm quarantined topic=%s error=%s", incoming.topic, error)
            self._store.quarantine.add(pole, incoming.topic, str(error), incoming.payload)
        else:
            receipt = AlarmReceipt(alarm_id=row.alarm_id, committed_at_us=row.committed_at_us)
            self._outlet.publish(down(pole, "receipt"), encode(receipt))
        self._outlet.ack(incoming)

    def _commit(self, kind: str, alarm: Alarm, incoming: Incoming) -> AlarmRow | TestPressRow:
        """Store the press where it belongs, and once the breach if its topic and mode disagree."""
        wrong = breach(kind, alarm)
        alarms = self._store.alarms
        if not wrong:
            commit = alarms.commit_test if kind == TEST_KIND else alarms.commit
            return commit(alarm, incoming.payload)
        with self._store.database.transaction():
            if not alarms.holds(alarm.alarm_id):
                log.error("press taken as real topic=%s breach=%s", incoming.topic, wrong)
                self._store.quarantine.add(alarm.pole, incoming.topic, wrong, incoming.payload)
            return alarms.commit(alarm, incoming.payload)


def read_alarm(pole: str, payload: bytes) -> Alarm:
    """Return the alarm that `pole` sent.

    Raises:
        ContractError: unreadable, or it speaks for another pole.
    """
    alarm = decode(payload, Alarm)
    check_sender(pole, alarm.pole)
    return alarm


def check_sender(pole: str, named: str) -> None:
    """Check that the pole of the topic is a pole, and the one that the payload names.

    Raises:
        ContractError: it is not.
    """
    if not is_pole_name(pole):
        raise ContractError(f"{pole!r} is not a pole's name")
    if named != pole:
        raise ContractError(f"message names pole {named!r}, it was sent by {pole}")
