"""The control socket of a simulated pole: a hand on the button and nothing more."""

import stat
import threading

import pytest

from agent.bell.control_socket import NAME, ControlSocket, ask_button, press_bell
from agent.clock import SystemClock
from agent.errors import HardwareError
from agent.supervise import WorkerContext


class RecordingButton:
    def __init__(self):
        self.lines = []

    def set(self, line):
        if line not in ("idle", "pressed", "cut", "short"):
            raise ValueError(f"line {line!r} is unknown")
        self.lines.append(line)


@pytest.fixture
def button(tmp_path):
    button, stop = RecordingButton(), threading.Event()
    context = WorkerContext(SystemClock(), stop)
    thread = threading.Thread(target=ControlSocket(tmp_path, button).run, args=(context,))
    thread.start()
    while not (tmp_path / NAME).exists():
        threading.Event().wait(0.005)
    yield button
    stop.set()
    thread.join(10)
    assert not (tmp_path / NAME).exists()


def test_a_press_is_a_press_and_a_release(button, tmp_path):
    press_bell(tmp_path, 20)
    assert button.lines == ["pressed", "idle"]


def test_a_line_stays_as_it_is_told(button, tmp_path):
    ask_button(tmp_path, {"line": "cut"})
    assert button.lines == ["cut"]


@pytest.mark.parametrize(
    "command",
    [{}, {"press_ms": 0}, {"press_ms": -1}, {"press_ms": "200"}, {"press_ms": 10**9}, {"line": "loud"}, {"off": 1}, []],
)
def test_anything_else_is_refused_and_the_socket_lives_on(button, tmp_path, command):
    with pytest.raises(HardwareError, match="refused"):
        ask_button(tmp_path, command)
    assert button.lines == []
    press_bell(tmp_path, 20)


def test_only_its_owner_may_use_it(button, tmp_path):
    assert stat.S_IMODE((tmp_path / NAME).stat().st_mode) == 0o600


def test_without_a_simulated_bell_the_command_says_so(tmp_path):
    with pytest.raises(HardwareError, match="simulate = true"):
        press_bell(tmp_path)
