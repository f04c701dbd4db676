"""`pole-center alarms`: two broker sessions, and the threads around them. This file only wires.

| thread | does | its store |
|---|---|---|
| network of `center-alarms` | press -> commit -> receipt -> ack | durable, never checkpoints |
| network of `center-telemetry` | heartbeats, states | not durable at each commit |
| answers | down queue -> poles | its own |
| beat | write check -> beat; stores what waited | its own |
| watch | silent poles; checkpoints, so that no alarm waits for one | telemetry's; its own |
"""

import logging
import threading
from functools import partial

from center.alarms.alarm_desk import AlarmDesk, Outlet, Step, no_step
from center.alarms.answers import Answers
from center.alarms.beat import BEAT_S, Beat
from center.alarms.paho_session import Endpoint, Incoming, Listener, PahoSession
from center.alarms.telemetry_desk import TelemetryDesk
from center.config import BrokerConfig, CenterConfig
from center.errors import StoreError
from center.process import Worker, run_service
from center.store import Store
from center.store.store import utc_now_us

log = logging.getLogger(__name__)

ALARMS_IDENTITY = "center-alarms"
TELEMETRY_IDENTITY = "center-telemetry"
SESSION_EXPIRY_S = 24 * 3600
WATCH_S = 1.0


def run_alarms(config: CenterConfig, step: Step = no_step, beat_s: float = BEAT_S) -> int:
    """Run the service until SIGTERM; return the exit status. `step` and `beat_s` are for drills.

    Raises:
        ConfigError: a certificate cannot be used.
        StoreError: the database cannot be opened.
    """
    service = AlarmService(config, step, beat_s)
    try:
        return run_service("alarms", service.workers())
    finally:
        service.close()


class AlarmService:
    """The parts of the service, wired."""

    def __init__(self, config: CenterConfig, step: Step = no_step, beat_s: float = BEAT_S) -> None:
        """Open the stores and prepare both sessions.

        Raises:
            ConfigError: a certificate cannot be used.
            StoreError: the database cannot be opened.
        """
        now_us = utc_now_us
        self._silent_after_s = config.silent_after_s
        path = config.database
        alarm_store = Store(path, now_us, autocheckpoint=False)
        telemetry_store = Store(path, now_us, durable=False, autocheckpoint=False)
        answer_store, beat_store = (Store(path, now_us, autocheckpoint=False) for _ in range(2))
        self._keeper = Store(path, now_us, autocheckpoint=False)
        self._stores = [alarm_store, telemetry_store, answer_store, beat_store, self._keeper]
        self._desk = AlarmDesk(alarm_store, Outlet(self._publish, self._ack), step)
        self._telemetry_desk = TelemetryDesk(telemetry_store, now_us)
        self._answers = Answers(answer_store, self._publish, now_us)
        self._alarms = PahoSession(
            _endpoint(config.broker, ALARMS_IDENTITY),
            [("ps/v1/+/up/alarm", 1)],
            Listener(self._desk.take, self._answers.connected, self._desk.forget, self._answers.acknowledged),
        )
        self._telemetry = PahoSession(
            _endpoint(config.broker, TELEMETRY_IDENTITY),
            [("ps/v1/+/up/status", 1), ("ps/v1/+/up/heartbeat", 0)],
            Listener(
                self._take_telemetry,
                partial(self._telemetry_desk.listening, True),
                partial(self._telemetry_desk.listening, False),
            ),
        )
        publish_beat = partial(self._alarms.publish, qos=0)
        self._beat = Beat(beat_store, self._desk, publish_beat, lambda: self._alarms.online, now_us, beat_s)

    def workers(self) -> list[Worker]:
        """Return the threads to run."""
        return [
            Worker("sessions", self._run_sessions),
            Worker("answers", self._answers.run),
            Worker("beat", self._beat.run),
            Worker("watch", self._watch),
        ]

    def close(self) -> None:
        """Close the stores."""
        for store in self._stores:
            store.close()

    def _publish(self, topic: str, payload: bytes) -> int:
        return self._alarms.publish(topic, payload)

    def _ack(self, incoming: Incoming) -> None:
        self._alarms.ack(incoming)

    def _take_telemetry(self, incoming: Incoming) -> None:
        self._telemetry_desk.take(incoming)
        self._telemetry.ack(incoming)

    def _run_sessions(self, stop: threading.Event) -> None:
        """Keep both sessions until `stop`; end loudly when a network thread died."""
        sessions = (self._alarms, self._telemetry)
        for session in sessions:
            session.start()
        while not stop.wait(WATCH_S):
            if not all(session.thread_alive() for session in sessions):
                log.error("a network thread died; the process ends to start afresh")
                break
        for session in sessions:
            session.stop()

    def _watch(self, stop: threading.Event) -> None:
        """Judge silence and move the log into the database, once a second; a failing database is the beat's to tell."""
        while not stop.wait(WATCH_S):
            try:
                self._telemetry_desk.watch(self._silent_after_s)
                self._keeper.database.checkpoint()
            except StoreError as error:
                log.debug("watch skipped error=%s", error)


def _endpoint(broker: BrokerConfig, identity: str) -> Endpoint:
    alarms = identity == ALARMS_IDENTITY
    return Endpoint(
        host=broker.host,
        port=broker.port,
        client_id=identity,
        ca_file=broker.ca_file,
        cert_file=broker.alarms_cert_file if alarms else broker.telemetry_cert_file,
        key_file=broker.alarms_key_file if alarms else broker.telemetry_key_file,
        expiry_s=SESSION_EXPIRY_S if alarms else 0,
    )
