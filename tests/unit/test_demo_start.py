"""What the demo says before it starts anything (scripts/demo_run.py, scripts/demo_processes.py)."""

import os
import socket
import sys
from pathlib import Path

import pytest
from demo_processes import Processes, wait_until
from demo_run import need_ports, only_one
from demo_site import Ports, Site


def test_a_second_demo_in_the_same_folder_says_so_and_leaves_the_first_alone(tmp_path: Path) -> None:
    lock = only_one(tmp_path / "state")
    with pytest.raises(SystemExit, match=r"another demo runs in .*--state"):
        only_one(tmp_path / "state")
    os.close(lock)
    os.close(only_one(tmp_path / "state"))


def test_a_port_that_is_taken_is_named_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit, match=f"port {port} of the console cannot be used"):
            need_ports(Site(tmp_path, Ports(broker=0, ingest=0, console=port), ()))


def test_the_last_words_of_a_process_that_dies_are_told(tmp_path: Path) -> None:
    processes = Processes(tmp_path / "logs", tmp_path / "pids.json")
    processes.start(
        "doomed", [sys.executable, "-c", "print('first'); raise SystemExit('no such thing as a free port')"]
    )
    wait_until("the end of it", lambda: bool(processes.ends()), 10)
    assert processes.last_words() == ["doomed says: no such thing as a free port"]
    processes.close()


@pytest.mark.parametrize("length", [1, 60, 200])
def test_the_bells_socket_fits_below_a_state_folder_of_any_length(length: int) -> None:
    site = Site(Path("/") / ("x" * length), Ports(1, 2, 3), ())
    assert len(os.fsencode(site.run_dir)) + len("/.bell.sock.4194304") <= 107
    assert site.run_dir == Site(site.root, Ports(1, 2, 3), ()).run_dir
