"""The one decorator around callbacks that paho's network thread calls.

Why: an exception in `on_message` ends that thread while `is_connected()` stays True (FACTS): every bell goes silent.
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
            log.exception("callback failed name=%s", getattr(callback, "__qualname__", "callback"))

    return call
