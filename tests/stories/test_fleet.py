"""The fleet of the benchmarks lives like poles do: the real center sees every one of them."""

import json
import os
import subprocess
import sys

import pytest
from support.broker import Broker
from support.center_alarms import REPOSITORY, AlarmCenter, eventually
from support.certificates import certificates
from support.fleet import heartbeat, publish_packet, take_packet

from agent.contract.messages import Heartbeat, decode

__all__ = ["certificates"]
POLES = 5


@pytest.fixture
def fleet(tmp_path, certificates):
    with Broker(tmp_path / "broker", certificates) as broker:
        center = AlarmCenter(tmp_path / "center", broker).start()
        words = [
            sys.executable,
            "-m",
            "support.fleet",
            str(certificates.directory),
            str(broker.port),
            str(POLES),
            "0.5",
        ]
        environment = {**os.environ, "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'tests'}"}
        pipe = subprocess.PIPE
        with subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True, env=environment) as child:
            yield center, child
            child.kill()
        center.close()


def test_every_pole_of_the_fleet_is_seen_alive_and_silent_when_the_fleet_is_gone(fleet):
    center, child = fleet
    assert child.stdout.readline().startswith(f"issued {POLES} ")
    assert child.stdout.readline().startswith(f"ready {POLES} ")
    poles = eventually(lambda: all_beating(center))
    assert [pole.silent for pole in poles] == [False] * POLES
    child.stdin.write("counts\n")
    child.stdin.flush()
    counts = json.loads(child.stdout.readline())
    assert (counts["connected"], counts["lost"], counts["refused"]) == (POLES, 0, 0)
    assert counts["beats_sent"] >= POLES
    child.kill()
    eventually(lambda: all(pole.silent for pole in center.store.poles.list()))


def all_beating(center):
    poles = center.store.poles.list()
    return poles if len(poles) == POLES and all(pole.heartbeat for pole in poles) else None


@pytest.mark.parametrize("size", [0, 100, 127, 128, 20_000])
def test_packets_are_taken_whole_however_they_are_cut(size):
    """Remaining length, MQTT 5.0, 2.1.4: one to four bytes."""
    one = publish_packet("t", b"x" * size, 0, False, 0)
    stream = one + one
    received, taken = bytearray(), []
    for at in range(0, len(stream), 7):
        received += stream[at : at + 7]
        while (found := take_packet(received)) is not None:
            taken.append(found)
    assert taken == [(0x30, b"\x00\x01t\x00" + b"x" * size)] * 2


def test_a_heartbeat_of_the_fleet_follows_the_contract():
    assert decode(heartbeat("fleet-00001", "s", 3), Heartbeat).seq == 3
