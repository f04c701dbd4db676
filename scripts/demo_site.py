"""Lays out a demo site on disk: a center, its broker and one pole, each with its own certificates.

Rules: nothing is ever overwritten that a second start must continue with (keys, ports, spool, database);
the pole's configuration is written anew each time, because the footage may be another.
"""

import contextlib
import hashlib
import json
import os
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from av_demo_clip import draw_clip

POLE = "demo-pole-1"
PLACE = "시연 골목 1 (Demo Alley 1)"
OPERATOR = "demo-operator"
ZONE = "demo"
OFFICERS = (("demo-crew", "crew"), ("demo-supervisor", "supervisor"))
CAMERAS = ("front", "gate")
BIN = Path(sys.executable).parent
RUN_DIR_BYTES = 80  # what 107 leave beside the socket's own name


@dataclass(frozen=True)
class Ports:
    """Loopback ports of the site, chosen once."""

    broker: int
    ingest: int
    console: int


@dataclass(frozen=True)
class Site:
    """Where everything of the demo is."""

    root: Path
    ports: Ports
    sources: tuple[tuple[str, str], ...]

    @property
    def center(self) -> Path:
        """Return the center's folder."""
        return self.root / "center"

    @property
    def center_config(self) -> Path:
        """Return the center's configuration file."""
        return self.center / "center.toml"

    @property
    def command_keys(self) -> Path:
        """Return the set of keys that may command the pole."""
        return self.center / "command-keys" / "command-keys.note"

    @property
    def pole_config(self) -> Path:
        """Return the pole's configuration file."""
        return self.root / "pole" / "pole.toml"

    @property
    def run_dir(self) -> Path:
        """Return the pole's run directory; short, because a unix socket's path may have 107 bytes.

        Below a long root it lies in the machine's folder for temporary files, under a name that a second start finds.
        """
        own = self.root / "pole" / "run"
        if len(os.fsencode(own)) <= RUN_DIR_BYTES:
            return own
        digest = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"pole-demo-{os.getuid()}-{digest}"

    @property
    def spool(self) -> Path:
        """Return the pole's spool."""
        return self.root / "pole" / "spool"

    @property
    def console_url(self) -> str:
        """Return the console's address without its entry token."""
        return f"https://127.0.0.1:{self.ports.console}"


def lay_out(root: Path, videos: Sequence[str], streams: Sequence[str], say: Callable[[str], None]) -> Site:
    """Make or find the site below `root` and return it.

    Raises:
        SystemExit: a step failed; its one sentence was said.
    """
    (root / "pole").mkdir(parents=True, exist_ok=True)
    site = Site(root, _ports(root / "ports.json"), _sources(root, videos, streams, say))
    if not site.center_config.exists():
        say("making the center: authority, keys, broker configuration")
        ports = [f"--{name}-port={port}" for name, port in site.ports.__dict__.items()]
        _center("init", str(site.center), f"--zone={ZONE}", *ports)
    _simulate_bell(site)
    _issue(site, "pole", "poles", POLE)
    _issue(site, "person", "people", OPERATOR)
    if not site.command_keys.exists():
        for words in (["init"], *(["add", officer, role] for officer, role in OFFICERS)):
            _center("command-keys", words[0], "--config", str(site.center_config), *words[1:])
    _own_directory(site.run_dir)
    site.pole_config.write_text(_pole_toml(site), encoding="utf-8")
    return site


def _own_directory(directory: Path) -> None:
    """Make a directory that only we reach; in a shared folder somebody else may have made the name before us."""
    directory.mkdir(mode=0o700, exist_ok=True)
    made = directory.lstat()
    if made.st_uid != os.getuid() or not stat.S_ISDIR(made.st_mode):
        raise SystemExit(f"demo: {directory} belongs to somebody else; name a shorter folder with --state DIR")


def _center(*words: str) -> None:
    done = subprocess.run([str(BIN / "pole-center"), *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"demo: pole-center {' '.join(words)} failed: {done.stderr.strip() or done.stdout.strip()}")


def _simulate_bell(site: Site) -> None:
    """Give the console its press button and the pole's place; `[console]` is the last table that `init` writes."""
    text = site.center_config.read_text(encoding="utf-8")
    if "simulated_bell_socket" not in text:
        places = site.center / "places.json"
        places.write_text(json.dumps({POLE: PLACE}, ensure_ascii=False), encoding="utf-8")
        button = (
            f'simulation = true\nsimulated_bell_socket = "{site.run_dir / "bell.sock"}"\nplaces_file = "{places}"\n'
        )
        site.center_config.write_text(text + button, encoding="utf-8")


def _issue(site: Site, kind: str, folder: str, name: str) -> None:
    if not (site.center / "pki" / folder / f"{name}.crt").exists():
        _center("pki", kind, "--config", str(site.center_config), name)


def _ports(file: Path) -> Ports:
    """Return the ports chosen at the first start; free ones then."""
    if file.exists():
        return Ports(**json.loads(file.read_text(encoding="utf-8")))
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(3)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        ports = Ports(*(each.getsockname()[1] for each in sockets))
    file.write_text(json.dumps(ports.__dict__), encoding="utf-8")
    return ports


def _sources(
    root: Path, videos: Sequence[str], streams: Sequence[str], say: Callable[[str], None]
) -> tuple[tuple[str, str], ...]:
    """Return (source, address) of each camera: the streams asked for, then the videos in turn, else a drawn clip.

    A stream serves one camera: some cameras refuse a second viewer that leaves their sound out.
    """
    chosen = [("rtsp", url) for url in streams][: len(CAMERAS)]
    for number, camera in enumerate(CAMERAS[len(chosen) :]):
        clip = Path(videos[number % len(videos)]).resolve() if videos else _drawn_clip(root / "video", camera, say)
        chosen.append(("replay", str(clip)))
    return tuple(chosen)


def _drawn_clip(directory: Path, camera: str, say: Callable[[str], None]) -> Path:
    directory.mkdir(exist_ok=True)
    clip = directory / f"{camera}.mp4"
    if not clip.exists():
        say(f"drawing footage for camera {camera}")
        draw_clip(clip, camera)
    return clip


def _pole_toml(site: Site) -> str:
    pki, ports = site.center / "pki", site.ports
    return f"""\
# written by scripts/demo at every start
run_dir = "{site.run_dir}"
state_dir = "{site.root / "pole" / "state"}"

[pole]
id = "{POLE}"
zone = "{ZONE}"
policy = "no-voice"
retention_days = 30

[center]
ingest_url = "https://127.0.0.1:{ports.ingest}"
broker_host = "127.0.0.1"
broker_port = {ports.broker}
ca_file = "{pki / "ca.crt"}"
cert_file = "{pki / "poles" / f"{POLE}.crt"}"
key_file = "{pki / "poles" / f"{POLE}.key"}"
command_keys_file = "{site.command_keys}"
receipt_key = "{(site.center / "receipt.vkey").read_text(encoding="utf-8").strip()}"

[sealing]
recipients_file = "{site.center / "recipients.txt"}"

[spool]
dir = "{site.spool}"
max_bytes = {4 << 30}
min_free_bytes = {64 << 20}

[bell]
simulate = true

[health]
heartbeat_s = 5
probe_s = 2
""" + "".join(_camera_toml(site.root, number, camera, *site.sources[number]) for number, camera in enumerate(CAMERAS))


def _camera_toml(root: Path, number: int, camera: str, source: str, address: str) -> str:
    """Return one camera's table; an address with a password goes into a file of its own (mode 0600)."""
    where = f"address = {json.dumps(address)}"
    if source == "rtsp" and "@" in address:
        secret = root / "pole" / f"{camera}.address"
        secret.touch(mode=0o600)
        secret.write_text(address, encoding="utf-8")
        where = f'address_file = "{secret}"'
    return f"""
[[camera]]
id = "{camera}"
management_number = "DEMO-{number + 1:04d}"
purpose = "crime-prevention"
source = "{source}"
{where}
width = 640
height = 480
fps = 15
"""
