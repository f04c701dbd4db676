"""A center with a real store, real keys and real sealed video, and the real console on it, over TLS, in a thread.

`ConsoleStage(directory, certificates)` seeds; `start()` serves; `client()` is a browser without a screen (httpx).
"""

import hashlib
import re
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal

import httpx

from agent.contract.age_format import AgeWriter, parse_recipient
from agent.contract.messages import (
    Alarm,
    AuditPhase,
    BellReading,
    CameraReading,
    ClockState,
    CommandAudit,
    CpuReading,
    DiskReading,
    Fault,
    Heartbeat,
    Inspection,
    InspectionPoint,
    MemoryReading,
    SpoolReading,
    UploadReading,
    encode,
)
from agent.contract.records import GapCause, GapRecord, SegmentRecord, TornRecord, encode_record
from center.commands.key_folder import KeyFolder
from center.config import BrokerConfig, CenterConfig, ConsoleConfig, CustodianConfig, IngestConfig, ReceiptConfig
from center.console.service import ConsoleProcess
from center.custodian.keyring import Keyring
from center.custodian.recipients import RecipientRow
from center.store import IncidentRow, Store, StoredObject
from center.store.escalations import Step
from support.certificates import CertificateShop
from support.video import make_clip

CLOCK = ClockState(synced=True, source="ntp", error_us=1800)
SECOND_US = 1_000_000
POLE = "gangseo-0142"

Mode = Literal["normal", "test", "maintenance"]
InspectionKind = Literal["self-test", "press-test"]
PointResult = Literal["pass", "fail", "not-fitted"]


def utc_us() -> int:
    return time.time_ns() // 1000


class ConsoleStage:
    """One center on one directory. Times are given as seconds before now."""

    def __init__(self, directory: Path, certificates: CertificateShop, console: ConsoleConfig | None = None) -> None:
        self.directory = directory
        self.certificates = certificates
        server = certificates.center("center-console")
        unused = directory / "unused"
        console = console or ConsoleConfig()
        self.config = CenterConfig(
            state_dir=directory / "state",
            ingest=IngestConfig("127.0.0.1", 1, server.cert_file, server.key_file, certificates.ca_file),
            broker=BrokerConfig("127.0.0.1", 1, unused, unused, unused, unused, unused),
            receipts=ReceiptConfig(unused),
            custodian=CustodianConfig(directory / "keys"),
            console=replace(console, port=0),
        )
        self.back_s = 0.0
        self.store = Store(self.config.database, self.center_us)
        self.recipient: RecipientRow = Keyring(self.config.custodian.key_dir).create("demo", directory / "demo.txt")
        self.process: ConsoleProcess | None = None
        self._thread: threading.Thread | None = None
        self._counter = 0

    def center_us(self) -> int:
        """The center's clock for what the stage seeds; `back_s` seeds the past."""
        return utc_us() - round(self.back_s * SECOND_US)

    # --- the console ---------------------------------------------------------------------------------------

    def start(self) -> str:
        """Serve, and return the address."""
        self.process = ConsoleProcess(self.config)
        self._thread = threading.Thread(target=self.process.run, name="console-under-test", daemon=True)
        self._thread.start()
        return self.url

    @property
    def url(self) -> str:
        assert self.process is not None
        return f"https://{self.config.console.host}:{self.process.port}"

    @property
    def link(self) -> str:
        return (self.config.state_dir / "console-entry-link").read_text(encoding="utf-8").strip()

    def stop(self) -> None:
        if self.process is not None and self._thread is not None:
            self.process.stop()
            self._thread.join(10)
            assert not self._thread.is_alive(), "the console did not stop"
        self.store.close()

    def client(self, person: str | None = None, pole: str | None = None) -> httpx.Client:
        """Return an HTTP client, with a person's or a pole's certificate if asked."""
        context = ssl.create_default_context(cafile=str(self.certificates.ca_file))
        issued = self.certificates.person(person) if person else self.certificates.pole(pole) if pole else None
        if issued is not None:
            context.load_cert_chain(issued.cert_file, issued.key_file)
        return httpx.Client(base_url=self.url, verify=context, timeout=20)

    @contextmanager
    def entered(self, officer: str = "김하늘") -> Iterator[httpx.Client]:
        """Give a client that came in by the entry link."""
        with self.client() as client:
            token = self.link.partition("token=")[2]
            answer = client.post("/enter", data={"token": token, "officer": officer})
            assert answer.status_code == 303, answer.text
            yield client

    @staticmethod
    def csrf(client: httpx.Client) -> str:
        return str(client.get("/api/session").json()["csrf"])

    # --- what poles send ------------------------------------------------------------------------------------

    def press(
        self,
        incident: str = "inc-1",
        pole: str = POLE,
        ago_s: float = 0,
        number: int = 1,
        simulated: bool = False,
        previous: str = "",
        mode: Mode = "normal",
    ) -> IncidentRow:
        """Commit one press as the alarms process does."""
        alarm = self._alarm(incident, pole, ago_s, number, simulated=simulated, previous=previous, mode=mode)
        self.store.alarms.commit(alarm, encode(alarm))
        row = self.store.alarms.get(incident)
        assert row is not None
        return row

    def press_test(self, incident: str = "test-1", pole: str = POLE, ago_s: float = 0) -> None:
        """Commit one press in test mode."""
        alarm = self._alarm(incident, pole, ago_s, 1, simulated=False, previous="", mode="test")
        self.store.alarms.commit_test(alarm, encode(alarm))

    def _alarm(
        self, incident: str, pole: str, ago_s: float, number: int, *, simulated: bool, previous: str, mode: Mode
    ) -> Alarm:
        return Alarm(
            alarm_id=f"{incident}.{number}",
            incident_id=incident,
            press_number=number,
            pole=pole,
            pressed_at_us=utc_us() - round(ago_s * SECOND_US),
            clock=CLOCK,
            line="pressed",
            simulated=simulated,
            mode=mode,
            previous_incident_id=previous,
        )

    def inspect(
        self, kind: InspectionKind, points: dict[str, PointResult], pole: str = POLE, ago_s: float = 0, order: str = ""
    ) -> None:
        """Take one inspection as the alarms process does; `points` are name -> result."""
        self._counter += 1
        finished_us = utc_us() - round(ago_s * SECOND_US)
        message = Inspection(
            inspection_id=f"i-{pole}-{self._counter}",
            pole=pole,
            kind=kind,
            started_at_us=finished_us - 4 * SECOND_US,
            finished_at_us=finished_us,
            clock=CLOCK,
            points=[InspectionPoint(name=name, result=result) for name, result in points.items()],
            work_order=order,
        )
        self.store.inspections.add(message, encode(message))

    def climb(self, incident: str, *steps: Step) -> None:
        """Raise steps of the escalation as its worker does."""
        call = next(call for call in self.store.escalations.waiting() if call.incident_id == incident)
        self.store.escalations.raise_steps([(call, step, self.center_us()) for step in steps])

    def give_key(self, officer: str, role: str = "crew") -> KeyFolder:
        """Give an officer a command key in the folder that the console reads."""
        folder = KeyFolder(self.config.custodian.key_dir.parent / "command-keys")
        if not folder.set_file.exists():
            folder.create()
        folder.add(officer, role)
        return folder

    def audit(self, pole: str, phase: AuditPhase, digest: str, **fields: str) -> None:
        """Take one row of a pole's book of commands."""
        self._counter += 1
        row = CommandAudit(
            audit_id=f"a-{self._counter}",
            pole=pole,
            at_us=utc_us(),
            clock=CLOCK,
            phase=phase,
            payload_sha256=digest,
            **fields,  # type: ignore[arg-type]
        )
        self.store.commands.audit(row, encode(row))

    def trust(self) -> None:
        """Let every session by link count as one by certificate: a browser without a screen has none to show."""
        assert self.process is not None
        sessions = self.process.console.sessions
        for session in list(sessions._sessions.values()):
            sessions._sessions[session.id] = replace(session, by_certificate=True)

    def another_press(self) -> None:
        """Press once more."""
        self._counter += 1
        self.press("many", number=self._counter)

    def heartbeat(
        self,
        pole: str = POLE,
        faults: tuple[tuple[str, str, str], ...] = (),
        cameras: tuple[str, ...] = ("front", "back"),
        mode: Mode = "normal",
        mode_until_us: int | None = None,
    ) -> None:
        """Take one heartbeat; `faults` are (code, subject, detail)."""
        message = Heartbeat(
            pole=pole,
            session="s1",
            seq=1,
            at_us=utc_us(),
            uptime_s=93_784,
            agent_version="0.1.0",
            clock=CLOCK,
            disk=DiskReading(total_bytes=62_000_000_000, free_bytes=41_300_000_000, writable=True),
            cpu=CpuReading(busy_percent=12.4, load_1min=0.4, temperature_mc=51_200, under_voltage=False),
            memory=MemoryReading(total_bytes=4_000_000_000, available_bytes=2_900_000_000),
            spool=SpoolReading(pending_segments=3, pending_bytes=14_800_000, oldest_pending_age_s=21),
            upload=UploadReading(last_answer_age_s=1.4, bytes_sent=8_400_000_000, certificate_days_left=301),
            bell=BellReading(
                line="idle",
                line_poll_age_s=0.01,
                light="ready",
                presses=4,
                outbox_waiting=0,
                center_beat_age_s=3.2,
                last_puback_age_s=412,
                last_press_to_receipt_ms=2.7,
                mode=mode,
                mode_until_us=mode_until_us,
            ),
            cameras={camera: self._camera(camera, faults) for camera in cameras},
            faults=[
                Fault(code=code, subject=subject, since_us=utc_us(), detail=detail) for code, subject, detail in faults
            ],
        )
        self.store.poles.note_heartbeat(message, encode(message))

    @staticmethod
    def _camera(camera: str, faults: tuple[tuple[str, str, str], ...]) -> CameraReading:
        lost = any(code == "camera-source-lost" and subject == camera for code, subject, _ in faults)
        return CameraReading(
            state="waiting" if lost else "recording",
            source="rtsp",
            codec="h264",
            width=1920,
            height=1080,
            frames=2_813_220,
            segments=9377,
            bytes_sealed=46_900_000_000,
            fps=0 if lost else 29.97,
            last_frame_age_s=312 if lost else 0.03,
            sound_checked_at_us=utc_us(),
            reopened=1,
        )

    def segment(
        self,
        ago_s: float,
        pole: str = POLE,
        camera: str = "front",
        seconds: float = 10,
        clear: bytes = b"",
        torn: bool = False,
    ) -> str:
        """Store one sealed segment with its record, and return its name."""
        start_us = utc_us() - round(ago_s * SECOND_US)
        self._counter += 1
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(start_us // SECOND_US))
        name = f"{pole}.{camera}.{stamp}.{self._counter:010d}"
        sealed = self._seal(clear or b"not a picture", torn)
        kind = TornRecord if torn else SegmentRecord
        record = kind(
            pole=pole,
            written_at_us=start_us + round(seconds * SECOND_US),
            clock=CLOCK,
            camera=camera,
            segment=name,
            management_number="GS-CP-0142",
            purpose="crime-prevention",
            start_us=start_us,
            end_us=start_us + round(seconds * SECOND_US),
            frames=round(seconds * 15),
            bytes=len(sealed),
            sha256=hashlib.sha256(sealed).hexdigest(),
            recipient=self.recipient.id,
            codec="h264",
            width=1280,
            height=720,
            source_has_sound=False,
        )
        path = self.config.objects_dir / pole / f"{name}.mp4.age"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(sealed)
        self.store.objects.add(
            StoredObject(
                segment=name,
                pole=pole,
                camera=camera,
                start_us=record.start_us,
                end_us=record.end_us,
                bytes=len(sealed),
                sha256=record.sha256,
                recipient=record.recipient,
                path=f"{pole}/{name}.mp4.age",
                stored_at_us=record.end_us,
                receipt=f"pole-agent/receipt/v1\n{pole}\n{name}\nsha256:{record.sha256}\n{len(sealed)}\n{record.end_us}\n",
                record=encode_record(record),
            )
        )
        self._record(pole, encode_record(record))
        return name

    def gap(self, ago_s: float, seconds: float, cause: GapCause, pole: str = POLE, camera: str = "front") -> None:
        """State a gap."""
        start_us = utc_us() - round(ago_s * SECOND_US)
        end_us = start_us + round(seconds * SECOND_US)
        record = GapRecord(
            pole=pole, written_at_us=end_us, clock=CLOCK, camera=camera, start_us=start_us, end_us=end_us, cause=cause
        )
        self._record(pole, encode_record(record))

    def _record(self, pole: str, raw: bytes) -> None:
        self.store.records.add_records(pole, self.store.records.next_record(pole), [raw])

    def _seal(self, clear: bytes, torn: bool) -> bytes:
        sealed = bytearray()
        writer = AgeWriter(sealed.extend, [parse_recipient(self.recipient.recipient)])
        writer.write(clear)
        if not torn:
            writer.close()
        return bytes(sealed)


def moving_picture(directory: Path, seconds: float = 6, size: str = "640x360") -> bytes:
    """Return a fragmented MP4 as the poles seal it: one fragment per GOP, the init segment first."""
    clip = make_clip(directory / "clip.mp4", seconds=seconds, size=size)
    fragmented = directory / "fragmented.mp4"
    flags = ["-movflags", "frag_keyframe+empty_moov+default_base_moof"]
    command = ["ffmpeg", "-v", "error", "-y", "-i", str(clip), "-c", "copy", *flags, str(fragmented)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return fragmented.read_bytes()


def visible_text(html: str) -> str:
    """Return the text of a page without its tags."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html))
