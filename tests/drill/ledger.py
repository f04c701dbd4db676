"""What a drill knows of every press, and its verdict over what the center shows. Pure but for its lock.

Rules:
* a press is a finger that was down longer than the debounce time; in one life of the pole's process it makes one alarm;
* the id of an alarm is known from the process itself (said after its commit) or from the dead process's outbox;
* `lost`: a press without an alarm although the process lived, or an id that the center does not hold;
* `twice`: an id that the center counts more than once, a second id for one press in one life, or an id from nowhere;
* a press whose process was killed after the finger had left and before the commit is `before_commit`, neither lost nor
  delivered: nothing durable and no finger was left to tell of it (docs/design/bell.md, Crash recovery);
* a finger that is still down when the process comes back alarms again (`held_at_boot`): `again_at_start`, not twice.
"""

import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

DAY_US = 86_400_000_000


@dataclass
class Press:
    """One finger: the ids of its alarms per life of the process."""

    pole: str
    ids: dict[int, list[str]] = field(default_factory=dict)
    before_commit: bool = False


@dataclass(frozen=True)
class Shown:
    """One row at the center; `times` is how often it counts there."""

    alarm_id: str
    pressed_at_us: int
    committed_at_us: int
    times: int = 1

    @property
    def delay_ms(self) -> float:
        """From the pole's handling of the press to the center's commit; whole days are the drill's clock jumps."""
        delay_us = self.committed_at_us - self.pressed_at_us
        return ((delay_us + DAY_US // 2) % DAY_US - DAY_US // 2) / 1000


@dataclass(frozen=True)
class Verdict:
    """The counts of a side."""

    presses: int
    alarms: int
    lost: int
    twice: int
    before_commit: int
    again_at_start: int
    lost_ids: tuple[str, ...] = ()
    twice_ids: tuple[str, ...] = ()


class Ledger:
    """The presses of one side; used by its fingers and by the threads that listen to the poles."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._presses: list[Press] = []
        self._last: dict[str, Press] = {}
        self._owner: dict[str, str] = {}

    def begin(self, pole: str) -> Press:
        press = Press(pole)
        with self._lock:
            self._presses.append(press)
            self._last[pole] = press
        return press

    def alarm(self, pole: str, life: int, alarm_id: str) -> None:
        """The pole's process, in its `life`, has committed an alarm; one that is known already changes nothing."""
        with self._lock:
            if alarm_id in self._owner:
                return
            self._owner[alarm_id] = pole
            last = self._last.get(pole)
            if last is not None:
                last.ids.setdefault(life, []).append(alarm_id)

    @property
    def count(self) -> int:
        """How many presses have begun."""
        return len(self._presses)

    def expected(self) -> set[str]:
        with self._lock:
            return set(self._owner)

    def judge(self, shown: Iterable[Shown]) -> Verdict:
        rows = Counter[str]()
        for row in shown:
            rows[row.alarm_id] += row.times
        lost = [alarm_id for alarm_id in self._owner if rows[alarm_id] == 0]
        silent = [press for press in self._presses if not press.ids and not press.before_commit]
        lives = [ids for press in self._presses for ids in press.ids.values()]
        doubled = [alarm_id for ids in lives for alarm_id in ids[1:]]
        repeated = [alarm_id for alarm_id, times in rows.items() if times > 1]
        strange = [alarm_id for alarm_id in rows if alarm_id not in self._owner]
        return Verdict(
            presses=len(self._presses),
            alarms=len(rows),
            lost=len(lost) + len(silent),
            twice=len(doubled) + len(repeated) + len(strange),
            before_commit=sum(press.before_commit for press in self._presses),
            again_at_start=sum(max(0, len(press.ids) - 1) for press in self._presses),
            lost_ids=(*lost, *(f"no alarm of {press.pole}" for press in silent)),
            twice_ids=(*doubled, *repeated, *strange),
        )
