"""docs/contract is in step with the code, and what we really send validates against it."""

import importlib.machinery
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import msgspec
import pytest

from agent.contract import topics
from agent.contract.canonical_json import canonical_bytes
from agent.contract.command import Command
from agent.contract.escalation import EscalationNotice
from agent.contract.messages import (
    Alarm,
    AlarmReceipt,
    AlarmUpdate,
    AuditReceipt,
    BellReading,
    CameraReading,
    CenterBeat,
    ClockState,
    CommandAudit,
    CommandReply,
    CpuReading,
    DiskReading,
    Fault,
    Heartbeat,
    Inspection,
    InspectionPoint,
    MemoryReading,
    Message,
    SpoolReading,
    Status,
    UploadReading,
    encode,
)
from agent.contract.records import (
    BootRecord,
    DeletionRecord,
    GapRecord,
    Record,
    SegmentRecord,
    TornRecord,
    encode_record,
)

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "contract-schemas"
SCHEMAS = ROOT / "docs" / "contract" / "schemas"
CLOCK = ClockState(synced=True, source="ntp", error_us=1200)
VIDEO = {
    "pole": "gangseo-0142",
    "written_at_us": 3,
    "clock": CLOCK,
    "camera": "front",
    "segment": "gangseo-0142.front.20261120T110000Z.0000000001",
    "management_number": "강서-0142-1",
    "purpose": "crime-prevention",
    "start_us": 1,
    "end_us": 2,
    "frames": 300,
    "bytes": 5_000_000,
    "sha256": "0" * 64,
    "recipient": "0" * 16,
    "codec": "h264",
    "width": 1920,
    "height": 1080,
    "source_has_sound": False,
}
STATED = {"pole": "gangseo-0142", "written_at_us": 3, "clock": CLOCK}
MESSAGES: list[Message] = [
    Alarm(
        alarm_id="a", incident_id="i", press_number=1, pole="gangseo-0142", pressed_at_us=1, clock=CLOCK, line="pressed"
    ),
    AlarmReceipt(alarm_id="a", committed_at_us=2),
    AlarmUpdate(incident_id="i", state="closed", at_us=3, by="김관제", reason="real"),
    Status(pole="gangseo-0142", session="s", state="online", at_us=1),
    CenterBeat(seq=1, at_us=1),
    CommandReply(pole="p", jti="", payload_sha256="0" * 64, status="refused", at_us=1, code="signature"),
    CommandAudit(audit_id="a", pole="p", at_us=1, clock=CLOCK, phase="before", payload_sha256="0" * 64),
    AuditReceipt(audit_id="a", committed_at_us=1),
    Inspection(
        inspection_id="i",
        pole="p",
        kind="self-test",
        started_at_us=1,
        finished_at_us=2,
        clock=CLOCK,
        points=[InspectionPoint(name="line", result="pass")],
    ),
    EscalationNotice(
        incident_id="i",
        call=1,
        pole="p",
        attempt=1,
        called_at_us=1,
        pressed_at_us=1,
        sent_at_us=2,
        waited_s=60,
        presses=1,
        line="pressed",
        simulated=False,
        mode="normal",
    ),
    Heartbeat(pole="p", session="", seq=1, at_us=1, uptime_s=1, agent_version="0", clock=CLOCK),
    Heartbeat(
        pole="p",
        session="s",
        seq=2,
        at_us=1,
        uptime_s=1,
        agent_version="0",
        clock=CLOCK,
        disk=DiskReading(total_bytes=2, free_bytes=1, writable=True),
        cpu=CpuReading(busy_percent=1.5, load_1min=0.2, temperature_mc=51_000, throttled="0x0", under_voltage=False),
        memory=MemoryReading(total_bytes=2, available_bytes=1),
        spool=SpoolReading(pending_segments=1, pending_bytes=2, oldest_pending_age_s=3.5),
        upload=UploadReading(last_answer_age_s=0.5, certificate_days_left=30),
        bell=BellReading(line="idle", line_poll_age_s=0.01, light="idle", presses=0, outbox_waiting=0),
        cameras={"front": CameraReading(state="recording", source="rtsp", fps=15.0, last_frame_age_s=0.1)},
        faults=[Fault(code="link-down", since_us=1)],
    ),
]
RECORDS: list[Record] = [
    SegmentRecord(**VIDEO),
    TornRecord(**VIDEO),
    GapRecord(**STATED, camera="front", start_us=1, end_us=2, cause="power"),
    BootRecord(**STATED, service="camera-front", boot_id="b", clean=False),
    DeletionRecord(**STATED, segment="s", sha256="0" * 64, ground="receipt"),
]
COMMAND = Command(
    iss="kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
    sub="kim",
    role="crew",
    aud="gangseo-0142",
    iat_us=1,
    exp_us=2,
    jti="0" * 32,
    op="mode",
    args={"mode": "test", "for_s": 600},
    reason="월례 점검",
)


def schema_of(value: msgspec.Struct) -> dict:
    name = re.sub(r"(?<!^)([A-Z])", r"-\1", type(value).__name__).lower()
    return json.loads((SCHEMAS / f"{name}.json").read_text(encoding="utf-8"))


def validate(data: bytes, schema: dict) -> None:
    jsonschema.Draft202012Validator(schema).validate(json.loads(data))


def test_the_generated_files_are_in_step_with_the_code():
    done = subprocess.run([sys.executable, SCRIPT, "--check"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_the_check_names_a_file_that_is_out_of_step(tmp_path, monkeypatch, capsys):
    loader = importlib.machinery.SourceFileLoader("contract_schemas", str(SCRIPT))
    spec = importlib.util.spec_from_loader("contract_schemas", loader)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    loader.exec_module(module)
    module.ROOT, module.CONTRACT = tmp_path, tmp_path
    assert module.main([]) == 0
    assert module.main(["--check"]) == 0
    (tmp_path / "schemas" / "alarm.json").write_text("{}", encoding="utf-8")
    (tmp_path / "schemas" / "stray.json").write_text("{}", encoding="utf-8")
    capsys.readouterr()
    assert module.main(["--check"]) == 1
    named = [line.split(":")[0] for line in capsys.readouterr().err.splitlines()]
    assert named == ["schemas/alarm.json", "schemas/stray.json"]


@pytest.mark.parametrize("path", sorted(SCHEMAS.glob("*.json")), ids=lambda path: path.stem)
def test_every_schema_is_a_valid_schema(path):
    jsonschema.Draft202012Validator.check_schema(json.loads(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_an_encoded_message_validates(message):
    validate(encode(message), schema_of(message))


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_an_encoded_record_validates(record):
    validate(encode_record(record), schema_of(record))


def test_the_payload_of_a_command_validates():
    validate(canonical_bytes(COMMAND), schema_of(COMMAND))


def test_a_message_with_an_unknown_field_validates():
    data = json.loads(encode(MESSAGES[0])) | {"colour": "red"}
    validate(canonical_bytes(data), schema_of(MESSAGES[0]))


@pytest.mark.parametrize(("key", "value"), [("line", "off"), ("pressed_at_us", "now"), ("alarm_id", None)])
def test_a_wrong_message_does_not_validate(key, value):
    data = json.loads(encode(MESSAGES[0])) | {key: value}
    with pytest.raises(jsonschema.ValidationError):
        validate(canonical_bytes(data), schema_of(MESSAGES[0]))


def test_the_samples_cover_every_message_and_record():
    sampled = {type(value).__name__ for value in [*MESSAGES, *RECORDS, COMMAND]}
    described = {json.loads(path.read_text(encoding="utf-8"))["$ref"].rsplit("/", 1)[1] for path in SCHEMAS.iterdir()}
    assert described - sampled == {"ServiceStatus"}


@pytest.mark.parametrize("path", sorted(SCHEMAS.glob("*.json")), ids=lambda path: path.stem)
def test_no_field_carries_sound_turns_a_camera_or_switches_a_bell_off(path):
    fields = set()

    def walk(value: object) -> None:
        if isinstance(value, dict):
            fields.update(value.get("properties", {}))
            for item in value.values():
                walk(item)
        elif isinstance(value, list):
            for item in value:
                walk(item)

    walk(json.loads(path.read_text(encoding="utf-8")))
    allowed = {"source_has_sound", "sound_checked_at_us"}  # both attest that there is none
    pattern = r"audio|sound|voice|microphone|(^|_)(pan|tilt|zoom|disable|mute)"
    assert {field for field in fields if re.search(pattern, field)} <= allowed


def test_the_page_names_the_topics_of_the_code():
    page = (ROOT / "docs" / "contract" / "README.md").read_text(encoding="utf-8")
    named = [topics.up("{pole}", kind) for kind in ("status", "alarm", "heartbeat")]
    named += [topics.down("{pole}", kind) for kind in ("receipt", "answer")]
    for topic in [*named, topics.CENTER_BEAT, topics.CENTER_STATE]:
        assert f"`{topic}`" in page
