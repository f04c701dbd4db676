"""Which poles are in test or maintenance mode, by their last heartbeats: the banner that keeps tests and real apart.

Rules: a mode whose time is over is over, whether or not the pole has said so; a mode without a time stands; all
heartbeats are read at most every `CACHE_S` however many screens show the banner; one that cannot be read says nothing.
"""

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import msgspec

from center.store import PoleRow, Store

CACHE_S = 3.0
NORMAL = "normal"


class _Bell(msgspec.Struct, frozen=True):
    """The two fields of a heartbeat's bell that count here; a city has thousands to read."""

    mode: str = NORMAL
    mode_until_us: int | None = None


class _Beat(msgspec.Struct, frozen=True):
    bell: _Bell | None = None


@dataclass(frozen=True)
class PoleMode:
    """One pole that is not in normal mode; `until_us` is the pole's word on when that ends, None if it gave none."""

    pole: str
    mode: str
    until_us: int | None


def mode_of(row: PoleRow, now_us: int) -> PoleMode | None:
    """Return the mode of a pole, None for normal, over or unknown."""
    if not row.raw:
        return None
    try:
        bell = msgspec.json.decode(row.raw, type=_Beat).bell
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if bell is None or bell.mode == NORMAL or (bell.mode_until_us is not None and bell.mode_until_us <= now_us):
        return None
    return PoleMode(row.pole, bell.mode, bell.mode_until_us)


def modes_of(rows: Iterable[PoleRow], now_us: int) -> tuple[PoleMode, ...]:
    """Return the poles that are not in normal mode; what ends first comes first, what has no end last."""
    found = [mode for mode in (mode_of(row, now_us) for row in rows) if mode is not None]
    return tuple(sorted(found, key=lambda mode: (mode.until_us is None, mode.until_us or 0, mode.pole)))


class ModeBoard:
    """The poles' modes, kept for `CACHE_S`."""

    def __init__(self, store: Store, now_us: Callable[[], int], mono_s: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._now_us = now_us
        self._mono_s = mono_s
        self._lock = threading.Lock()
        self._read_at_mono_s = float("-inf")
        self._modes: tuple[PoleMode, ...] = ()

    def read(self) -> tuple[PoleMode, ...]:
        """Return the poles that are not in normal mode now."""
        now_us = self._now_us()
        with self._lock:
            if self._mono_s() - self._read_at_mono_s > CACHE_S:
                self._modes = modes_of(self._store.poles.list(decode=False), now_us)
                self._read_at_mono_s = self._mono_s()
            return tuple(mode for mode in self._modes if mode.until_us is None or mode.until_us > now_us)
