"""N3: from starting `pole-agent camera` to READY=1 on the service manager's socket, against `python -c pass`.

Usage: python tests/bench/bench_start.py [--rounds N]

The service is the real command with a real configuration file, a replayed clip and a fresh run directory; the time is
taken from before the process exists until the datagram arrives. Both cases take turns.
"""

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measure import machine, print_json, summary

from agent.contract.age_format import generate_identity

PATIENCE_S = 20.0
CONFIG = """
run_dir = "{root}/run"
state_dir = "{root}/state"

[pole]
id = "bench-0001"
zone = "bench"
policy = "yeosu"
retention_days = 30

[center]
ingest_url = "https://127.0.0.1:8443"
broker_host = "127.0.0.1"
broker_port = 8883
ca_file = "{root}/ca.pem"
cert_file = "{root}/pole.pem"
key_file = "{root}/pole.key"
receipt_key = "{receipt_key}"

[sealing]
recipients_file = "{root}/recipients"

[spool]
dir = "{root}/spool"
max_bytes = 1073741824
min_free_bytes = 1048576

[[camera]]
id = "front"
management_number = "M-1"
purpose = "traffic"
source = "replay"
address = "{root}/clip.mp4"
width = 320
height = 240
fps = 15
"""


def lay_out(root: Path) -> Path:
    """Write a pole's files and return its configuration."""
    make = "ffmpeg -v error -f lavfi -i testsrc=size=320x240:rate=15 -t 2 -c:v libx264 -pix_fmt yuv420p -g 15"
    subprocess.run([*make.split(), str(root / "clip.mp4")], check=True, stdin=subprocess.DEVNULL)
    (root / "recipients").write_text(f"{generate_identity()[1]}\n")
    for name in ("ca.pem", "pole.pem", "pole.key"):
        (root / name).write_text("")
    config = root / "pole.toml"
    config.write_text(CONFIG.format(root=root, receipt_key=receipt_key()))
    return config


def receipt_key() -> str:
    """Return a verifier key of the right form; nothing is verified with it here."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from agent.contract.signed_note import NoteSigner

    return NoteSigner("bench", Ed25519PrivateKey.generate()).verifier_key


def start_s(config: Path, root: Path) -> float:
    """Start the service once and return the seconds until it said READY."""
    address = root / "notify"
    address.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(address))
        listener.settimeout(PATIENCE_S)
        started = time.monotonic()
        command = [sys.executable, "-m", "agent", "camera", "--config", str(config), "--id", "front"]
        environment = os.environ | {"NOTIFY_SOCKET": str(address)}
        service = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
        try:
            while b"READY=1" not in listener.recv(4096):
                pass
            return time.monotonic() - started
        except TimeoutError:
            service.kill()
            raise SystemExit(f"the service never was ready: {service.communicate()[1].decode()}") from None
        finally:
            service.send_signal(signal.SIGTERM)
            service.communicate(timeout=PATIENCE_S)


def pass_s() -> float:
    """Return the seconds that the bare interpreter takes."""
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    return time.monotonic() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    words = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="bench-start-"))
    try:
        config = lay_out(root)
        start_s(config, root)  # compiles and reads from disk what later starts find in memory
        starts, bare = [], []
        for _ in range(words.rounds):
            starts.append(start_s(config, root))
            bare.append(pass_s())
    finally:
        shutil.rmtree(root)
    print_json(
        {
            "benchmark": "N3 start of pole-agent camera to READY",
            "machine": machine(),
            "start_to_ready_s": summary(starts),
            "python_pass_s": summary(bare),
            "goal": "<= 1.0 s",
        }
    )


if __name__ == "__main__":
    main()
