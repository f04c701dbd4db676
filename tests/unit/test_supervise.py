"""The supervisor: restart budget, watchdog, stall, orderly stop. Time is simulated; a "stall" is time that passed."""

import threading

import pytest

from agent.clock import SimulatedClock
from agent.supervise import RESTARTS, STALLS_ENDURED, TICK_S, Supervisor, Worker, WorkerContext


class RecordingManager:
    """A service manager that remembers what it was told."""

    def __init__(self) -> None:
        self.notices: list[str] = []

    def ready(self) -> None:
        self.notices.append("ready")

    def alive(self) -> None:
        self.notices.append("alive")

    def stopping(self) -> None:
        self.notices.append("stopping")


class SteppedClock(SimulatedClock):
    """Lets a moment of real time pass at each wait, so that the threads of the test get their turn."""

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        self.advance(timeout_s)
        return event.wait(0.001)


def until_stopped(context: WorkerContext) -> None:
    while not context.wait(0.1):
        pass


@pytest.fixture
def manager() -> RecordingManager:
    return RecordingManager()


def test_ready_is_said_once_and_stopping_last(manager):
    started = threading.Event()

    def stop_soon(context: WorkerContext) -> None:
        started.set()
        supervisor.request_stop()

    supervisor = Supervisor("health", [Worker("one", stop_soon)], SteppedClock(), manager)
    assert supervisor.run(catch_signals=False) == 0
    assert started.is_set()
    assert manager.notices[0] == "ready"
    assert manager.notices[-1] == "stopping"


def test_a_failing_worker_is_started_again_until_its_budget_is_spent(manager):
    runs = []

    def fail(_: WorkerContext) -> None:
        runs.append(1)
        raise ValueError("broken on purpose")

    supervisor = Supervisor("health", [Worker("bad", fail)], SteppedClock(), manager)
    assert supervisor.run(catch_signals=False) == 1
    assert len(runs) == 1 + RESTARTS


def test_a_worker_that_returns_early_is_started_again(manager):
    runs = []

    def leave(_: WorkerContext) -> None:
        runs.append(1)
        if len(runs) == 3:
            supervisor.request_stop()

    supervisor = Supervisor("health", [Worker("early", leave)], SteppedClock(), manager)
    assert supervisor.run(catch_signals=False) == 0
    assert len(runs) == 3


def test_a_worker_that_fails_rarely_never_spends_its_budget(manager):
    clock = SteppedClock()
    runs = []

    def fail_once_a_minute(_: WorkerContext) -> None:
        runs.append(1)
        if len(runs) > 4 * RESTARTS:
            supervisor.request_stop()
            return
        clock.advance(61.0)
        raise ValueError("broken on purpose")

    supervisor = Supervisor("health", [Worker("rare", fail_once_a_minute, stall_s=1e9)], clock, manager)
    assert supervisor.run(catch_signals=False) == 0


def test_one_worker_failing_leaves_the_others_running(manager):
    steady_runs, failures = [], []

    def steady(context: WorkerContext) -> None:
        steady_runs.append(1)
        until_stopped(context)

    def fail_twice(context: WorkerContext) -> None:
        failures.append(1)
        if len(failures) < 3:
            raise ValueError("broken on purpose")
        supervisor.request_stop()

    workers = [Worker("steady", steady), Worker("bad", fail_twice)]
    supervisor = Supervisor("health", workers, SteppedClock(), manager)
    assert supervisor.run(catch_signals=False) == 0
    assert len(steady_runs) == 1


def stalled(context: WorkerContext) -> None:
    """Says nothing until the service stops."""
    while not context.stopping:
        threading.Event().wait(0.001)


def test_the_watchdog_is_fed_while_workers_beat(manager):
    beats = []

    def beat(context: WorkerContext) -> None:
        while not context.wait(0.1):
            beats.append(1)
            if len(beats) > 20:
                supervisor.request_stop()

    supervisor = Supervisor("health", [Worker("busy", beat)], SteppedClock(), manager)
    assert supervisor.run(catch_signals=False) == 0
    assert "alive" in manager.notices


def test_the_watchdog_is_not_fed_once_a_worker_stalls_though_another_beats(manager):
    workers = [Worker("busy", until_stopped), Worker("stuck", stalled, stall_s=0.0)]
    supervisor = Supervisor("health", workers, SteppedClock(), manager)
    assert supervisor.run(catch_signals=False) == 1
    assert "alive" not in manager.notices


def test_a_stalled_worker_ends_the_process_without_any_watchdog(manager):
    clock = SteppedClock()
    began = clock.mono_s()
    supervisor = Supervisor("health", [Worker("stuck", stalled, stall_s=10.0)], clock, manager)
    assert supervisor.run(catch_signals=False) == 1
    assert clock.mono_s() - began >= STALLS_ENDURED * 10.0
    fed = manager.notices.count("alive")
    ticks = 10.0 / TICK_S
    assert 0.75 * ticks <= fed <= ticks + 1, "fed at each tick of the first ten seconds, and not after"


def test_a_stall_is_logged_once_not_at_each_tick(manager, caplog):
    supervisor = Supervisor("health", [Worker("stuck", stalled, stall_s=10.0)], SteppedClock(), manager)
    supervisor.run(catch_signals=False)
    assert [record.message for record in caplog.records].count("workers stalled service=health workers=stuck") == 1
