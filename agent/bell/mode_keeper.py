"""Keeps the bell's mode: sets it, lets it expire, saves it, watches the crew's key. Owned by the bell's thread.

Rules:
* each change is logged with who and why, and seen in the next heartbeat, which goes out at once;
* the key turned is maintenance for 4 hours, turned back is normal; a key left turned does not begin it again, and a key
  found turned at the start begins nothing (a restart must not make 4 hours longer);
* a level of the key counts when it was read twice in a row; a key that cannot be read is a fault and changes nothing;
* a mode that cannot be saved holds all the same, and is saved again every `SAVE_S`, as its rest is.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from agent.bell.mode import MODE_MAX_S, Mode, ModeState, restored
from agent.bell.mode_memory import ModeMemory
from agent.bell.switch import Switch
from agent.clock import Clock
from agent.errors import HardwareError
from agent.fault_board import FaultBoard

log = logging.getLogger(__name__)

SAVE_S = 10.0
KEY_RETRY_S = 10.0
KEY = "key switch"
SUBJECT = "key-switch"


@dataclass
class _Key:
    """What is known of the key: the level that counts, the one read last, whether the input is ours."""

    turned: bool | None = None
    last: bool | None = None
    opened: bool = False
    retry_mono_s: float = 0.0


class ModeKeeper:
    """The mode now is `state`; `tick` lets time pass."""

    def __init__(
        self, memory: ModeMemory, key: Switch | None, faults: FaultBoard, clock: Clock, boot_id: Callable[[], str]
    ) -> None:
        self._memory = memory
        self._switch = key
        self._faults = faults
        self._clock = clock
        self._boot_id = boot_id()
        self._key = _Key()
        self._unsaved = False
        self._save_mono_s = clock.mono_s()
        self.state = ModeState()

    def begin(self) -> None:
        """Go on with the mode of before the restart.

        Raises:
            OutboxError: it cannot be read; it is normal then.
        """
        saved = self._memory.load()
        if saved is not None and not self.state.by:  # what was set since counts more
            self._change(restored(saved, self._boot_id, self._clock.mono_s(), self._clock.utc_us()))

    def set(self, mode: Mode, seconds: float, by: str, reason: str) -> None:
        """Change the mode now; `tick` saves it.

        Raises:
            ModeError: no such mode, or not for that long.
        """
        self._change(self.state.begun(mode, seconds, self._clock.mono_s(), by, reason))

    def pressed(self, at_mono_s: float) -> bool:
        """Note a press; return whether it is real."""
        state, real = self.state.pressed(at_mono_s)
        self._change(state)
        return real

    def tick(self, *, save: bool) -> None:
        """Let the mode expire, read the key; with `save`, write what must be written.

        Raises:
            OutboxError: the mode is not on disk; a later call tries again.
        """
        now = self._clock.mono_s()
        self._change(self.state.at(now))
        self._read_key(now)
        if save and (self._unsaved or (self.state.mode != "normal" and now >= self._save_mono_s)):
            self._save_mono_s = now + SAVE_S
            self._memory.save(self.state.saved(self._boot_id, now, self._clock.utc_us()))
            self._unsaved = False

    def until_us(self) -> int | None:
        """Return when the mode ends in UTC as it stands now, None for normal."""
        left_s = self.state.left_s(self._clock.mono_s())
        return self._clock.utc_us() + round(left_s * 1_000_000) if self.state.mode != "normal" else None

    def close(self) -> None:
        """Let go of the key's input."""
        if self._switch is not None:
            self._switch.close()

    def _change(self, state: ModeState) -> None:
        before, self.state = self.state, state
        if (before.mode, before.until_mono_s) != (state.mode, state.until_mono_s):
            self._unsaved = True
            left_s = state.left_s(self._clock.mono_s())
            log.warning(
                "mode changed from=%s to=%s left_s=%.0f by=%s reason=%s",
                *(before.mode, state.mode, left_s, state.by, state.reason),
            )

    def _read_key(self, now: float) -> None:
        switch, key = self._switch, self._key
        if switch is None or now < key.retry_mono_s:
            return
        try:
            if not key.opened:
                switch.open()
                key.opened = True
            level = switch.closed()
        except HardwareError as error:
            switch.close()
            self._key = _Key(key.turned, retry_mono_s=now + KEY_RETRY_S)
            self._faults.report_error(error, SUBJECT)
            return
        self._faults.clear("hardware-unusable", SUBJECT)
        before, settled = key.turned, level == key.last
        key.last = level
        if settled and level != before:
            key.turned = level
            self._turned(level, at_start=before is None)

    def _turned(self, turned: bool, *, at_start: bool) -> None:
        if turned and not at_start:
            self.set("maintenance", MODE_MAX_S["maintenance"], KEY, "turned")
        elif not turned and self.state.by == KEY and self.state.mode == "maintenance":
            self.set("normal", 0.0, KEY, "turned back")
