"""What happens to both sides while fingers press: kills, cuts, full disks, jumping clocks; at random, from a seed.

Each kind is a generator: it does harm, yields how long the harm lasts, and undoes it. Kinds come from a shuffled deck,
so that each comes equally often; two of them overlap unless they touch the same part. Rules:
* a pole is not killed while its disk refuses writes, nor before it has written down what it kept in memory meanwhile:
  against both at once nothing on the pole can help (docs/design/bell.md, The outbox);
* the two sides suffer the same at the same instant.
"""

import random
import time
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

from drill.side import Side

Harm = Generator[float, None, None]
STEP_S = 0.05
BACK_S = 2.5  # by then a killed pole runs again, as a rule, and its disk can be filled


@dataclass
class _Running:
    harm: Harm
    parts: frozenset[str]
    wake_mono_s: float


class Disturbance:
    """Harms the sides until told to stop; `pace_s` is the mean time between two harms, `longest_s` the longest harm."""

    def __init__(self, sides: Sequence[Side], dice: random.Random, pace_s: float, longest_s: float) -> None:
        self._sides = sides
        self._dice = dice
        self._pace_s = pace_s
        self._longest_s = longest_s
        self._running: list[_Running] = []
        self._deck: list[str] = []
        self.kinds: dict[str, Callable[[int], Harm]] = {
            "kill -9 pole": self._kill_pole,
            "kill -9 broker": self._kill_broker,
            "kill -9 center": self._kill_center,
            "kill -9 everything": self._kill_everything,
            "center frozen": self._freeze_center,
            "link cut": self._cut_link,
            "link swallows everything": self._stall_link,
            "link half open": self._half_open_link,
            "pole's disk full": self._fill_pole,
            "center's disk full": self._fill_center,
            "clock a day ahead": self._clock_ahead,
            "clock a day back": self._clock_back,
        }
        self.done = Counter[str]()

    @property
    def complete(self) -> bool:
        """Whether each kind happened at least once."""
        return all(self.done[kind] for kind in self.kinds)

    @property
    def pole_kills(self) -> int:
        return self.done["kill -9 pole"] + len(self._sides[0].poles) * self.done["kill -9 everything"]

    def run(self, enough: Callable[[], bool]) -> None:
        """Harm until `enough`, then undo what still stands."""
        next_mono_s = time.monotonic() + self._pace_s
        while not enough():
            self._tend()
            if time.monotonic() >= next_mono_s and self._strike():
                next_mono_s = time.monotonic() + self._dice.uniform(0.2, 1.8) * self._pace_s
            time.sleep(STEP_S)
        while self._running:
            self._tend()
            time.sleep(STEP_S)

    def _strike(self) -> bool:
        """Begin the next kind, if the part that it harms is whole."""
        if not self._deck:
            self._deck = self._dice.sample(list(self.kinds), len(self.kinds))
        kind, number = self._deck[-1], self._dice.randrange(len(self._sides[0].poles))
        parts = self._parts(kind, number)
        if any(parts & running.parts for running in self._running):
            return False
        self._deck.pop()
        self.done[kind] += 1
        self._running.append(_Running(self.kinds[kind](number), parts, 0.0))
        self._tend()
        return True

    def _tend(self) -> None:
        for running in list(self._running):
            if time.monotonic() < running.wake_mono_s:
                continue
            try:
                running.wake_mono_s = time.monotonic() + next(running.harm)
            except StopIteration:
                self._running.remove(running)

    def _parts(self, kind: str, number: int) -> frozenset[str]:
        everywhere = [f"pole {n}" for n in range(len(self._sides[0].poles))]
        words = {
            "kill -9 everything": ["broker", "center", *everywhere],
            "kill -9 broker": ["broker"],
            "kill -9 pole": [f"pole {number}"],
            "pole's disk full": [f"pole {number}"],
            "clock a day ahead": [],
            "clock a day back": [],
        }
        return frozenset(words.get(kind, [f"link {number}" if kind.startswith("link") else "center"]))

    def _while_s(self) -> float:
        """Most harms are short, some last longer than the keepalive."""
        return 0.2 + (self._longest_s - 0.2) * self._dice.random() ** 6

    def _kill_pole(self, number: int) -> Harm:
        for side in self._sides:
            side.poles[number].kill()
        yield BACK_S

    def _kill_broker(self, number: int) -> Harm:
        for side in self._sides:
            side.broker.kill()
        yield self._while_s()
        for side in self._sides:
            side.broker.start()

    def _kill_center(self, number: int) -> Harm:
        for side in self._sides:
            side.center.kill()
        yield self._while_s()
        for side in self._sides:
            side.center.start()

    def _kill_everything(self, number: int) -> Harm:
        for side in self._sides:
            for pole in side.poles:
                pole.kill()
            side.broker.kill()
            side.center.kill()
        yield self._while_s()
        for side in self._sides:
            side.broker.start()
            side.center.start()

    def _freeze_center(self, number: int) -> Harm:
        for side in self._sides:
            side.center.freeze(True)
        yield self._while_s()
        for side in self._sides:
            side.center.freeze(False)

    def _cut_link(self, number: int) -> Harm:
        for side in self._sides:
            side.cables[number].cut()
        yield self._while_s()
        for side in self._sides:
            side.cables[number].mend()

    def _stall_link(self, number: int) -> Harm:
        yield from self._swallow(number, up=True, down=True)

    def _half_open_link(self, number: int) -> Harm:
        up = self._dice.random() < 0.5
        yield from self._swallow(number, up=up, down=not up)

    def _swallow(self, number: int, *, up: bool, down: bool) -> Harm:
        for side in self._sides:
            side.cables[number].stall(up=up, down=down)
        yield self._while_s()
        reset = self._dice.random() < 0.5
        for side in self._sides:
            side.cables[number].mend(reset=reset)

    def _fill_pole(self, number: int) -> Harm:
        for side in self._sides:
            side.poles[number].refuse_writes(True)
        yield self._while_s()
        for side in self._sides:
            side.poles[number].refuse_writes(False)
        freed_mono_s = time.monotonic()
        while not all(side.disk_is_well(number, freed_mono_s) for side in self._sides):
            yield 0.25

    def _fill_center(self, number: int) -> Harm:
        for side in self._sides:
            side.center.refuse_writes(True)
        yield self._while_s()
        for side in self._sides:
            side.center.refuse_writes(False)

    def _clock_ahead(self, number: int) -> Harm:
        yield from self._jump(number, 1)

    def _clock_back(self, number: int) -> Harm:
        yield from self._jump(number, -1)

    def _jump(self, number: int, days: int) -> Harm:
        for side in self._sides:
            side.poles[number].jump(days)
        yield 0.0
