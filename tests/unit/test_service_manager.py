"""sd_notify over a real datagram socket, with and without systemd-python."""

import os
import socket
import sys

import pytest

from agent import systemd_service_manager
from agent.service_manager import NoServiceManager, watchdog_interval_s
from agent.systemd_service_manager import NotifySocket, SystemdServiceManager, service_manager_for


@pytest.fixture(params=["path", "abstract"])
def listener(request, tmp_path):
    address = str(tmp_path / "notify") if request.param == "path" else f"@pole-agent-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(address if request.param == "path" else "\0" + address[1:])
        receiver.settimeout(2)
        yield address, receiver


def three_notices(manager, receiver) -> list[bytes]:
    manager.ready()
    manager.alive()
    manager.stopping()
    return [receiver.recv(100) for _ in range(3)]


def test_the_own_sender_reaches_a_real_socket(listener):
    address, receiver = listener
    manager = SystemdServiceManager(NotifySocket(address).notify)
    assert three_notices(manager, receiver) == [b"READY=1", b"WATCHDOG=1", b"STOPPING=1"]


def test_systemd_python_reaches_a_real_socket(listener, monkeypatch):
    daemon = pytest.importorskip("systemd.daemon", reason="systemd-python is not installed", exc_type=ImportError)
    address, receiver = listener
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    manager = SystemdServiceManager(daemon.notify)
    assert three_notices(manager, receiver) == [b"READY=1", b"WATCHDOG=1", b"STOPPING=1"]


def test_units_work_without_systemd_python(listener, monkeypatch):
    address, receiver = listener
    monkeypatch.setattr(systemd_service_manager, "daemon", None)
    manager = service_manager_for({"NOTIFY_SOCKET": address})
    assert three_notices(manager, receiver) == [b"READY=1", b"WATCHDOG=1", b"STOPPING=1"]


def test_without_a_socket_there_is_no_service_manager():
    assert isinstance(service_manager_for({}), NoServiceManager)


def test_a_vanished_socket_is_logged_once_and_never_raised(tmp_path, caplog):
    manager = SystemdServiceManager(NotifySocket(str(tmp_path / "gone")).notify)
    for _ in range(5):
        manager.alive()
    assert len(caplog.records) == 1


def test_the_folder_systemd_of_this_project_is_not_taken_for_the_library():
    found = sys.modules.get("systemd")
    assert systemd_service_manager.daemon is None or hasattr(found, "__file__")


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "15000000"}, 15.0),
        ({"WATCHDOG_USEC": "15000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "15000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_interval_is_ours_only(environ, expected):
    assert watchdog_interval_s(environ) == expected
