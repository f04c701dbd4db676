"""Messages between pole and center over MQTT 5: JSON, one struct each.

Rules:
* every time is UTC in microseconds since 1970 (`..._us`); every duration names its unit;
* `v` is the major version; a reader refuses another major (quarantine) and ignores fields it does not know;
* no struct has a field for audio, for free pan/tilt/zoom or for "bell off" (REQUIREMENTS R-AUDIO, R-AIM).
"""

from typing import Literal, TypeVar

import msgspec

from agent.contract.errors import ContractError

VERSION = 1


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=False):
    """Base of every message: its major version."""

    v: int = VERSION


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One standing fault: `code` from `agent.contract.faults`, `subject` the part (camera id, "" for the pole)."""

    code: str
    subject: str = ""
    since_us: int
    detail: str = ""


class ClockState(msgspec.Struct, frozen=True, kw_only=True):
    """How far the pole's UTC can be trusted: `error_us` is the kernel's estimated maximum error."""

    synced: bool
    source: str
    error_us: int


class Alarm(Message, frozen=True, kw_only=True):
    """One press of the emergency bell (topic up/alarm, QoS 1). `alarm_id` is the key for exactly-once effect.

    `incident_id` is shared by presses made before the incident was closed; `press_number` counts from 1 in it.
    `previous_incident_id` links a new incident to the pole's last one. An alarm of `mode` "test" goes to
    up/test/alarm and never counts as real; three presses within 5 s make it real whatever the mode.
    """

    alarm_id: str
    incident_id: str
    press_number: int
    pole: str
    pressed_at_us: int
    clock: ClockState
    line: Literal["pressed", "cut", "short", "contact-fault"]
    held_at_boot: bool = False
    simulated: bool = False
    mode: Literal["normal", "test", "maintenance"] = "normal"
    previous_incident_id: str = ""


class AlarmReceipt(Message, frozen=True, kw_only=True):
    """The center's word that the alarm is committed (topic down/receipt, QoS 1); sent after its commit only."""

    alarm_id: str
    committed_at_us: int


class AlarmUpdate(Message, frozen=True, kw_only=True):
    """What a person at the center did with an incident (topic down/answer, QoS 1)."""

    incident_id: str
    state: Literal["seen", "answered", "dispatched", "closed"]
    at_us: int
    by: str
    reason: Literal["", "real", "malfunction", "mistake", "prank", "inspection", "other"] = ""


class Status(Message, frozen=True, kw_only=True):
    """Session state (topic up/status, QoS 1, retained, also the last will).

    A will can overtake a birth: an `offline` counts only for the `session` that is the newest known.
    """

    pole: str
    session: str
    state: Literal["online", "offline"]
    at_us: int


class DiskReading(msgspec.Struct, frozen=True, kw_only=True):
    """The spool's file system, in bytes; `writable` is the outcome of a real write just now."""

    total_bytes: int
    free_bytes: int
    writable: bool


class CpuReading(msgspec.Struct, frozen=True, kw_only=True):
    """Load since the last reading, 0..100 of all cores; temperature in 0.001 degree Celsius where a sensor is."""

    busy_percent: float
    load_1min: float
    temperature_mc: int | None = None
    throttled: str | None = None
    under_voltage: bool | None = None


class MemoryReading(msgspec.Struct, frozen=True, kw_only=True):
    """Main memory in bytes."""

    total_bytes: int
    available_bytes: int


class CameraReading(msgspec.Struct, frozen=True, kw_only=True):
    """One camera: counters since its process started; `last_frame_age_s` is None before the first frame."""

    state: Literal["starting", "recording", "waiting", "stopped"]
    source: str
    codec: str = ""
    width: int = 0
    height: int = 0
    passthrough: bool = True
    frames: int = 0
    frames_dropped: int = 0
    segments: int = 0
    bytes_sealed: int = 0
    fps: float = 0.0
    last_frame_age_s: float | None = None
    source_has_sound: bool = False
    sound_checked_at_us: int | None = None
    reopened: int = 0


class SpoolReading(msgspec.Struct, frozen=True, kw_only=True):
    """Backlog: sealed segments not yet receipted; `evicted` counts segments lost to a full disk."""

    pending_segments: int
    pending_bytes: int
    oldest_pending_age_s: float | None = None
    evicted: int = 0
    quarantined: int = 0


class UploadReading(msgspec.Struct, frozen=True, kw_only=True):
    """The dedicated link: age of the last answer from ingest, counters since the process started."""

    last_answer_age_s: float | None = None
    bytes_sent: int = 0
    segments_receipted: int = 0
    segments_deleted: int = 0
    certificate_days_left: int | None = None


class BellReading(msgspec.Struct, frozen=True, kw_only=True):
    """The bell: `line_poll_age_s` proves that the level was read; `light` is what the citizen sees.

    `self_test_at_us` is when the last self-test ended, passed or not; its round trip is null until its receipt came.
    """

    line: str
    line_poll_age_s: float
    light: str
    presses: int
    outbox_waiting: int
    center_beat_age_s: float | None = None
    last_puback_age_s: float | None = None
    last_press_to_receipt_ms: float | None = None
    mode: Literal["normal", "test", "maintenance"] = "normal"
    mode_until_us: int | None = None
    self_test_at_us: int | None = None
    self_test_round_trip_ms: float | None = None


class Heartbeat(Message, frozen=True, kw_only=True):
    """The pole's health, every 30 s (topic up/heartbeat, QoS 0). A part that did not report is absent and a fault."""

    pole: str
    session: str
    seq: int
    at_us: int
    uptime_s: int
    agent_version: str
    clock: ClockState
    disk: DiskReading | None = None
    cpu: CpuReading | None = None
    memory: MemoryReading | None = None
    spool: SpoolReading | None = None
    upload: UploadReading | None = None
    bell: BellReading | None = None
    cameras: dict[str, CameraReading] = {}
    faults: list[Fault] = []


class CenterBeat(Message, frozen=True, kw_only=True):
    """The center's own beat, every 10 s after a database write check (topic center/beat, QoS 0)."""

    seq: int
    at_us: int


class InspectionPoint(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was checked: `name` from docs/contract, `value` with its unit in words, "" when there is none."""

    name: str
    result: Literal["pass", "fail", "not-fitted"]
    value: str = ""
    detail: str = ""


class Inspection(Message, frozen=True, kw_only=True):
    """A self-test or an assisted press test (topic up/inspection, QoS 1, kept until its receipt) (R-INSPECT).

    `inspection_id` is the key for exactly-once effect; the center receipts it like an alarm.
    """

    inspection_id: str
    pole: str
    kind: Literal["self-test", "press-test"]
    started_at_us: int
    finished_at_us: int
    clock: ClockState
    points: list[InspectionPoint]
    work_order: str = ""
    officer: str = ""


ReplyStatus = Literal["done", "failed", "refused", "challenge"]
AuditPhase = Literal["before", "after", "refused", "challenged", "keys"]


class CommandReply(Message, frozen=True, kw_only=True):
    """What became of one command (topic up/reply, QoS 1). `payload_sha256` is of the bytes as they came.

    `code` is "" unless refused (`agent.contract.refusals`) or `failed`; `nonce` only with `challenge`. `jti` is "" when
    the signatures did not verify. `lines` is the answer of log-export.
    """

    pole: str
    jti: str
    payload_sha256: str
    status: ReplyStatus
    at_us: int
    code: str = ""
    detail: str = ""
    nonce: str = ""
    lines: list[str] = []


class CommandAudit(Message, frozen=True, kw_only=True):
    """One row of the pole's own book of commands (topic up/audit, QoS 1, kept until its `AuditReceipt`).

    `before` is on disk before the pole acts, `after` says how it ended (`code`: done, failed or interrupted). Officers,
    role and reason stand only where the signatures verified. `suppressed` counts refusals of a flood that got no row.
    """

    audit_id: str
    pole: str
    at_us: int
    clock: ClockState
    phase: AuditPhase
    payload_sha256: str
    code: str = ""
    detail: str = ""
    jti: str = ""
    op: str = ""
    officer: str = ""
    approver: str = ""
    role: str = ""
    kid: str = ""
    reason: str = ""
    suppressed: int = 0


class AuditReceipt(Message, frozen=True, kw_only=True):
    """The center's word that an audit row is committed (topic down/audit-receipt, QoS 1)."""

    audit_id: str
    committed_at_us: int


AnyMessage = TypeVar("AnyMessage", bound=Message)


def encode(message: Message) -> bytes:
    """Return the JSON payload of a message, in UTF-8."""
    return msgspec.json.encode(message)


def decode(payload: bytes | bytearray, kind: type[AnyMessage]) -> AnyMessage:
    """Read a payload as `kind`.

    Raises:
        ContractError: not JSON, a field missing or of the wrong type, or another major version.
    """
    try:
        message = msgspec.json.decode(payload, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise ContractError(f"{kind.__name__.lower()} message is not readable: {exc}") from exc
    if message.v != VERSION:
        raise ContractError(f"{kind.__name__.lower()} message has major version {message.v}, we read {VERSION}")
    return message
