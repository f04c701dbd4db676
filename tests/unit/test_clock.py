"""Clocks: the simulated one moves only when told; the kernel's word on UTC is never an exception."""

import errno
import threading

from agent.clock import SimulatedClock, SystemClock
from agent.clock_sync import STA_UNSYNC, TIME_ERROR, UNKNOWN_ERROR_US, Timex, read_clock_state


def test_a_simulated_wait_takes_no_time_and_moves_both_clocks():
    clock = SimulatedClock()
    utc_us, mono_s = clock.utc_us(), clock.mono_s()
    assert clock.wait(threading.Event(), 3600.0) is False
    assert clock.mono_s() - mono_s == 3600.0
    assert clock.utc_us() - utc_us == 3_600_000_000


def test_a_simulated_wait_on_a_set_event_returns_at_once():
    clock, event = SimulatedClock(), threading.Event()
    event.set()
    mono_s = clock.mono_s()
    assert clock.wait(event, 3600.0) is True
    assert clock.mono_s() == mono_s


def test_a_stepped_wall_clock_leaves_durations_alone():
    clock = SimulatedClock()
    utc_us, mono_s = clock.utc_us(), clock.mono_s()
    clock.step_utc(-86400.0)
    assert clock.utc_us() == utc_us - 86_400_000_000
    assert clock.mono_s() == mono_s


def test_the_system_clock_goes_forward():
    clock = SystemClock()
    before = clock.mono_s()
    clock.wait(threading.Event(), 0.001)
    assert clock.mono_s() > before
    assert clock.utc_us() > 1_700_000_000_000_000


def kernel(state: int, status: int, maxerror: int):
    def adjtimex(timex: Timex) -> int:
        assert timex.modes == 0, "reading must not set the clock"
        timex.status, timex.maxerror = status, maxerror
        return state

    return adjtimex


def test_a_disciplined_clock_is_synced_with_the_kernels_error():
    state = read_clock_state(kernel(0, 0x2001, 1500))
    assert (state.synced, state.source, state.error_us) == (True, "ntp", 1500)


def test_an_undisciplined_clock_is_not_synced():
    assert read_clock_state(kernel(0, STA_UNSYNC, 16_000_000)).synced is False
    assert read_clock_state(kernel(TIME_ERROR, 0, 16_000_000)).synced is False


def test_a_refused_call_means_not_synced_and_never_raises():
    def refused(_: Timex) -> int:
        raise OSError(errno.EPERM, "Operation not permitted")

    state = read_clock_state(refused)
    assert (state.synced, state.source, state.error_us) == (False, "unknown", UNKNOWN_ERROR_US)


def test_the_real_kernel_answers():
    assert read_clock_state().error_us >= 0
