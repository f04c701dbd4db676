"""`pole-center alarms`: two broker sessions, and the threads around them. This file only wires.

| thread | does | its store |
|---|---|---|
| network of `center-alarms` | press -> commit -> receipt -> ack | durable, never checkpoints |
| network of `center-telemetry` | heartbeats, states; replies, audit rows | not durable at each commit; durable |
| answers | down queue -> poles | its own |
| escalation | unanswered calls -> second console, wall view, hook | its own |
| hook | runs the command or webhook | its own |
| beat | write check -> beat; stores what waited | its own |
| watch | silent poles; checkpoints, so that no alarm waits for one | telemetry's; its own |
"""

import logging
import threading
from functools import partial

from center.alarms.alarm_desk import AlarmDesk, Outlet, Step, no_step
from center.alarms.answers import Answers
from center.alarms.beat import BEAT_S, Beat
from center.alarms.command_hook import CommandHook
from center.alarms.escalation import Ladder
from center.alarms.escalator import Escalator
from center.alarms.hook import Hook
from center.alarms.hook_worker import HookWorker
from center.alarms.inspection_desk import InspectionDesk
from center.alarms.paho_session import Endpoint, Incoming, Listener, PahoSession
from center.alarms.telemetry_desk import TelemetryDesk
from center.alarms.webhook import Webhook
from center.commands.desk import CommandDesk
from center.config import BrokerConfig, CenterConfig, EscalationConfig
from center.errors import StoreError
from center.process import Worker, run_service
from center.store import Store
from center.store.store import utc_now_us

log = logging.getLogger(__name__)

ALARMS_IDENTITY = "center-alarms"
TELEMETRY_IDENTITY = "center-telemetry"
SESSION_EXPIRY_S = 24 * 3600
WATCH_S = 1.0
TELEMETRY_KINDS = ("status", "reply", "audit", "inspection")


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
        answer_store, beat_store, command_store, escalation_store, hook_store = (
            Store(path, now_us, autocheckpoint=False) for _ in range(5)
        )
        self._keeper = Store(path, now_us, autocheckpoint=False)
        self._stores = [alarm_store, telemetry_store, answer_store, beat_store, command_store, self._keeper]
        self._stores += [escalation_store, hook_store]
        self._desk = AlarmDesk(alarm_store, Outlet(self._publish, self._ack), step)
        self._telemetry_desk = TelemetryDesk(telemetry_store, now_us)
        self._answers = Answers(answer_store, self._publish, now_us)
        self._alarms = PahoSession(
            _endpoint(config.broker, ALARMS_IDENTITY),
            [("ps/v1/+/up/alarm", 1), ("ps/v1/+/up/test/alarm", 1)],
            Listener(self._desk.take, self._answers.connected, self._desk.forget, self._answers.acknowledged),
        )
        self._command_desk = CommandDesk(command_store, self._publish_telemetry)
        self._inspection_desk = InspectionDesk(command_store, self._publish_telemetry)
        self._telemetry = PahoSession(
            _endpoint(config.broker, TELEMETRY_IDENTITY),
            [("ps/v1/+/up/heartbeat", 0), *((f"ps/v1/+/up/{kind}", 1) for kind in TELEMETRY_KINDS)],
            Listener(
                self._take_telemetry,
                partial(self._telemetry_desk.listening, True),
                partial(self._telemetry_desk.listening, False),
            ),
        )
        publish_beat = partial(self._alarms.publish, qos=0)
        self._beat = Beat(beat_store, self._desk, publish_beat, lambda: self._alarms.online, now_us, beat_s)
        rules = config.escalation
        self._escalator = Escalator(escalation_store, Ladder(rules.second_s, rules.wall_s, rules.hook_s), now_us)
        self._hooks = HookWorker(hook_store, _hook(rules), rules.hook_attempts, now_us)

    def workers(self) -> list[Worker]:
        """Return the threads to run."""
        return [
            Worker("sessions", self._run_sessions),
            Worker("answers", self._answers.run),
            Worker("beat", self._beat.run),
            Worker("watch", self._watch),
            Worker("escalation", self._escalator.run),
            Worker("hook", self._hooks.run),
        ]

    def close(self) -> None:
        """Close the stores."""
        for store in self._stores:
            store.close()

    def _publish(self, topic: str, payload: bytes) -> int:
        return self._alarms.publish(topic, payload)

    def _ack(self, incoming: Incoming) -> None:
        self._alarms.ack(incoming)

    def _publish_telemetry(self, topic: str, payload: bytes) -> int:
        return self._telemetry.publish(topic, payload)

    def _take_telemetry(self, incoming: Incoming) -> None:
        if self._command_desk.takes(incoming.topic):
            self._command_desk.take(incoming)
        elif self._inspection_desk.takes(incoming.topic):
            self._inspection_desk.take(incoming)
        else:
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


def _hook(rules: EscalationConfig) -> Hook | None:
    """Return the configured hook, or None.

    Raises:
        ConfigError: a file of it cannot be used.
    """
    if rules.hook_command:
        return CommandHook(rules.hook_command, rules.hook_timeout_s)
    if rules.hook_url:
        return Webhook(rules.hook_url, rules.hook_timeout_s, rules.hook_ca_file, rules.hook_token_file)
    return None


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
