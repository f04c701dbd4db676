"""A pole of the drill: its process, which may be killed at any moment, and the finger at its button.

Rules of the finger:
* it holds for 35 to 80 ms (the debounce time is 30) and lets go for at least 60 ms;
* when the process dies under it, it stays until the process is back and has alarmed (held at boot);
* when the process dies after it has left, it does not come back for that press.
"""

import contextlib
import random
import shutil
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from drill.child import Child
from drill.ledger import Ledger, Press

HOLD_S = (0.035, 0.080)
REST_S = (0.060, 0.160)
DOWN_S = (0.0, 1.0)
PATIENCE_S = 30.0
DAY_S = 86_400.0

Words = Callable[[bool, float], list[str]]


class DrillPole:
    """One pole; `run` is its finger's thread, everything else may come from the thread that disturbs."""

    def __init__(
        self, name: str, words: Words, outbox: Path | None, ledger: Ledger, dice: random.Random, log: Path
    ) -> None:
        self.name = name
        self.deaths = 0
        self._words = words
        self._outbox = outbox
        self._ledger = ledger
        self._dice = dice
        self._log = log
        self._lock = threading.Lock()
        self._child: Child | None = None
        self._life = 0
        self._offset_s = 0.0

    def run(self, enough: Callable[[], bool]) -> None:
        while not enough():
            self._press()
            time.sleep(self._dice.uniform(*REST_S))

    def revive(self) -> None:
        """Start the process if it is dead; only once the finger's thread has ended."""
        self._living()

    def kill(self) -> None:
        """SIGKILL, now; the finger's thread starts the process again."""
        child = self._child
        if child is not None:
            child.signal(9)

    def jump(self, days: int) -> None:
        """Step the pole's wall clock."""
        self._offset_s += days * DAY_S
        if self._child is not None:
            self._child.tell(f"clock {self._offset_s}")

    def refuse_writes(self, refuse: bool) -> None:
        if self._child is not None:
            self._child.refuse_writes(refuse)

    def close(self) -> None:
        if self._child is not None:
            self._child.kill()

    def _press(self) -> None:
        child = self._living()
        press = self._ledger.begin(self.name)
        life = self._life
        if child.ask("pressed"):
            time.sleep(self._dice.uniform(*HOLD_S))
            if child.ask("idle"):
                self._see_alarm(press, life, child)
                return
        self._hold_on(press)

    def _see_alarm(self, press: Press, life: int, child: Child) -> None:
        """The finger has left: either the process says the alarm, or it died, and its outbox tells the rest."""
        if child.wait_for(lambda: life in press.ids, PATIENCE_S) or child.alive:
            return
        self._harvest()
        press.before_commit = not press.ids

    def _hold_on(self, press: Press) -> None:
        """The process died under the finger: hold until one that is back has alarmed, then let go."""
        end = time.monotonic() + 4 * PATIENCE_S
        while time.monotonic() < end:
            child = self._living(held=True)
            life = self._life
            if child.wait_for(lambda life=life: life in press.ids, PATIENCE_S) and child.ask("idle"):
                return

    def _living(self, held: bool = False) -> Child:
        """Return the process, started again as often as it died."""
        while self._child is None or not self._child.alive:
            self._bury()
            self._life += 1
            self._child = self._born(self._life, held)
            self._child.wait_said("ready", PATIENCE_S)
        return self._child

    def _born(self, life: int, held: bool) -> Child:
        def hear(line: str) -> None:
            word, _, value = line.partition(" ")
            if word == "alarm":
                self._ledger.alarm(self.name, life, value)

        return Child([*self._words(held, self._offset_s), *(["--held"] if held else [])], self._log, hear)

    def _bury(self) -> None:
        if self._child is None:
            return
        self._child.reap()
        self.deaths += 1
        self._harvest()
        time.sleep(self._dice.uniform(*DOWN_S))

    def _harvest(self) -> None:
        """Read the dead process's outbox, in a copy: opening the real one would do its crash recovery for it."""
        if self._outbox is None or not self._outbox.exists():
            return
        assert self._child is not None
        self._child.reap()
        with tempfile.TemporaryDirectory() as name:
            for suffix in ("", "-wal"):
                with contextlib.suppress(FileNotFoundError):
                    shutil.copy(self._outbox.with_name(self._outbox.name + suffix), name)
            with contextlib.closing(sqlite3.connect(Path(name) / self._outbox.name)) as db:
                if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'alarm'").fetchone() is None:
                    return  # killed before it had made its table
                for (alarm_id,) in db.execute("SELECT alarm_id FROM alarm ORDER BY seq").fetchall():
                    self._ledger.alarm(self.name, self._life, alarm_id)
