"""What happened in a demo run, read from what pole and center hold on disk, never from the demo's own counters.

Rules: coverage counts the union of segments, torn files and gaps inside the run's window, per camera; a second
in none of them is a hole. Every sealed file in store and spool is opened and its streams are counted.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from av_sound_check import count_sound_streams
from demo_site import CAMERAS, POLE, Site

from agent.clock import SystemClock
from agent.config_file import load_config
from agent.contract.records import AnyRecord, GapRecord, SegmentRecord, TornRecord, decode_record
from agent.recording.spool import Spool
from agent.recording.spool_check import check_spool
from center.config import load_config as load_center_config
from center.store.store import Store

HOLE_TOLERANCE_S = 1.0
RECORDS_AFTER_US = 10_000_000


@dataclass(frozen=True)
class Coverage:
    """Seconds of one camera inside the window: recorded, declared as gap, and in neither (hole)."""

    recorded_s: float
    gap_s: float
    hole_s: float


@dataclass(frozen=True)
class Tally:
    """Counters of pole and center at one instant; a run's own numbers are the difference of two."""

    sealed: int
    receipted: int
    deleted: int
    stored: int
    stored_bytes: int
    alarms: int
    answers: int
    ledger_rows: int


@dataclass(frozen=True)
class Run:
    """What the demo did itself: when the cameras ran (UTC us), presses and their latencies, errors, notices.

    `presses` is None when a person pressed: the console's button is not counted here.
    """

    start_us: int
    stop_us: int
    presses: int | None
    press_to_receipt_ms: Sequence[float]
    errors: Sequence[str]
    notices: Sequence[str]
    restarts: dict[str, int]


def tally(site: Site) -> Tally:
    """Read the counters; both sides may be running or stopped."""
    config, center = load_config(site.pole_config), load_center_config(site.center_config)
    spool, store = Spool(config.spool, POLE, SystemClock()), Store(center.database)
    try:
        totals, (stored, stored_bytes) = spool.totals(), store.objects.totals()
        incidents = store.alarms.incidents("all", 1_000_000)
        return Tally(
            sealed=totals.sealed,
            receipted=totals.receipted,
            deleted=totals.deleted,
            stored=stored,
            stored_bytes=stored_bytes,
            alarms=sum(incident.presses for incident in incidents),
            answers=sum(incident.answered_at_us is not None for incident in incidents),
            ledger_rows=store.ledger.verify()[0],
        )
    finally:
        spool.close()
        store.close()


def summarize(site: Site, run: Run, before: Tally) -> dict[str, Any]:
    """Return the run's report; `errors` is empty only when nothing was wrong."""
    after = tally(site)
    covered = {camera: coverage(_records(site), camera, (run.start_us, run.stop_us)) for camera in CAMERAS}
    sound_streams, sound_errors = count_sound_streams(site)
    bell = _bell(run, before, after)
    errors = [*run.errors, *sound_errors, *(str(finding) for finding in check_spool(site.spool).findings)]
    errors += [f"{sound_streams} sound streams in sealed files"] * (sound_streams > 0)
    errors += _coverage_errors(run, covered) + _bell_errors(run, bell, after.alarms - before.alarms)
    return {
        "segments": {
            "sealed": after.sealed - before.sealed,
            "uploaded": after.stored - before.stored,
            "receipted": after.receipted - before.receipted,
            "deleted": after.deleted - before.deleted,
        },
        "bytes": after.stored_bytes - before.stored_bytes,
        "coverage": {name: asdict(found) for name, found in covered.items()},
        "bell": bell,
        "sound_streams": sound_streams,
        "heartbeats": _heartbeats(site),
        "restarts": {name: count for name, count in run.restarts.items() if count},
        "notices": list(run.notices),
        "errors": errors,
        "state_dir": str(site.root),
        "console_url": site.console_url,
    }


def _bell(run: Run, before: Tally, after: Tally) -> dict[str, Any]:
    alarms = after.alarms - before.alarms
    presses = alarms if run.presses is None else run.presses
    took_ms = run.press_to_receipt_ms
    return {
        "presses": presses,
        "receipts": len(took_ms),
        "answers": after.answers - before.answers,
        "duplicates": max(0, alarms - presses),
        "press_to_receipt_ms": {"p50": percentile(took_ms, 0.5), "p99": percentile(took_ms, 0.99)},
    }


def _bell_errors(run: Run, bell: dict[str, Any], alarms: int) -> list[str]:
    if run.presses is None or run.presses == alarms == bell["receipts"] == bell["answers"]:
        return []
    return [f"bell: {alarms} alarms at the center; {bell}"]


def _coverage_errors(run: Run, covered: dict[str, Coverage]) -> list[str]:
    holes = [f"camera {name}: {c.hole_s} s in no record" for name, c in covered.items() if c.hole_s > HOLE_TOLERANCE_S]
    if run.stop_us - run.start_us <= RECORDS_AFTER_US:
        return holes
    return holes + [f"camera {name} recorded nothing" for name, c in covered.items() if not c.recorded_s]


def waiting_segments(site: Site) -> int:
    """Return how many sealed segments at the pole have no receipt yet."""
    spool = Spool(load_config(site.pole_config).spool, POLE, SystemClock())
    try:
        return spool.reading().pending_segments
    finally:
        spool.close()


def _records(site: Site) -> list[AnyRecord]:
    config = load_config(site.pole_config)
    spool, found, index = Spool(config.spool, POLE, SystemClock()), [], 0
    try:
        while batch := spool.records_after(index, 1000):
            found += [decode_record(body) for _, body in batch]
            index = batch[-1][0] + 1
    finally:
        spool.close()
    return found


def _heartbeats(site: Site) -> int:
    """Return the number that the newest heartbeat at the center carries; it counts from 1 in each bell session."""
    store = Store(load_center_config(site.center_config).database)
    try:
        pole = store.poles.get(POLE)
        return pole.heartbeat.seq if pole and pole.heartbeat else 0
    finally:
        store.close()


def coverage(records: Iterable[AnyRecord], camera: str, window_us: tuple[int, int]) -> Coverage:
    """Return how `camera` covered the window [start_us, end_us)."""
    recorded: list[tuple[int, int]] = []
    gaps: list[tuple[int, int]] = []
    for record in records:
        if isinstance(record, GapRecord | SegmentRecord | TornRecord) and record.camera == camera:
            span = max(record.start_us, window_us[0]), min(record.end_us, window_us[1])
            if span[0] < span[1]:
                (gaps if isinstance(record, GapRecord) else recorded).append(span)
    covered = union_us([*recorded, *gaps])
    recorded_us = union_us(recorded)
    window = window_us[1] - window_us[0]
    return Coverage(
        round(recorded_us / 1e6, 3), round((covered - recorded_us) / 1e6, 3), round((window - covered) / 1e6, 3)
    )


def union_us(spans: Sequence[tuple[int, int]]) -> int:
    """Return the length of the union of half-open spans, in their unit.

    >>> union_us([(0, 4), (2, 5), (7, 8)])
    6
    """
    total, reached = 0, 0
    for start, end in sorted(spans):
        begin = max(start, reached) if total else start
        if end > begin:
            total += end - begin
            reached = max(reached, end)
    return total


def percentile(values: Sequence[float], share: float) -> float | None:
    """Return the value below which `share` (0..1) of `values` lies (nearest rank), or None without values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None
