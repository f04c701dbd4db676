"""Footage around a bell goes first (agent.upload.bell_windows)."""

from agent.config import BellConfig
from agent.status_file import OpenIncident, ServiceStatus
from agent.upload.bell_windows import bell_windows, in_windows

S = 1_000_000


def status(*pressed_s: int) -> ServiceStatus:
    incidents = [OpenIncident(incident_id=str(at), pressed_at_us=at * S) for at in pressed_s]
    return ServiceStatus(service="bell", pid=1, written_at_us=0, written_mono_s=0.0, incidents=incidents)


def test_a_window_reaches_from_before_the_press_to_after_it():
    bell = BellConfig(window_before_s=30.0, window_after_s=60.0)
    assert bell_windows(status(1000), bell) == [(970 * S, 1060 * S)]


def test_the_newest_press_comes_first():
    assert [end for _, end in bell_windows(status(1000, 3000, 2000), BellConfig(window_after_s=0))] == [
        3000 * S,
        2000 * S,
        1000 * S,
    ]


def test_without_a_bell_service_nothing_goes_first():
    assert bell_windows(None, BellConfig()) == []


def test_a_segment_that_only_touches_the_edge_is_outside():
    windows = [(970 * S, 1060 * S)]
    assert in_windows(windows, 960 * S, 970 * S + 1)
    assert not in_windows(windows, 960 * S, 970 * S)
    assert not in_windows(windows, 1060 * S, 1070 * S)
    assert in_windows(windows, 1000 * S, 1010 * S)
