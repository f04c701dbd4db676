import socket
import threading
from pathlib import Path

import pytest

from center import process
from center.process import Worker, run_service


def test_it_ends_in_order_when_asked() -> None:
    stop = threading.Event()
    ended: list[str] = []

    def work(stop: threading.Event) -> None:
        stop.wait()
        ended.append("a")

    threading.Timer(0.05, stop.set).start()
    assert run_service("test", [Worker("a", work)], stop, catch_signals=False) == 0
    assert ended == ["a"]


def test_an_error_in_one_worker_ends_the_others_and_the_process_with_one() -> None:
    told = threading.Event()

    def fail(_stop: threading.Event) -> None:
        raise RuntimeError("boom")

    def work(stop: threading.Event) -> None:
        stop.wait()
        told.set()

    assert run_service("test", [Worker("bad", fail), Worker("good", work)], catch_signals=False) == 1
    assert told.is_set()


def test_a_worker_that_returns_too_early_is_a_failure() -> None:
    assert run_service("test", [Worker("idle", lambda _stop: None)], catch_signals=False) == 1


def test_a_worker_that_does_not_end_is_left_behind_with_status_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "STOP_S", 0.05)
    stop, release = threading.Event(), threading.Event()
    stop.set()
    assert run_service("test", [Worker("deaf", lambda _stop: release.wait() and None)], stop, catch_signals=False) == 1
    release.set()


def test_the_service_manager_is_told_ready_and_stopping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        stop = threading.Event()
        stop.set()
        run_service("test", [Worker("a", lambda stop: stop.wait() and None)], stop, catch_signals=False)
        assert [listener.recv(100), listener.recv(100)] == [b"READY=1", b"STOPPING=1"]


def test_a_service_manager_that_is_gone_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere/at/all")
    process.notify("READY=1")
