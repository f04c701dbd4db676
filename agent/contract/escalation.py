"""What the center tells the outside when nobody answers a bell: one JSON object, to a command or a webhook."""

from typing import Literal

from agent.contract.messages import Message


class EscalationNotice(Message, frozen=True, kw_only=True):
    """An emergency call that waited too long (standard input of a command, or body of an HTTPS POST).

    (`incident_id`, `call`) is the key: the same notice may come more than once, when an attempt was cut off.
    `call` counts from 1; a press after the close begins the next. `waited_s` is counted from the center's commit.
    """

    incident_id: str
    call: int
    pole: str
    attempt: int
    called_at_us: int
    pressed_at_us: int
    sent_at_us: int
    waited_s: int
    presses: int
    line: str
    simulated: bool
    mode: Literal["normal", "maintenance"]
    seen_by: str = ""
