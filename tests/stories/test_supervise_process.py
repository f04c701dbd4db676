"""A whole service process under signals: it leaves within five seconds of SIGTERM, whatever its workers do."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SERVICE = """
import sys, time
from agent.clock import SystemClock
from agent.service_manager import NoServiceManager
from agent.supervise import Supervisor, Worker

def orderly(context):
    print("running", flush=True)
    while not context.wait(0.1):
        pass
    print("ended in order", flush=True)

def hung(context):
    print("running", flush=True)
    while True:
        context.beat()
        time.sleep(0.1)

def stuck(context):
    print("running", flush=True)
    time.sleep(3600)

worker = {"orderly": orderly, "hung": hung, "stuck": stuck}[sys.argv[1]]
workers = [Worker(sys.argv[1], worker, stall_s=0.5)]
sys.exit(Supervisor("test", workers, SystemClock(), NoServiceManager()).run())
"""


def start(worker: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SERVICE, worker]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    assert process.stdout.readline() == "running\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_orderly_worker_ends_and_the_status_is_0(number):
    process = start("orderly")
    process.send_signal(number)
    out, _ = process.communicate(timeout=5)
    assert out == "ended in order\n"
    assert process.returncode == 0


def test_a_worker_that_ignores_the_stop_is_left_behind_within_five_seconds():
    process = start("hung")
    told_at = time.monotonic()
    process.terminate()
    process.communicate(timeout=10)
    assert time.monotonic() - told_at < 5.0
    assert process.returncode == 1


def test_a_stuck_worker_ends_the_process_by_itself():
    process = start("stuck")
    process.communicate(timeout=15)
    assert process.returncode == 1
