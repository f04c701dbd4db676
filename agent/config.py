"""The pole's configuration as values. `agent.config_file` reads and checks `/etc/pole-agent/pole.toml`.

Rules: legal values (management number, purpose, retention, policy) have no default; secrets are file
paths, never values; a service takes the part it needs, never the whole (STYLE "Avoid").
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Purpose = Literal[
    "crime-prevention",
    "dumping",
    "facilities",
    "parking",
    "traffic",
    "disaster",
    "wanted-vehicles",
    "fire",
    "children",
]
SourceKind = Literal["replay", "rtsp", "v4l2", "picamera2"]


@dataclass(frozen=True)
class PoleConfig:
    """Who this pole is. `policy` names the city's policy profile, `retention_days` is at most 30 (R-RETAIN)."""

    id: str
    zone: str
    policy: str
    retention_days: int


@dataclass(frozen=True)
class CenterConfig:
    """Where the center is and how both sides know each other (mutual TLS); `receipt_key` is a C2SP verifier key.

    `command_keys_file` says who may command this pole (docs/contract/command.md); where it is missing, nobody may.
    """

    ingest_url: str
    broker_host: str
    broker_port: int
    ca_file: Path
    cert_file: Path
    key_file: Path
    receipt_key: str
    command_keys_file: Path = Path("/etc/pole-agent/command-keys.note")


@dataclass(frozen=True)
class SealingConfig:
    """`recipients_file`: age recipients, one a line, the first valid one is used, the next are fallbacks."""

    recipients_file: Path


@dataclass(frozen=True)
class SpoolConfig:
    """The spool's directory, the most it may hold and what must stay free on its file system (bytes)."""

    dir: Path = Path("/var/lib/pole-agent/spool")
    max_bytes: int = 32 << 30
    min_free_bytes: int = 1 << 30


@dataclass(frozen=True)
class CameraConfig:
    """One camera. `address` is a file (replay), URL (rtsp), device (v4l2) or camera number (picamera2).

    `address_file` (rtsp only) holds the whole address on its first line when it carries a password; `address`
    is then "" and the source reads the file when it opens the camera, so that no secret stands in a value.
    """

    id: str
    management_number: str
    purpose: Purpose
    source: SourceKind
    address: str
    width: int
    height: int
    fps: int
    segment_s: float = 10.0
    bitrate_kbps: int = 4000
    read_timeout_s: float = 5.0
    address_file: Path | None = None


@dataclass(frozen=True)
class BellConfig:
    """Bell line and lights; `simulate` uses gpiozero's mock pins and a control socket.

    Pins are BCM numbers with driver `gpiozero` (Raspberry Pi), line offsets of `chip` with `gpiod` (Jetson, others).
    Wiring `eol` reads an end-of-line resistor by `adc` instead of the contact pins: `adc_address` is the chip select
    of an MCP3008 (None: 0) or the I2C address of an ADS1115 on `adc_bus` (None: 0x48).
    Pins that are None are not fitted: the sign "call 112", the sense of the lamps' current, the crew's key switch.
    The limits from `debounce_ms` on are explained in docs/design/bell.md, "The line".
    """

    wiring: Literal["no-nc", "no", "eol"] = "no-nc"
    driver: Literal["gpiozero", "gpiod"] = "gpiozero"
    chip: str = "/dev/gpiochip0"
    adc: Literal["mcp3008", "ads1115"] | None = None
    adc_channel: int = 0
    adc_address: int | None = None
    adc_bus: Path = Path("/dev/i2c-1")
    no_pin: int = 17
    nc_pin: int | None = 27
    white_pin: int = 5
    red_pin: int = 6
    green_pin: int = 13
    siren_pin: int = 19
    call112_pin: int | None = None
    lamp_sense_pin: int | None = None
    key_switch_pin: int | None = None
    debounce_ms: int = 30
    settle_ms: int = 200
    mended_s: float = 30.0
    stuck_s: float = 30.0
    chatter_changes: int = 40
    chatter_window_s: float = 10.0
    simulate: bool = False
    window_before_s: float = 30.0
    window_after_s: float = 60.0


@dataclass(frozen=True)
class HealthConfig:
    """How often the pole reports and where the kernel's files are (another root in tests)."""

    heartbeat_s: float = 30.0
    probe_s: float = 5.0
    system_root: Path = Path("/")


@dataclass(frozen=True)
class Config:
    """The whole file; only `agent.wiring` sees it."""

    pole: PoleConfig
    center: CenterConfig
    sealing: SealingConfig
    spool: SpoolConfig
    cameras: tuple[CameraConfig, ...]
    bell: BellConfig = field(default_factory=BellConfig)
    health: HealthConfig = field(default_factory=HealthConfig)
    run_dir: Path = Path("/run/pole-agent")
    state_dir: Path = Path("/var/lib/pole-agent")
