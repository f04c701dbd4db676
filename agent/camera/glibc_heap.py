"""Gives freed memory back to the system, where the C library is glibc (elsewhere nothing happens).

Opening a camera probes it: libav decodes a picture, and its some 5 MiB stay with the heap of the thread that opened it,
at each opening a little more.
"""

import ctypes


def give_back() -> bool:
    """Return free heap pages to the system; takes under a millisecond. Whether there were any."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return trim is not None and trim(0) == 1
