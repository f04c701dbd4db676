"""The one decorator around callbacks that a library's own thread calls (STYLE 6).

Why: one exception in a pin handler ends lgpio's only notification thread, and one in `on_message` ends paho's network
loop, both without a word (FACTS). A guarded callback never raises; the caller keeps it short so that it never blocks.
"""

import functools
import logging
from collections.abc import Callable
from typing import ParamSpec

P = ParamSpec("P")

log = logging.getLogger(__name__)


def guarded(callback: Callable[P, object]) -> Callable[P, None]:
    """Return `callback` such that it never raises; an error is logged with its traceback."""

    @functools.wraps(callback)
    def call(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            callback(*args, **kwargs)
        except Exception:
            log.exception("callback failed name=%s", callback.__qualname__)

    return call
