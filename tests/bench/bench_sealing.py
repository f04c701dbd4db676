"""N4: how fast a segment is sealed, against raw ChaCha20-Poly1305 and other age tools in the same run.

Usage: python tests/bench/bench_sealing.py [--rounds N] [--bulk-mib N]

Two sizes: `segment` is 10 s of 4 Mbit/s video, where the cost per file shows; `bulk` shows the cost per byte.
Two references: `raw_one_shot` is `ChaCha20Poly1305.encrypt` of everything at once, which pays for a fresh output as
large as its input; `raw_one_shot_into` has its output ready. `ratio` is against the first, `ratio_into` against the
second; the goal is held against whichever is harder. The cases take turns, so that a slow moment hits all alike.
"""

import argparse
import hashlib
import io
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyrage
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from measure import machine, print_json, summary

from agent.contract.age_format import AgeWriter, generate_identity, open_age, parse_identity, parse_recipient

SEGMENT_BYTES = 5_000_000
FRAME_BYTES = 4096
IDENTITY, RECIPIENT = generate_identity()
PARSED_RECIPIENT = parse_recipient(RECIPIENT)  # a camera parses its day's recipient once
Case = Callable[[], object]


def drop(sealed: memoryview) -> None:
    """Take sealed bytes and forget them: the disk is another benchmark's subject."""


def raw_cases(clear: bytes) -> dict[str, Case]:
    """Return the two references."""
    cipher = ChaCha20Poly1305(os.urandom(32))
    ready = bytearray(len(clear) + 16)
    return {
        "raw_one_shot": lambda: cipher.encrypt(os.urandom(12), clear, None),
        "raw_one_shot_into": lambda: cipher.encrypt_into(os.urandom(12), clear, None, ready),
    }


def seal_pieces(pieces: list[bytes], sink: Callable[[memoryview], object]) -> None:
    """Seal one file with our writer, one write() per piece."""
    writer = AgeWriter(sink, [PARSED_RECIPIENT])
    for piece in pieces:
        writer.write(piece)
    writer.close()


def our_cases(clear: bytes) -> dict[str, Case]:
    """Return our writer fed with large and with frame-sized pieces, and with the digest that a record needs."""
    large = [clear[i : i + 2**20] for i in range(0, len(clear), 2**20)]
    frames = [clear[i : i + FRAME_BYTES] for i in range(0, len(clear), FRAME_BYTES)]
    return {
        "writer_1mib_writes": lambda: seal_pieces(large, drop),
        "writer_4kb_writes": lambda: seal_pieces(frames, drop),
        "writer_4kb_writes_sha256": lambda: seal_pieces(frames, hashlib.sha256().update),
    }


def other_cases(clear: bytes, directory: Path) -> dict[str, Case]:
    """Return pyrage (whole file in memory) and, where it is installed, the age tool (a process per file)."""
    recipient = pyrage.x25519.Recipient.from_str(RECIPIENT)
    cases: dict[str, Case] = {"pyrage": lambda: pyrage.encrypt(clear, [recipient])}
    if shutil.which("age"):
        source = directory / "clear"
        source.write_bytes(clear)
        command = ["age", "-r", RECIPIENT, "-o", str(directory / "clear.age"), str(source)]
        cases["age_tool"] = lambda: subprocess.run(command, check=True)
    return cases


def check_opens(clear: bytes) -> None:
    """Refuse to measure a writer whose output does not open."""
    sealed = bytearray()
    seal_pieces([clear[i : i + FRAME_BYTES] for i in range(0, len(clear), FRAME_BYTES)], sealed.extend)
    if open_age(io.BytesIO(sealed), [parse_identity(IDENTITY)]).read() != clear:
        raise SystemExit("what the writer sealed does not open: no numbers")


def measure(size: int, rounds: int) -> dict[str, Any]:
    """Return every case's numbers for files of `size` bytes."""
    clear = os.urandom(size)
    check_opens(clear)
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as directory:
        cases = raw_cases(clear) | our_cases(clear) | other_cases(clear, Path(directory))
        taken_s = rounds_of(cases, rounds)
    medians = {name: summary(values)["median"] for name, values in taken_s.items()}
    return {"bytes": size} | {
        name: {
            "seconds": summary(values),
            "mb_per_s": round(size / medians[name] / 1e6, 1),
            "ratio": round(medians["raw_one_shot"] / medians[name], 3),
            "ratio_into": round(medians["raw_one_shot_into"] / medians[name], 3),
        }
        for name, values in taken_s.items()
    }


def rounds_of(cases: dict[str, Case], rounds: int) -> dict[str, list[float]]:
    """Run all cases in turn, once to warm up and then `rounds` times; return their wall-clock seconds."""
    taken_s: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(rounds + 1):
        for name, case in cases.items():
            start = time.perf_counter()
            case()
            if number:
                taken_s[name].append(time.perf_counter() - start)
    return taken_s


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="sealing throughput (N4)")
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--bulk-mib", type=int, default=64)
    arguments = parser.parse_args()
    segment = measure(SEGMENT_BYTES, arguments.rounds)
    bulk = measure(arguments.bulk_mib * 2**20, arguments.rounds)
    ours = [size[case] for size in (segment, bulk) for case in ("writer_1mib_writes", "writer_4kb_writes")]
    lowest = min(min(numbers["ratio"], numbers["ratio_into"]) for numbers in ours)
    print_json(
        {
            "id": "N4",
            "what": "sealing throughput",
            "goal": "lowest ratio of the writer alone, any size, against either reference >= 0.6",
            "lowest_ratio": lowest,
            "reached": lowest >= 0.6,
            "segment": segment,
            "bulk": bulk,
            "age_tool_version": age_version(),
            "machine": machine(),
        }
    )


def age_version() -> str | None:
    """Return what the age tool calls itself."""
    if not shutil.which("age"):
        return None
    return subprocess.run(["age", "--version"], capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    main()
