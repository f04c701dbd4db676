"""Every MQTT channel as data: who sends what, where, how. The AsyncAPI document is generated from this table.

Rules: a topic that no channel matches is not part of the contract; `message` None means that the payload is text
with a page of its own (`form`), not one of our JSON structs.
"""

from dataclasses import dataclass
from typing import Literal

from agent.contract.messages import (
    Alarm,
    AlarmReceipt,
    AlarmUpdate,
    AuditReceipt,
    CenterBeat,
    CommandAudit,
    CommandReply,
    Heartbeat,
    Inspection,
    Message,
    Status,
)
from agent.contract.topics import CENTER_BEAT, down, test_up, up

POLE = "{pole}"


@dataclass(frozen=True)
class Channel:
    """One topic pattern. `qos` and `retain` are the sender's; `when` says in words what makes it send."""

    name: str
    address: str
    sender: Literal["pole", "center"]
    message: type[Message] | None
    qos: Literal[0, 1]
    when: str
    retain: bool = False
    form: str = ""

    def matches(self, topic: str) -> bool:
        """Return whether `topic` is this channel's, for any pole."""
        pattern, parts = self.address.split("/"), topic.split("/")
        return len(pattern) == len(parts) and all(
            want in (POLE, have) for want, have in zip(pattern, parts, strict=True)
        )


CHANNELS = (
    Channel("status", up(POLE, "status"), "pole", Status, 1, "after each connect; offline as the will", retain=True),
    Channel("alarm", up(POLE, "alarm"), "pole", Alarm, 1, "on each press, and again until its receipt came"),
    Channel(
        "testAlarm", test_up(POLE, "alarm"), "pole", Alarm, 1, "on each press in test mode, until its receipt came"
    ),
    Channel("inspection", up(POLE, "inspection"), "pole", Inspection, 1, "after each self-test or assisted press test"),
    Channel("heartbeat", up(POLE, "heartbeat"), "pole", Heartbeat, 0, "every 30 s"),
    Channel("reply", up(POLE, "reply"), "pole", CommandReply, 1, "when a command was done, refused or challenged"),
    Channel("audit", up(POLE, "audit"), "pole", CommandAudit, 1, "before and after each act, and on each refusal"),
    Channel("receipt", down(POLE, "receipt"), "center", AlarmReceipt, 1, "after the commit of what it names"),
    Channel("answer", down(POLE, "answer"), "center", AlarmUpdate, 1, "when a person did something with the incident"),
    Channel("auditReceipt", down(POLE, "audit-receipt"), "center", AuditReceipt, 1, "after the commit of an audit row"),
    Channel("command", down(POLE, "command"), "center", None, 1, "when an officer signed it", form="application/jose"),
    Channel("commandKeys", down(POLE, "command-keys"), "center", None, 1, "when the keys changed", form="text/plain"),
    Channel("centerBeat", CENTER_BEAT, "center", CenterBeat, 0, "every 10 s, after a database write check"),
)


def channel_of(topic: str) -> Channel | None:
    """Return the channel of a topic, or None when the contract has none.

    >>> channel_of("ps/v1/gangseo-0142/up/test/alarm").name
    'testAlarm'
    """
    return next((channel for channel in CHANNELS if channel.matches(topic)), None)
