"""Where the poles' replies and books of commands are taken in.

Rules:
* the pole is the one of the topic (the broker's access list proves it); a payload that names another is quarantined;
* a row of a book is committed durably, then receipted; one that cannot be stored gets no receipt and comes again;
* a reply that cannot be stored is dropped: the pole's book says the same and is kept until its receipt;
* nothing here raises: a pole that sends nonsense stops nobody.
"""

import logging
from collections.abc import Callable

from agent.contract.errors import ContractError
from agent.contract.messages import AuditReceipt, CommandAudit, CommandReply, decode, encode
from agent.contract.topics import down, pole_of
from center.alarms.alarm_desk import check_sender
from center.alarms.paho_session import Incoming
from center.errors import StoreError
from center.store import Store

log = logging.getLogger(__name__)

KINDS = ("reply", "audit")


class CommandDesk:
    """Takes replies and audit rows. `store` must be durable at each commit; `publish` sends at QoS 1."""

    def __init__(self, store: Store, publish: Callable[[str, bytes], object]) -> None:
        self._store = store
        self._publish = publish
        self._complained = False

    def takes(self, topic: str) -> bool:
        """Return whether a message of this topic is ours."""
        return (pole_of(topic) or ("", ""))[1] in KINDS

    def take(self, incoming: Incoming) -> None:
        """Store one message."""
        pole, kind = pole_of(incoming.topic) or ("", "")
        try:
            try:
                self._settle(pole, kind, incoming.payload)
            except ContractError as error:
                log.warning("message quarantined topic=%s error=%s", incoming.topic, error)
                self._store.quarantine.add(pole, incoming.topic, str(error), incoming.payload)
            self._complained = False
        except StoreError as error:
            if not self._complained:
                log.error("command word not stored error=%s", error)
            self._complained = True

    def _settle(self, pole: str, kind: str, payload: bytes) -> None:
        if kind == "reply":
            reply = decode(payload, CommandReply)
            check_sender(pole, reply.pole)
            self._store.commands.reply(reply, payload)
            return
        audit = decode(payload, CommandAudit)
        check_sender(pole, audit.pole)
        if audit.phase == "refused":
            log.warning("pole refused a command pole=%s code=%s detail=%s", pole, audit.code, audit.detail)
        committed_at_us = self._store.commands.audit(audit, payload)
        receipt = AuditReceipt(audit_id=audit.audit_id, committed_at_us=committed_at_us)
        self._publish(down(pole, "audit-receipt"), encode(receipt))
