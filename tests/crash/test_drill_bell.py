"""The bell drill in small (N6; `make drill-bell` is the long form), and that it would notice what it looks for."""

import socket
import threading

import pytest
from drill.cable import CableDuct
from drill.drill_bell import Plan, run_drill
from drill.ledger import DAY_US, Ledger, Shown

SHORT = Plan(presses=120, poles=2, seed=7, pace_s=0.6, longest_s=3.0, most_s=150.0, quiet_s=1.0)
MIDDLE = Plan(presses=1000, poles=3, seed=11, pace_s=1.0, longest_s=8.0, most_s=400.0)


def check(result, plan):
    ours = result["ours"]
    assert ours["presses"] >= plan.presses
    assert (ours["lost"], ours["lost_ids"]) == (0, [])
    assert (ours["twice"], ours["twice_ids"]) == (0, [])
    assert ours["every_receipt_came_back"]
    assert len(result["harms"]) == 12, "each kind of harm must have happened"
    assert ours["processes_that_ended"]["all"] <= ours["processes_that_ended"]["killed"], "a pole ended by itself"


@pytest.mark.timeout(400)  # 20 s here; a busy machine may take longer, it must not lose anything
def test_no_press_is_lost_or_shown_twice_while_everything_dies(tmp_path):
    check(run_drill(tmp_path, SHORT), SHORT)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_thousand_presses_survive_where_plain_qos_1_loses_some(tmp_path):
    result = run_drill(tmp_path, MIDDLE)
    check(result, MIDDLE)
    assert result["plain_qos1_persistent_session"]["lost"] > 0, "the drill was too kind to tell us from plain QoS 1"


def shown(*ids):
    return [Shown(alarm_id, 1, 2) for alarm_id in ids]


@pytest.fixture
def ledger():
    """Two presses of one pole in its first life: alarms a and b."""
    ledger = Ledger()
    for alarm_id in "ab":
        ledger.begin("pole-1")
        ledger.alarm("pole-1", 1, alarm_id)
    return ledger


def counts(verdict):
    return (verdict.lost, verdict.twice)


def test_the_verdict_is_clean_when_each_alarm_is_shown_once(ledger):
    assert counts(ledger.judge(shown("a", "b"))) == (0, 0)


def test_an_alarm_that_the_center_does_not_show_is_lost(ledger):
    assert counts(ledger.judge(shown("a"))) == (1, 0)


def test_an_alarm_that_counts_two_times_at_the_center_is_shown_twice(ledger):
    assert counts(ledger.judge(shown("a", "b", "b"))) == (0, 1)


def test_an_alarm_from_nowhere_is_shown_twice(ledger):
    assert counts(ledger.judge(shown("a", "b", "c"))) == (0, 1)


def test_a_second_alarm_of_one_press_in_one_life_is_shown_twice(ledger):
    ledger.alarm("pole-1", 1, "c")
    assert counts(ledger.judge(shown("a", "b", "c"))) == (0, 1)


def test_a_finger_that_is_still_down_after_the_restart_alarms_again_and_is_not_twice(ledger):
    ledger.alarm("pole-1", 2, "c")
    verdict = ledger.judge(shown("a", "b", "c"))
    assert (*counts(verdict), verdict.again_at_start) == (0, 0, 1)


def test_a_press_without_an_alarm_is_lost_unless_the_process_died_before_its_commit(ledger):
    press = ledger.begin("pole-1")
    assert counts(ledger.judge(shown("a", "b"))) == (1, 0)
    press.before_commit = True
    verdict = ledger.judge(shown("a", "b"))
    assert (*counts(verdict), verdict.before_commit) == (0, 0, 1)


@pytest.mark.parametrize("days", [-2, -1, 0, 1])
def test_the_delay_of_a_press_does_not_count_the_days_that_the_clock_jumped(days):
    assert Shown("a", 5_000_000 + days * DAY_US, 5_250_000).delay_ms == 250


@pytest.fixture
def duct():
    duct = CableDuct()
    yield duct
    duct.close()


@pytest.fixture
def echo():
    """Something behind the cable that says back what it hears."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=say_back, args=(server,), daemon=True).start()
        yield server.getsockname()[1]


def say_back(server):
    try:
        while True:
            connection, _ = server.accept()
            threading.Thread(target=say_back_one, args=(connection,), daemon=True).start()
    except OSError:
        pass  # the fixture closed it


def say_back_one(connection):
    with connection:
        try:
            while piece := connection.recv(100):
                connection.sendall(piece)
        except OSError:
            pass  # the cable was cut


def dial(cable):
    connection = socket.create_connection(("127.0.0.1", cable.port), timeout=5)
    connection.sendall(b"one")
    assert connection.recv(10) == b"one"
    return connection


@pytest.mark.parametrize("way", [{"up": True, "down": False}, {"up": False, "down": True}, {"up": True, "down": True}])
def test_a_stalled_cable_answers_nothing_and_gives_back_every_byte_when_mended(duct, echo, way):
    cable = duct.lay(echo)
    with dial(cable) as connection:
        cable.stall(**way)
        connection.sendall(b"two")
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            connection.recv(10)
        cable.mend()
        connection.settimeout(5)
        assert connection.recv(10) == b"two"


def test_a_cut_cable_resets_what_stood_and_refuses_what_comes_until_mended(duct, echo):
    cable = duct.lay(echo)
    with dial(cable) as connection:
        cable.cut()
        with pytest.raises(ConnectionError):
            connection.recv(10) or connection.sendall(b"x") or connection.recv(10)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", cable.port), timeout=5)
    cable.mend()
    dial(cable).close()


def test_a_cable_that_is_mended_with_a_reset_drops_what_stood(duct, echo):
    cable = duct.lay(echo)
    with dial(cable) as connection:
        cable.stall()
        cable.mend(reset=True)
        with pytest.raises(ConnectionError):
            connection.recv(10)
    dial(cable).close()
