"""Reads `pole.toml` into `agent.config.Config` and names every mistake at once.

Rules:
* a mistake is one sentence: `key: what was found, what is allowed, a suggestion`; all of them come together in
  one `ConfigError` (`.mistakes`), so that a technician corrects the file in one go;
* unknown keys are mistakes, with the nearest known one; a key about sound is refused by law (R-AUDIO);
* management number, purpose, retention and policy have no default (DESIGN decision 14);
* below 320x240 or 15 fps is refused (R-QUALITY); retention is at most 30 days (R-RETAIN);
* no secret in the file: an RTSP camera with a password is named by `address_file`, a file of mode 0600 holding
  the whole address, which the camera service reads when it opens the camera;
* a key or address file that systemd passes as a credential of the same file name ($CREDENTIALS_DIRECTORY) is
  taken from there, so that the file named in the configuration may stay readable by root alone;
* `check_files=True` (`pole-agent check-config`) also demands that every named file is there and private enough;
  a service starts with `check_files=False` and reports what is missing as a fault (`recipient-missing`).
"""

import dataclasses
import difflib
import os
import re
import stat
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from agent.config import (
    BellConfig,
    CameraConfig,
    CenterConfig,
    Config,
    HealthConfig,
    PoleConfig,
    Purpose,
    SealingConfig,
    SourceKind,
    SpoolConfig,
)
from agent.contract.signed_note import NoteVerifier
from agent.errors import ConfigError, ContractError

SOUND_WORDS = {"audio", "sound", "mic", "microphone", "voice", "speech", "speaker", "listen"}
SOUND_LAW = "sound may not be collected or recorded (PIPA 25(5), R-AUDIO); remove the key"
NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
GPIO_SHUTDOWN = 3
LAST_PORT = 65535
_HTTPS = re.compile(r"https://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?/?")
SPOOL_NAMES = ("quarantine", "reserve")  # taken in the spool's directory, where each camera has a folder of its id
SOCKET_PATH_BYTES = 107  # sun_path of unix(7)
SIMULATED_SOCKET = "/.bell.sock.4194304"  # the longest name that agent.bell.control_socket binds (PID_MAX_LIMIT)

Check = Callable[[Any], Any]


class _RefusedError(ValueError):
    """What is allowed instead; becomes one mistake together with its key and the value found."""


def _name(value: object) -> str:
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise _RefusedError("allowed are 1..63 lower-case letters, digits and inner hyphens, as in 'gangseo-0142'")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > 200 or not value.isprintable():
        raise _RefusedError("allowed is a non-empty text in quotes, at most 200 characters")
    return value


def _whole(low: int, high: int, why: str = "") -> Check:
    def check(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise _RefusedError(f"allowed is a whole number {low}..{high}{why}")
        return value

    return check


def _number(low: float, high: float) -> Check:
    def check(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise _RefusedError(f"allowed is a number {low:g}..{high:g}")
        return float(value)

    return check


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise _RefusedError("allowed is true or false, without quotes")
    return value


def _path(value: object) -> Path:
    if not isinstance(value, str) or not value or "\0" in value:
        raise _RefusedError("allowed is a file path in quotes")
    return Path(value)


def _one_of(kind: Any) -> Check:
    options: tuple[str, ...] = get_args(kind)

    def check(value: object) -> str:
        if value not in options:
            raise _RefusedError(f"allowed is one of {', '.join(options)}{_did_you_mean(value, options)}")
        return str(value)

    return check


def _https_url(value: object) -> str:
    match = _HTTPS.fullmatch(value) if isinstance(value, str) else None
    if match is None or int(match["port"] or 443) > LAST_PORT:
        raise _RefusedError("allowed is an address 'https://host[:port]' without name or password (R-CRYPT)")
    return str(value)


def _verifier_key(value: object) -> str:
    try:
        NoteVerifier(_text(value))
    except ContractError as exc:
        raise _RefusedError(f"allowed is the center's verifier key 'name+hash+key': {exc}") from exc
    return str(value)


def _did_you_mean(found: object, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(str(found), list(known), n=1, cutoff=0.6)
    return f"; did you mean '{near[0]}'?" if near else ""


@dataclasses.dataclass(frozen=True)
class _Section:
    """One table of the file: the value type it becomes and the check of each key (required without default)."""

    kind: Any
    checks: Mapping[str, Check]

    def required(self) -> set[str]:
        missing = dataclasses.MISSING
        return {f.name for f in dataclasses.fields(self.kind) if f.default is missing and f.default_factory is missing}


_PIN = _whole(0, 1023, " (BCM number 0..27, or line offset with driver 'gpiod')")
BCM_LAST = 27

_SECTIONS: Mapping[str, _Section] = {
    "pole": _Section(
        PoleConfig,
        {"id": _name, "zone": _name, "policy": _name, "retention_days": _whole(1, 30, " by law (R-RETAIN)")},
    ),
    "center": _Section(
        CenterConfig,
        {
            "ingest_url": _https_url,
            "broker_host": _text,
            "broker_port": _whole(1, 65535),
            "ca_file": _path,
            "cert_file": _path,
            "key_file": _path,
            "receipt_key": _verifier_key,
            "command_keys_file": _path,
        },
    ),
    "sealing": _Section(SealingConfig, {"recipients_file": _path}),
    "spool": _Section(
        SpoolConfig,
        {"dir": _path, "max_bytes": _whole(1 << 20, 1 << 50), "min_free_bytes": _whole(0, 1 << 50)},
    ),
    "camera": _Section(
        CameraConfig,
        {
            "id": _name,
            "management_number": _text,
            "purpose": _one_of(Purpose),
            "source": _one_of(SourceKind),
            "address": _text,
            "width": _whole(320, 7680, " (the legal floor is 320x240, R-QUALITY)"),
            "height": _whole(240, 4320, " (the legal floor is 320x240, R-QUALITY)"),
            "fps": _whole(15, 120, " (the legal floor is 15, R-QUALITY)"),
            "segment_s": _number(1, 60),
            "bitrate_kbps": _whole(64, 100_000),
            "read_timeout_s": _number(0.5, 60),
            "address_file": _path,
        },
    ),
    "bell": _Section(
        BellConfig,
        {
            "wiring": _one_of(BellConfig.__annotations__["wiring"]),
            "driver": _one_of(BellConfig.__annotations__["driver"]),
            "chip": _text,
            "adc": _one_of(Literal["mcp3008", "ads1115"]),
            "adc_channel": _whole(0, 7),
            "adc_address": _whole(0, 0x4B),
            "adc_bus": _path,
            "no_pin": _PIN,
            "nc_pin": _PIN,
            "white_pin": _PIN,
            "red_pin": _PIN,
            "green_pin": _PIN,
            "siren_pin": _PIN,
            "call112_pin": _PIN,
            "lamp_sense_pin": _PIN,
            "key_switch_pin": _PIN,
            "debounce_ms": _whole(5, 500),
            "settle_ms": _whole(50, 2000),
            "mended_s": _number(5, 600),
            "stuck_s": _number(5, 600),
            "chatter_changes": _whole(10, 1000),
            "chatter_window_s": _number(1, 600),
            "simulate": _flag,
            "window_before_s": _number(0, 600),
            "window_after_s": _number(0, 600),
        },
    ),
    "health": _Section(
        HealthConfig,
        {"heartbeat_s": _number(1, 300), "probe_s": _number(0.5, 60), "system_root": _path},
    ),
}
_TOP: Mapping[str, Check] = {"run_dir": _path, "state_dir": _path}


def load_config(path: Path, check_files: bool = False, environ: Mapping[str, str] = os.environ) -> Config:
    """Read, check and return the configuration in `path`; `environ` may name $CREDENTIALS_DIRECTORY.

    Raises:
        ConfigError: the file cannot be read, is not TOML, or holds mistakes; all of them, in `mistakes`.
    """
    reader = _Reader(_read_toml(path))
    values = reader.values()
    if reader.mistakes:
        raise ConfigError(reader.mistakes)
    config = _with_credentials(_build(values), environ)
    mistakes = _file_mistakes(config, environ) if check_files else []
    if mistakes:
        raise ConfigError(mistakes)
    return config


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise ConfigError([f"{path}: cannot be read ({exc.strerror}); name the file with --config"]) from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigError([f"{path}: is not TOML in UTF-8: {exc}"]) from exc


class _Reader:
    """Walks the parsed file once and gathers values and mistakes."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self.mistakes: list[str] = []

    def values(self) -> dict[str, Any]:
        known = [*_SECTIONS, *_TOP]
        for key in self._document:
            if key not in known:
                self._unknown(key, key, known)
        values = {
            key: self._value(key, self._document[key], check) for key, check in _TOP.items() if key in self._document
        }
        for name in _SECTIONS:
            if name != "camera":
                values[name] = self._table(name, self._document.get(name, {}), _SECTIONS[name])
        values["cameras"] = self._cameras(self._document.get("camera", []))
        self._bell_rules(values["bell"])
        self._socket_rule(values)
        return values

    def _socket_rule(self, values: dict[str, Any]) -> None:
        """A simulated bell listens on a unix socket in run_dir; the kernel bounds its path, and a loop of restarts
        would be all that one sees of a longer one."""
        run_dir = values.get("run_dir")
        if values["bell"].get("simulate") and run_dir is not None:
            over = len(os.fsencode(run_dir)) + len(SIMULATED_SOCKET) - SOCKET_PATH_BYTES
            if over > 0:
                self.mistakes.append(f"run_dir: is {over} bytes too long for the simulated bell's socket; shorten it")

    def _cameras(self, tables: object) -> list[dict[str, Any]]:
        if not isinstance(tables, list) or not tables:
            self.mistakes.append("camera: found none, at least one [[camera]] table is needed")
            return []
        cameras = [self._table(f"camera[{n}]", table, _SECTIONS["camera"]) for n, table in enumerate(tables)]
        seen: dict[str, int] = {}
        for number, camera in enumerate(cameras):
            first = seen.setdefault(str(camera.get("id")), number)
            if "id" in camera and first != number:
                self.mistakes.append(
                    f"camera[{number}].id: '{camera['id']}' is camera[{first}]'s already; ids are unique"
                )
            if camera.get("id") in SPOOL_NAMES:
                text = "is a name of the spool itself; take another, as in 'front'"
                self.mistakes.append(f"camera[{number}].id: found '{camera['id']}', which {text}")
            self._address_rules(f"camera[{number}]", camera)
        return cameras

    def _table(self, where: str, table: object, section: _Section) -> dict[str, Any]:
        if not isinstance(table, dict):
            self.mistakes.append(f"{where}: found {_shown(table)}, a table is needed")
            return {}
        for key in table:
            if key not in section.checks:
                self._unknown(f"{where}.{key}", key, section.checks)
        for key in sorted(section.required() - table.keys()):
            if not (key == "address" and "address_file" in table):
                self.mistakes.append(f"{where}.{key}: is missing and has no default")
        values = {
            key: self._value(f"{where}.{key}", table[key], section.checks[key])
            for key in table
            if key in section.checks
        }
        return {key: value for key, value in values.items() if value is not None}

    def _value(self, where: str, value: object, check: Check) -> Any:
        try:
            return check(value)
        except _RefusedError as exc:
            shown = "a value with a password" if isinstance(value, str) and _has_credentials(value) else _shown(value)
            self.mistakes.append(f"{where}: found {shown}, {exc}")
            return None

    def _unknown(self, where: str, key: str, known: Iterable[str]) -> None:
        if SOUND_WORDS & set(re.split(r"[_\-]", key.lower())):
            self.mistakes.append(f"{where}: {SOUND_LAW}")
        else:
            self.mistakes.append(f"{where}: is not a known key{_did_you_mean(key, known)}")

    def _address_rules(self, where: str, camera: dict[str, Any]) -> None:
        address, source = str(camera.get("address", "")), str(camera.get("source", ""))
        if "address_file" in camera and source not in ("", "rtsp"):
            self.mistakes.append(f"{where}.address_file: only for source 'rtsp'; write address instead")
        elif "address_file" in camera and "address" in camera:
            self.mistakes.append(f"{where}.address: stands beside address_file; write one of the two")
        elif address and source in _ADDRESSES and not _ADDRESSES[source].fullmatch(address):
            shown = "an address with a password" if _has_credentials(address) else _shown(address)
            self.mistakes.append(f"{where}.address: found {shown}, allowed for '{source}' is {_ADDRESS_HINTS[source]}")
        elif source == "rtsp" and _has_credentials(address):
            self.mistakes.append(
                f"{where}.address: holds a password; put the whole address into a file of mode 0600 "
                "and name that file as address_file"
            )

    def _bell_rules(self, bell: dict[str, Any]) -> None:
        self._wiring_rules(bell)
        self._adc_rules(bell)
        pins = {f.name: bell.get(f.name, f.default) for f in dataclasses.fields(BellConfig) if f.name.endswith("_pin")}
        pins = {name: pin for name, pin in pins.items() if pin is not None}
        for name in _UNWIRED.get(bell.get("wiring", ""), ()):
            pins.pop(name, None)
        if bell.get("driver") != "gpiod":
            self._raspberry_pi_rules(pins)
        users: dict[Any, str] = dict(_adc_pins(bell))
        for name, pin in pins.items():
            other = users.setdefault(pin, name)
            if other != name:
                self.mistakes.append(f"bell.{name}: pin {pin} is {other} already; each line needs a pin of its own")

    def _wiring_rules(self, bell: dict[str, Any]) -> None:
        if bell.get("wiring") == "no":
            if "nc_pin" in bell:
                self.mistakes.append(
                    "bell.nc_pin: wiring 'no' has no NC contact; remove the key, or write wiring = 'no-nc'"
                )
            bell["nc_pin"] = None
        if bell.get("wiring") == "eol":
            for name in ("no_pin", "nc_pin"):
                if name in bell:
                    self.mistakes.append(f"bell.{name}: wiring 'eol' has one input, the adc; remove the key")
            if "adc" not in bell and not bell.get("simulate"):
                self.mistakes.append("bell.adc: is missing; wiring 'eol' needs adc = 'mcp3008' or 'ads1115'")

    def _adc_rules(self, bell: dict[str, Any]) -> None:
        if bell.get("wiring") != "eol":
            for name in ("adc", "adc_channel", "adc_address", "adc_bus"):
                if name in bell:
                    self.mistakes.append(f"bell.{name}: only for wiring 'eol'; remove the key, or write wiring = 'eol'")
            return
        kind = str(bell.get("adc"))
        if kind == "mcp3008" and bell.get("driver") == "gpiod":
            self.mistakes.append("bell.adc: 'mcp3008' needs driver 'gpiozero'; take an 'ads1115' on this board")
        for name, (low, high, why) in _ADC_RANGES.get(kind, {}).items():
            if name in bell and not low <= bell[name] <= high:
                self.mistakes.append(f"bell.{name}: found {bell[name]}, allowed for '{kind}' is {low}..{high}{why}")

    def _raspberry_pi_rules(self, pins: dict[str, Any]) -> None:
        for name, pin in pins.items():
            if isinstance(pin, int) and pin > BCM_LAST:
                self.mistakes.append(
                    f"bell.{name}: found {pin}, allowed is a BCM number 0..{BCM_LAST}; or write driver = 'gpiod'"
                )
            elif pin == GPIO_SHUTDOWN and name in ("no_pin", "nc_pin"):
                self.mistakes.append(f"bell.{name}: found 3, which shuts a Raspberry Pi down; take another pin")


_UNWIRED: Mapping[str, tuple[str, ...]] = {"no": ("nc_pin",), "eol": ("no_pin", "nc_pin")}
_ADC_RANGES: Mapping[str, Mapping[str, tuple[int, int, str]]] = {
    "mcp3008": {"adc_channel": (0, 7, ""), "adc_address": (0, 1, " (the chip select)")},
    "ads1115": {"adc_channel": (0, 3, ""), "adc_address": (0x48, 0x4B, " (0x48..0x4b, by its ADDR pin)")},
}


def _adc_pins(bell: Mapping[str, Any]) -> dict[int, str]:
    """Return the pins of a Raspberry Pi that the ADC's bus takes."""
    if bell.get("wiring") != "eol" or bell.get("driver") == "gpiod":
        return {}
    if bell.get("adc") == "mcp3008":
        return dict.fromkeys((9, 10, 11, 7 if bell.get("adc_address") == 1 else 8), "the MCP3008's")
    return dict.fromkeys((2, 3), "the ADS1115's") if bell.get("adc") == "ads1115" else {}


_ADDRESSES: Mapping[str, re.Pattern[str]] = {
    "rtsp": re.compile(r"rtsps?://\S+"),
    "v4l2": re.compile(r"/dev/\S+"),
    "picamera2": re.compile(r"\d+"),
}
_ADDRESS_HINTS: Mapping[str, str] = {
    "rtsp": "'rtsp://host[:port]/path'",
    "v4l2": "a device such as '/dev/video0'",
    "picamera2": "the camera's number in quotes, such as '0'",
}


def _has_credentials(address: str) -> bool:
    return "@" in address.split("://", 1)[-1].split("/", 1)[0]


def _shown(value: object) -> str:
    text = repr(value) if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _build(values: dict[str, Any]) -> Config:
    cameras = tuple(CameraConfig(**{"address": "", **camera}) for camera in values["cameras"])
    parts = {name: section.kind(**values[name]) for name, section in _SECTIONS.items() if name != "camera"}
    top = {key: values[key] for key in _TOP if key in values}
    return Config(cameras=cameras, **parts, **top)


def _with_credentials(config: Config, environ: Mapping[str, str]) -> Config:
    """Take secret files from systemd's credentials where one of the same file name was passed."""

    def passed(path: Path) -> Path:
        directory = environ.get("CREDENTIALS_DIRECTORY", "")
        credential = Path(directory) / path.name
        return credential if directory and credential.is_file() else path

    center = dataclasses.replace(config.center, key_file=passed(config.center.key_file))
    cameras = tuple(
        dataclasses.replace(camera, address_file=passed(camera.address_file)) if camera.address_file else camera
        for camera in config.cameras
    )
    return dataclasses.replace(config, center=center, cameras=cameras)


def _file_mistakes(config: Config, environ: Mapping[str, str]) -> list[str]:
    center, cameras = config.center, config.cameras
    named: list[tuple[str, Path, int]] = [
        ("center.ca_file", center.ca_file, 0o777),
        ("center.cert_file", center.cert_file, 0o777),
        ("center.key_file", center.key_file, 0o770),
        ("sealing.recipients_file", config.sealing.recipients_file, 0o777),
    ]
    named += [(f"camera[{n}].address_file", c.address_file, 0o700) for n, c in enumerate(cameras) if c.address_file]
    credentials = Path(environ.get("CREDENTIALS_DIRECTORY", "/nonexistent"))
    mistakes = []
    for key, path, widest in named:
        try:
            mode = stat.S_IMODE(path.stat().st_mode) if path.is_file() else None
        except OSError as exc:
            mistakes.append(f"{key}: {path} cannot be looked at ({exc.strerror}); run the check as root")
            continue
        if mode is None:
            mistakes.append(f"{key}: no file {path}")
        elif mode & ~widest and path.parent != credentials:
            mistakes.append(f"{key}: {path} has mode {mode:04o}; chmod {widest & 0o600:04o} keeps others out")
    return mistakes
