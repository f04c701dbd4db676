"""How far UTC can be trusted, asked of the kernel (adjtimex(2)); every record carries the answer.

Rules:
* read only: the call is made with `modes = 0`, which needs no privilege and is allowed in every sandbox here;
* `synced` is the kernel's own judgement (not STA_UNSYNC and not TIME_ERROR), `error_us` its `maxerror`, which
  grows 500 us a second while nothing disciplines the clock;
* where the call fails, the answer is "not synced, source unknown", never an exception: a record without a
  trusted clock is still a record.
"""

import ctypes
import os
from collections.abc import Callable

from agent.contract.messages import ClockState

STA_UNSYNC = 0x0040
TIME_ERROR = 5
UNKNOWN_ERROR_US = 16_000_000  # the kernel's own NTP_PHASE_LIMIT, its value for "I do not know"


class Timex(ctypes.Structure):
    """`struct timex` of linux/timex.h, up to the fields we read, padded to its full size."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 256),
    )


def _adjtimex(timex: Timex) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    state = int(libc.adjtimex(ctypes.byref(timex)))
    if state < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return state


def read_clock_state(adjtimex: Callable[[Timex], int] = _adjtimex) -> ClockState:
    """Return the kernel's word on UTC; safe in any thread, takes microseconds."""
    timex = Timex()
    try:
        state = adjtimex(timex)
    except (OSError, AttributeError):
        return ClockState(synced=False, source="unknown", error_us=UNKNOWN_ERROR_US)
    synced = state != TIME_ERROR and not timex.status & STA_UNSYNC
    return ClockState(synced=synced, source="ntp" if synced else "free-running", error_us=timex.maxerror)
