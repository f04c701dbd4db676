"""A pole's last heartbeat as labelled facts, each with a mark where a limit is known.

Rule: a part that did not report is absent here too; its absence is a fault of its own (messages.Heartbeat).
"""

from dataclasses import dataclass

from agent.contract.messages import CameraReading, Heartbeat
from center.console.catalogue import Catalogue
from center.console.rendering import amount, grouped, stopwatch

FRAME_LATE_S = 15.0
CERTIFICATE_SOON_DAYS = 30
HOT_MC = 80_000
BEAT_LATE_S = 35.0
POLL_LATE_S = 1.0


@dataclass(frozen=True)
class Fact:
    """One fact: the key of its label, its value in words, and a mark when it is good or bad."""

    label: str
    value: str
    mark: str = ""


@dataclass(frozen=True)
class CameraFacts:
    """One camera: its state with a mark, and its facts."""

    id: str
    state: str
    mark: str
    facts: list[Fact]


def _age(words: Catalogue, seconds: float | None) -> str:
    return words.text("value.none_yet") if seconds is None else words.ago(seconds)


def _limit(bad: bool) -> str:
    return "warning" if bad else "ok"


def camera_facts(camera: str, reading: CameraReading, silent: bool, words: Catalogue) -> CameraFacts:
    """Return a camera's facts; a silent pole's cameras are unknown, whatever its last word was."""
    late = reading.last_frame_age_s is None or reading.last_frame_age_s > FRAME_LATE_S
    mark = "unknown" if silent else "ok" if reading.state == "recording" and not late else "warning"
    if reading.state == "stopped" and not silent:
        mark = "critical"
    sound = "fact.sound_found" if reading.source_has_sound else "fact.sound_none"
    if reading.sound_checked_at_us is None:
        sound = "fact.sound_unchecked"
    return CameraFacts(
        camera,
        reading.state,
        mark,
        [
            Fact("fact.picture", f"{reading.width}×{reading.height} · {reading.codec or words.text('value.unknown')}"),
            Fact("fact.fps", f"{reading.fps:.1f}"),
            Fact("fact.last_frame", _age(words, reading.last_frame_age_s), _limit(late)),
            Fact("fact.frames", grouped(reading.frames)),
            Fact("fact.dropped", grouped(reading.frames_dropped), _limit(reading.frames_dropped > 0)),
            Fact("fact.segments", grouped(reading.segments)),
            Fact("fact.sealed", amount(reading.bytes_sealed)),
            Fact("fact.sound", words.text(sound), "" if reading.sound_checked_at_us is None else _limit(False)),
            Fact("fact.reopened", grouped(reading.reopened)),
            Fact("fact.source", reading.source),
        ],
    )


def pole_groups(heartbeat: Heartbeat, words: Catalogue) -> list[tuple[str, list[Fact]]]:
    """Return the pole's facts in groups, each with the key of its title; empty groups are left out."""
    groups = [
        ("group.bell", _bell(heartbeat, words)),
        ("group.link", _link(heartbeat, words)),
        ("group.machine", _machine(heartbeat, words)),
    ]
    return [(title, facts) for title, facts in groups if facts]


def _bell(heartbeat: Heartbeat, words: Catalogue) -> list[Fact]:
    bell = heartbeat.bell
    if bell is None:
        return []
    receipt_ms = bell.last_press_to_receipt_ms
    beat_s = bell.center_beat_age_s
    return [
        Fact("fact.line", words.code("line", bell.line), _limit(bell.line not in ("idle", "pressed"))),
        Fact("fact.light", words.code("light", bell.light)),
        Fact("fact.line_poll", _age(words, bell.line_poll_age_s), _limit(bell.line_poll_age_s > POLL_LATE_S)),
        Fact("fact.presses", grouped(bell.presses)),
        Fact("fact.outbox", grouped(bell.outbox_waiting), _limit(bell.outbox_waiting > 0)),
        Fact("fact.center_beat", _age(words, beat_s), _limit(beat_s is None or beat_s > BEAT_LATE_S)),
        Fact("fact.puback", _age(words, bell.last_puback_age_s)),
        Fact("fact.receipt_ms", words.text("value.none_yet") if receipt_ms is None else f"{receipt_ms:.1f} ms"),
    ]


def _link(heartbeat: Heartbeat, words: Catalogue) -> list[Fact]:
    facts = []
    if heartbeat.spool is not None:
        spool = heartbeat.spool
        backlog = f"{words.text('value.segments', n=grouped(spool.pending_segments))} · {amount(spool.pending_bytes)}"
        facts += [
            Fact("fact.backlog", backlog),
            Fact("fact.backlog_age", _age(words, spool.oldest_pending_age_s)),
            Fact("fact.evicted", grouped(spool.evicted), _limit(spool.evicted > 0)),
            Fact("fact.quarantined", grouped(spool.quarantined), _limit(spool.quarantined > 0)),
        ]
    if heartbeat.upload is not None:
        upload = heartbeat.upload
        days = upload.certificate_days_left
        facts += [
            Fact("fact.answer", _age(words, upload.last_answer_age_s)),
            Fact("fact.sent", amount(upload.bytes_sent)),
            Fact("fact.receipted", grouped(upload.segments_receipted)),
            Fact("fact.deleted", grouped(upload.segments_deleted)),
        ]
        if days is not None:
            facts.append(
                Fact("fact.certificate", words.text("value.days", n=days), _limit(days < CERTIFICATE_SOON_DAYS))
            )
    return facts


def _machine(heartbeat: Heartbeat, words: Catalogue) -> list[Fact]:
    clock = heartbeat.clock
    synced = words.text("fact.clock_synced" if clock.synced else "fact.clock_unsynced")
    facts = [
        Fact("fact.clock", f"{synced} · {clock.source} · ±{clock.error_us / 1000:.1f} ms", _limit(not clock.synced))
    ]
    if heartbeat.disk is not None:
        disk = heartbeat.disk
        free = words.text("value.free_of", free=amount(disk.free_bytes), total=amount(disk.total_bytes))
        facts.append(Fact("fact.disk", free, _limit(not disk.writable)))
    if heartbeat.cpu is not None:
        cpu = heartbeat.cpu
        facts.append(Fact("fact.cpu", f"{cpu.busy_percent:.0f} %"))
        if cpu.temperature_mc is not None:
            hot = cpu.temperature_mc > HOT_MC
            facts.append(Fact("fact.temperature", f"{cpu.temperature_mc / 1000:.1f} °C", _limit(hot)))
        if cpu.under_voltage is not None:
            text = words.text("fact.voltage_low" if cpu.under_voltage else "fact.voltage_ok")
            facts.append(Fact("fact.voltage", text, _limit(cpu.under_voltage)))
    if heartbeat.memory is not None:
        memory = heartbeat.memory
        free = words.text("value.free_of", free=amount(memory.available_bytes), total=amount(memory.total_bytes))
        facts.append(Fact("fact.memory", free))
    facts.append(Fact("fact.uptime", stopwatch(heartbeat.uptime_s)))
    facts.append(Fact("fact.version", heartbeat.agent_version))
    return facts
