"""The center's configuration: `center.toml` as values.

Rules:
* every mistake is reported at once, each sentence beginning with its key; an unknown key names the nearest known;
* secrets are file paths, never values; a relative path counts from the folder of the file;
* `load_config` looks at the file only: whether a key file exists is said by the process that needs it.
"""

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from center.errors import ConfigError


@dataclass(frozen=True)
class IngestConfig:
    """Where segments arrive (HTTPS, mutual TLS). `crl_file` lists revoked certificates, None checks none."""

    host: str
    port: int
    cert_file: Path
    key_file: Path
    ca_file: Path
    crl_file: Path | None = None
    min_free_bytes: int = 1 << 30


@dataclass(frozen=True)
class BrokerConfig:
    """The MQTT broker and the center's two identities there (one slow reader must not starve alarms: FACTS)."""

    host: str
    port: int
    ca_file: Path
    alarms_cert_file: Path
    alarms_key_file: Path
    telemetry_cert_file: Path
    telemetry_key_file: Path


@dataclass(frozen=True)
class ReceiptConfig:
    """`key_file` holds the key that signs receipts (C2SP signed-note, `PRIVATE+KEY+...`)."""

    key_file: Path


@dataclass(frozen=True)
class CustodianConfig:
    """`key_dir` holds the private age identities (0600) and the public `recipients.json`.

    `recipients_file` is the list that goes to the poles; without it, `recipients.txt` beside `key_dir`.
    """

    key_dir: Path
    recipients_file: Path | None = None

    @property
    def pole_list(self) -> Path:
        """Return the path of the list that goes to the poles."""
        return self.recipients_file or self.key_dir.parent / "recipients.txt"


@dataclass(frozen=True)
class ConsoleConfig:
    """Where the web pages are served, always over TLS; with client certificates unless `host` is loopback (ADR 0002).

    Without `cert_file`, `key_file` or `ca_file` those of ingest serve. `places_file` is a JSON object pole -> place
    in words. `simulated_bell_socket` is the demo agent's `run_dir/bell.sock`, used only with `simulation = true`.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    cert_file: Path | None = None
    key_file: Path | None = None
    ca_file: Path | None = None
    places_file: Path | None = None
    simulation: bool = False
    simulated_bell_socket: Path | None = None


@dataclass(frozen=True)
class EscalationConfig:
    """When an unanswered call climbs, in seconds from its commit, and the hook at the end (docs/design/center.md).

    `hook_command` is an argument list, run without a shell; `hook_url` an https address; at most one of them.
    `hook_token_file` holds a bearer token, `hook_ca_file` the authority of that server where it is the town's own.
    """

    second_s: float = 15.0
    wall_s: float = 30.0
    hook_s: float = 60.0
    hook_command: tuple[str, ...] = ()
    hook_url: str = ""
    hook_ca_file: Path | None = None
    hook_token_file: Path | None = None
    hook_timeout_s: float = 10.0
    hook_attempts: int = 5


@dataclass(frozen=True)
class CenterConfig:
    """The whole file. `silent_after_s`: how long overdue a pole may be before it counts as silent (N8).

    `pki_dir` is the certificate authority's folder, None where it is kept on another machine.
    """

    state_dir: Path
    ingest: IngestConfig
    broker: BrokerConfig
    receipts: ReceiptConfig
    custodian: CustodianConfig
    console: ConsoleConfig = ConsoleConfig()
    escalation: EscalationConfig = EscalationConfig()
    silent_after_s: float = 20.0
    pki_dir: Path | None = None

    @property
    def database(self) -> Path:
        """Return the path of the center's SQLite database."""
        return self.state_dir / "center.sqlite"

    @property
    def objects_dir(self) -> Path:
        """Return the folder of the sealed segments."""
        return self.state_dir / "objects"


@dataclass(frozen=True)
class _Key:
    """One key of the file: `kind` is str, int, float, bool, Path, or tuple for a list of texts; bounds for numbers."""

    kind: type[Any]
    default: Any = None
    required: bool = False
    least: float | None = None
    most: float | None = None


_HOST = _Key(str, required=True)
_PORT = _Key(int, required=True, least=1, most=65535)
_FILE = _Key(Path, required=True)

_TOP = {"state_dir": _FILE, "pki_dir": _Key(Path), "silent_after_s": _Key(float, 20.0, least=1, most=3600)}
_TABLES: dict[str, dict[str, _Key]] = {
    "ingest": {
        "host": _HOST,
        "port": _PORT,
        "cert_file": _FILE,
        "key_file": _FILE,
        "ca_file": _FILE,
        "crl_file": _Key(Path),
        "min_free_bytes": _Key(int, 1 << 30, least=0),
    },
    "broker": {
        "host": _HOST,
        "port": _PORT,
        "ca_file": _FILE,
        "alarms_cert_file": _FILE,
        "alarms_key_file": _FILE,
        "telemetry_cert_file": _FILE,
        "telemetry_key_file": _FILE,
    },
    "receipts": {"key_file": _FILE},
    "custodian": {"key_dir": _FILE, "recipients_file": _Key(Path)},
    "console": {
        "host": _Key(str, "127.0.0.1"),
        "port": _Key(int, 8080, least=1, most=65535),
        "cert_file": _Key(Path),
        "key_file": _Key(Path),
        "ca_file": _Key(Path),
        "places_file": _Key(Path),
        "simulation": _Key(bool, False),
        "simulated_bell_socket": _Key(Path),
    },
    "escalation": {
        "second_s": _Key(float, 15.0, least=1, most=3600),
        "wall_s": _Key(float, 30.0, least=1, most=3600),
        "hook_s": _Key(float, 60.0, least=1, most=3600),
        "hook_command": _Key(tuple, ()),
        "hook_url": _Key(str, ""),
        "hook_ca_file": _Key(Path),
        "hook_token_file": _Key(Path),
        "hook_timeout_s": _Key(float, 10.0, least=1, most=60),
        "hook_attempts": _Key(int, 5, least=1, most=20),
    },
}


def load_config(file: Path) -> CenterConfig:
    """Read `center.toml`.

    Raises:
        ConfigError: the file is missing, not TOML, or wrong; with every mistake.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError([f"{file}: cannot be read ({exc}); make one with `pole-center init DIR`"]) from exc
    return parse_config(text, file.parent)


def parse_config(text: str, base: Path) -> CenterConfig:
    """Read the text of `center.toml`; relative paths count from `base`.

    Raises:
        ConfigError: not TOML, or wrong; with every mistake.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError([f"center.toml: not valid TOML: {exc}"]) from exc
    mistakes: list[str] = []
    for name in document:
        if name not in _TOP and name not in _TABLES:
            mistakes.append(_unknown(name, name, [*_TOP, *_TABLES]))
    plain = {name: value for name, value in document.items() if name in _TOP}
    top = _read_table("", plain, _TOP, base, mistakes)
    tables = {name: _read_section(name, document, base, mistakes) for name in _TABLES}
    mistakes += _escalation_mistakes(tables["escalation"])
    if mistakes:
        raise ConfigError(mistakes)
    return CenterConfig(
        **top,
        ingest=IngestConfig(**tables["ingest"]),
        broker=BrokerConfig(**tables["broker"]),
        receipts=ReceiptConfig(**tables["receipts"]),
        custodian=CustodianConfig(**tables["custodian"]),
        console=ConsoleConfig(**tables["console"]),
        escalation=EscalationConfig(**tables["escalation"]),
    )


def _escalation_mistakes(table: Mapping[str, Any]) -> list[str]:
    """Return what is wrong between the keys of [escalation]; `table` may be empty or hold wrong values' defaults."""
    mistakes: list[str] = []
    if not table:
        return mistakes
    if not table["second_s"] < table["wall_s"] < table["hook_s"]:
        mistakes.append("escalation.second_s: the delays must rise: second_s, then wall_s, then hook_s")
    command, url = table["hook_command"], table["hook_url"]
    if command and url:
        mistakes.append("escalation.hook_url: only one of hook_command and hook_url; remove the other")
    if command and not command[0].startswith("/"):
        mistakes.append(f"escalation.hook_command: {command[0]!r} must be an absolute path; nothing is looked up")
    if url and not _is_https(url):
        mistakes.append(f"escalation.hook_url: {url!r} must be an https address with a host")
    if not url:
        names = [name for name in ("hook_ca_file", "hook_token_file") if table[name] is not None]
        mistakes += [f"escalation.{name}: is of no use without hook_url" for name in names]
    return mistakes


def _is_https(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return (
            parts.scheme == "https" and bool(parts.hostname) and parts.port != 0 and url.isascii() and url.isprintable()
        )
    except ValueError:  # a port that is no number
        return False


def _read_section(name: str, document: Mapping[str, Any], base: Path, mistakes: list[str]) -> dict[str, Any]:
    table = document.get(name, {})
    if not isinstance(table, dict):
        mistakes.append(f"{name}: must be a table; write [{name}] on a line of its own")
        return {}
    return _read_table(f"{name}.", table, _TABLES[name], base, mistakes)


def _read_table(
    prefix: str, table: Mapping[str, Any], keys: Mapping[str, _Key], base: Path, mistakes: list[str]
) -> dict[str, Any]:
    values = {}
    for name in table:
        if name not in keys:
            mistakes.append(_unknown(prefix + name, name, list(keys)))
    for name, key in keys.items():
        if name not in table:
            if key.required:
                mistakes.append(f"{prefix}{name}: is missing; it has no default")
            values[name] = key.default
            continue
        values[name] = _read_value(prefix + name, table[name], key, base, mistakes)
    return values


def _read_value(label: str, value: Any, key: _Key, base: Path, mistakes: list[str]) -> Any:
    if key.kind is tuple:
        return _read_texts(label, value, mistakes)
    wanted: type[Any] = str if key.kind is Path else key.kind
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
        mistakes.append(f"{label}: must be {_NAMES[wanted]}, not {value!r}")
        return key.default
    if wanted is str and not value:
        mistakes.append(f"{label}: must not be empty")
    if key.kind is Path:
        return base / value
    if (key.least is not None and value < key.least) or (key.most is not None and value > key.most):
        bound = f"at least {key.least:g}" if key.most is None else f"between {key.least:g} and {key.most:g}"
        mistakes.append(f"{label}: must be {bound}, not {value!r}")
    return value


def _read_texts(label: str, value: Any, mistakes: list[str]) -> tuple[str, ...]:
    if isinstance(value, list) and value and all(isinstance(word, str) and "\0" not in word for word in value):
        return tuple(value)
    mistakes.append(f'{label}: must be a list of texts like ["/usr/bin/program", "--word"], not {value!r}')
    return ()


_NAMES: dict[type[Any], str] = {
    str: "a text in quotes",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
}


def _unknown(label: str, name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"{label}: is not a key" + (f"; did you mean {near[0]}?" if near else f"; known: {', '.join(known)}")
