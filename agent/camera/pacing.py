"""Lets recorded or drawn frames come when a camera would have sent them.

A frame comes no earlier than its time and at most `NAP_S` later: waking for each frame costs more than recording it.
"""

import threading
from collections.abc import Iterator
from fractions import Fraction

from agent.camera.frame_source import EncodedFrame
from agent.clock import Clock

NAP_S = 0.4


def pace(
    frames: Iterator[EncodedFrame], time_base: Fraction, clock: Clock, stop: threading.Event
) -> Iterator[EncodedFrame]:
    """Yield each frame no earlier than its decoding time after the first one's, until `stop` is set.

    A consumer that is behind gets the late frames at once; nothing is skipped.
    """
    tick_s = float(time_base)
    start_mono_s: float | None = None
    for frame in frames:
        if start_mono_s is None:
            start_mono_s = clock.mono_s() - frame.dts * tick_s
        ahead_s = start_mono_s + frame.dts * tick_s - clock.mono_s()
        if stop.is_set() or (ahead_s > 0 and clock.wait(stop, max(ahead_s, NAP_S))):
            return
        yield frame


def until(frames: Iterator[EncodedFrame], stop: threading.Event) -> Iterator[EncodedFrame]:
    """Yield frames as fast as they come, until `stop` is set."""
    for frame in frames:
        if stop.is_set():
            return
        yield frame
