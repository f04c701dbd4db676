"""A session without a broker, for tests and drills: it keeps the rules of the port and remembers what was published."""

import threading
import uuid
from dataclasses import dataclass

from agent.clock import Clock
from agent.mqtt.guard import guarded
from agent.mqtt.link import LinkHandlers, LinkHealth
from agent.supervise import WorkerContext


@dataclass(frozen=True)
class Published:
    """One message that the session took."""

    topic: str
    payload: bytes
    qos: int


class MemoryLink:
    """`connect` and `disconnect` are the network, `deliver` the other side, `acknowledging` whether PUBACKs come."""

    def __init__(self, handlers: LinkHandlers, clock: Clock) -> None:
        self.published: list[Published] = []
        self.hurried = 0
        self.acknowledging = True
        self._handlers = handlers
        self._clock = clock
        self._lock = threading.Lock()
        self._session = ""
        self._last_puback_mono_s: float | None = None

    def run(self, context: WorkerContext) -> None:
        """Be connected until the service stops."""
        self.connect()
        while not context.wait(0.05):
            pass
        self.disconnect()

    def publish(self, topic: str, payload: bytes, *, qos: int) -> bool:
        """Remember the message if there is a session."""
        with self._lock:
            if not self._session:
                return False
            self.published.append(Published(topic, payload, qos))
            if qos > 0 and self.acknowledging:
                self._last_puback_mono_s = self._clock.mono_s()
        return True

    def hurry(self) -> None:
        """Count the wish."""
        self.hurried += 1

    def health(self) -> LinkHealth:
        """Return the session and the last PUBACK."""
        return LinkHealth(self._session, self._last_puback_mono_s)

    def connect(self) -> None:
        """Begin a session with an id of its own."""
        self._session = uuid.uuid4().hex
        guarded(self._handlers.on_up)()

    def disconnect(self) -> None:
        """Lose the session."""
        if self._session:
            self._session = ""
            guarded(self._handlers.on_down)()

    def deliver(self, topic: str, payload: bytes) -> None:
        """Let a message arrive."""
        guarded(self._handlers.on_message)(topic, payload)
