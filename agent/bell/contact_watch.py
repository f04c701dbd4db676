"""Watches the contacts: edges make it fast, a level poll every `POLL_S` makes it sure.

Rules:
* an edge is only put into a bounded queue by the foreign thread; a full queue drops it, the poll is the truth;
* each edge is judged at its own time: a press is seen however late the thread comes to look at it;
* the wait ends at the instant the debounce is due, so that a press costs no poll interval;
* the line is judged only after the first `debounce_s`: a contact held at start is a press with `held_at_boot`;
* level changes that lead to nothing are counted (`chatter.py`): fault `bell-chatter`, and no longer good;
* contacts that cannot be read are a fault (`hardware-unusable`, subject `bell`) and are opened again every `RETRY_S`;
* `on_actuation` must hand over and return.
"""

import contextlib
import logging
import queue
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from agent.bell.chatter import Chatter, ChatterLimits
from agent.bell.contact import Contact, Edge, Levels
from agent.bell.debounce import Debounce
from agent.bell.line import FAULT_CODES, Actuation, Line, LineLimits
from agent.clock import Clock
from agent.errors import HardwareError
from agent.fault_board import FaultBoard
from agent.supervise import WorkerContext

log = logging.getLogger(__name__)

POLL_S = 0.010
RETRY_S = 5.0
EDGES = 256
SUBJECT = "bell"


@dataclass(frozen=True)
class LineReading:
    """What the line is, for others; `polled_mono_s` proves that the level was read, `good_polls` how often in a row
    it was good."""

    kind: str = "unknown"
    good: bool = False
    polled_mono_s: float | None = None
    good_polls: int = 0


@dataclass(frozen=True)
class WatchLimits:
    """The time limits of debounce, line and chatter."""

    debounce_s: float = 0.03
    line: LineLimits = field(default_factory=LineLimits)
    chatter: ChatterLimits = field(default_factory=ChatterLimits)


class ContactWatch:
    """One thread (`run`) owns the debounce and the line; `reading` may be read from any."""

    def __init__(
        self,
        contact: Contact,
        limits: WatchLimits,
        supervised: bool,
        on_actuation: Callable[[Actuation], None],
        faults: FaultBoard,
        clock: Clock,
    ) -> None:
        self._contact = contact
        self._debounce_s = limits.debounce_s
        self._on_actuation = on_actuation
        self._faults = faults
        self._clock = clock
        self._edges: queue.Queue[Edge] = queue.Queue(EDGES)
        self._line = Line(supervised, limits.line)
        self._chatter = Chatter(limits.chatter)
        self._no = self._nc = Debounce(limits.debounce_s, clock.mono_s())
        self._judge_from_mono_s = 0.0
        self._nc_wired = supervised
        self.reading = LineReading()

    def run(self, context: WorkerContext) -> None:
        """Watch until the service stops; contacts that fail are opened again."""
        while not context.stopping:
            try:
                self.open()
                while not context.stopping:
                    context.beat()
                    self.step(self._next_edge())
            except HardwareError as error:
                self._faults.report_error(error, SUBJECT)
                self.reading = LineReading()
                context.wait(RETRY_S)
            finally:
                self._contact.close()

    def open(self) -> None:
        """Take the contacts and begin to listen.

        Raises:
            HardwareError: they cannot be used.
        """
        self._contact.open(self._note_edge)
        now = self._clock.mono_s()
        self._no = self._nc = Debounce(self._debounce_s, now)
        self._judge_from_mono_s = now + self._debounce_s
        levels = self._contact.levels()
        self._nc_wired = levels.nc_closed is not None
        self._sample_levels(now, levels)
        self._faults.clear("hardware-unusable", SUBJECT)

    def step(self, edge: Edge | None) -> None:
        """Take in the waiting edges, each judged at its own time, then the levels; then tell what the line is.

        A thread that was not scheduled for a while finds a whole press and its release in the queue: judged only at
        the end, the press would have been discharged again by then, unseen.

        Raises:
            HardwareError: the levels cannot be read.
        """
        while edge is not None:
            self._take(edge.at_mono_s, self._levels_after(edge))
            edge = self._waiting_edge()
        levels = self._contact.levels()
        now = self._clock.mono_s()
        self._take(now, levels)
        self._chatter = self._chatter.at(now)
        if now >= self._judge_from_mono_s - 1e-9:
            self._tell(now)

    def _take(self, at_mono_s: float, levels: Levels) -> None:
        """Sample both contacts at one instant, which is never before the last one, and judge the line there."""
        at_mono_s = max(at_mono_s, self._no.at_mono_s)
        due = [mono_s for mono_s in (self._no.due_mono_s(), self._nc.due_mono_s()) if mono_s is not None]
        was = (self._no.active, self._nc.active)
        self._sample_levels(at_mono_s, levels)
        stable_mono_s = at_mono_s
        if was != (self._no.active, self._nc.active):
            stable_mono_s = min(max(due), at_mono_s) if due else at_mono_s
            self._chatter = self._chatter.settled()
        if at_mono_s >= self._judge_from_mono_s - 1e-9:
            self._judge(at_mono_s, stable_mono_s, levels)

    def _levels_after(self, edge: Edge) -> Levels:
        """Return the levels right after an edge: the other contact is as it was last seen."""
        if edge.contact == "no":
            return Levels(edge.closed, not self._nc.level if self._nc_wired else None)
        return Levels(self._no.level, edge.closed)

    def _judge(self, at_mono_s: float, stable_mono_s: float, levels: Levels) -> None:
        nc_active = None if levels.nc_closed is None else self._nc.active
        self._line, actuation = self._line.sample(at_mono_s, self._no.active, nc_active)
        if actuation is not None:
            self._on_actuation(replace(actuation, at_mono_s=stable_mono_s))

    def _tell(self, now: float) -> None:
        kind = "chatter" if self._chatter.standing and self._line.good else self._line.shown(now)
        if kind != self.reading.kind:
            log.info("line changed from=%s to=%s", self.reading.kind, kind)
        good = self._line.good and not self._chatter.standing
        self.reading = LineReading(kind, good, now, self.reading.good_polls + 1 if good else 0)
        self._tell_faults(now)

    def _tell_faults(self, now: float) -> None:
        standing = self._line.standing_faults(now)
        if self._chatter.standing:
            standing["bell-chatter"] = "a contact trembles without a press: look for corrosion or a loose wire"
        for code in (*FAULT_CODES, "bell-chatter"):
            if code in standing:
                self._faults.report(code, standing[code], SUBJECT)
            else:
                self._faults.clear(code, SUBJECT)

    def _sample_levels(self, now: float, levels: Levels) -> None:
        self._no = self._sampled(self._no, now, levels.no_closed)
        if levels.nc_closed is not None:
            self._nc = self._sampled(self._nc, now, not levels.nc_closed)

    def _sampled(self, contact: Debounce, at_mono_s: float, level: bool) -> Debounce:
        if level != contact.level:
            self._chatter = self._chatter.changed(at_mono_s)
        return contact.sample(at_mono_s, level)

    def _note_edge(self, edge: Edge) -> None:
        with contextlib.suppress(queue.Full):
            self._edges.put_nowait(edge)

    def _waiting_edge(self) -> Edge | None:
        with contextlib.suppress(queue.Empty):
            return self._edges.get_nowait()
        return None

    def _next_edge(self) -> Edge | None:
        """Wait for an edge, at most until the next poll or until the debounce is due."""
        now = self._clock.mono_s()
        due = [mono_s for mono_s in (self._no.due_mono_s(), self._nc.due_mono_s()) if mono_s is not None]
        wait_s = min([POLL_S, *(max(mono_s - now, 0.0) for mono_s in due)])
        with contextlib.suppress(queue.Empty):
            return self._edges.get(timeout=wait_s) if wait_s > 0 else self._edges.get_nowait()
        return None
