"""N1: CPU and memory of recording, sealing, hashing, syncing and spooling, against ffmpeg and ffmpeg + age.

Usage: python tests/bench/bench_recording.py [--minutes N] [--rounds N] [--paced-s N] [--cache DIR]

The same 1080p30 4 Mbit/s H.264 clip is recorded as fast as it can be read, once `--minutes` and once one minute long;
`steady` is the difference per minute of video, without start-up. Ours syncs at the end of each fragment (2 s of video),
which is what "about every 2 s" is in real time. `paced` is ours in real time for `--paced-s` seconds, waits, polls and
status included, less the same service's start. CPU is user + system of the whole process tree (wait4).
`cipher_and_digest` is ChaCha20-Poly1305 and SHA-256 over one minute's bytes and nothing else: no recorder that seals
and names what it sealed by digest can need less.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from measure import machine, print_json

SEGMENT_S = 10
HERE = Path(__file__).resolve()
RECIPIENT_FILE = "recipients"


def clip(cache: Path, minutes: int) -> Path:
    """Return a clip of that many minutes: one minute is encoded once, longer ones repeat it by stream copy."""
    cache.mkdir(parents=True, exist_ok=True)
    one = cache / "1080p30-4M-1min.mp4"
    if not one.exists():
        source = "testsrc2=size=1920x1080:rate=30,noise=alls=12:allf=t"
        encoder = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -b:v 4M -minrate 4M -maxrate 4M -bufsize 4M"
        gop = "-x264-params nal-hrd=cbr:keyint=60:min-keyint=60:scenecut=0"
        words = f"ffmpeg -v error -y -f lavfi -i {source} -t 60 {encoder} {gop} {one}.new.mp4".split()
        subprocess.run(words, check=True, stdin=subprocess.DEVNULL)
        Path(f"{one}.new.mp4").rename(one)
    if minutes == 1:
        return one
    long = cache / f"1080p30-4M-{minutes}min.mp4"
    if not long.exists():
        words = f"ffmpeg -v error -y -stream_loop {minutes - 1} -i {one} -c copy {long}.new.mp4".split()
        subprocess.run(words, check=True, stdin=subprocess.DEVNULL)
        Path(f"{long}.new.mp4").rename(long)
    return long


def measured(command: list[str]) -> dict[str, float]:
    """Run one process and return its CPU seconds, peak memory and wall time."""
    started = time.monotonic()
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise SystemExit(f"{command[0]} ended with {child.returncode}")
    return {
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_rss_mib": usage.ru_maxrss / 1024,
        "wall_s": time.monotonic() - started,
    }


def ours(video: Path, work: Path, paced_s: float = 0.0) -> dict[str, float]:
    """Record `video` with the camera service in a process of its own."""
    return measured([sys.executable, str(HERE), "--child", str(video), str(work), str(paced_s)])


def ffmpeg(video: Path, work: Path) -> dict[str, float]:
    """Cut `video` with ffmpeg alone."""
    out = str(work / "%05d.mp4")
    command = ["ffmpeg", "-v", "error", "-i", str(video), "-c", "copy", "-f", "segment"]
    return measured([*command, "-segment_time", str(SEGMENT_S), "-reset_timestamps", "1", out])


def ffmpeg_and_age(video: Path, work: Path) -> dict[str, float]:
    """Cut with ffmpeg, then seal each segment with the age tool."""
    total = ffmpeg(video, work)
    recipient = str(work.parent / RECIPIENT_FILE)
    for segment in sorted(work.glob("*.mp4")):
        sealed = measured(["age", "-R", recipient, "-o", f"{segment}.age", str(segment)])
        total["cpu_s"] += sealed["cpu_s"]
        total["wall_s"] += sealed["wall_s"]
        total["peak_rss_mib"] = max(total["peak_rss_mib"], sealed["peak_rss_mib"])
    return total


def compare(cache: Path, minutes: int, rounds: int) -> dict[str, Any]:
    """Run each case on both lengths, in turns, and keep the least CPU of each (the least disturbed round)."""
    cases = {"ours": ours, "ffmpeg_segment": ffmpeg, "ffmpeg_and_age": ffmpeg_and_age}
    best: dict[tuple[str, int], dict[str, float]] = {}
    for _ in range(rounds):
        for name, case in cases.items():
            for length in (1, minutes):
                result = in_directory(cache, lambda work, c=case, n=length: c(clip(cache, n), work))
                known = best.get((name, length))
                if known is None or result["cpu_s"] < known["cpu_s"]:
                    best[name, length] = result
    table: dict[str, Any] = {}
    for name in cases:
        steady = (best[name, minutes]["cpu_s"] - best[name, 1]["cpu_s"]) / (minutes - 1)
        table[name] = {
            "whole": best[name, minutes],
            "one_minute": best[name, 1],
            "steady_cpu_s_per_minute": steady,
            "steady_core_percent": steady / 60 * 100,
        }
    return table


def cipher_and_digest(cache: Path, rounds: int) -> float:
    """Return the CPU seconds of sealing and hashing one minute of the clip, 64 KiB at a time, from warm buffers."""
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    chunk = os.urandom(65536)
    sealed = bytearray(len(chunk) + 16)
    chunks = clip(cache, 1).stat().st_size // len(chunk)
    spent = []
    for _ in range(rounds):
        cipher, digest = ChaCha20Poly1305(os.urandom(32)), hashlib.sha256()
        started = time.process_time()
        for number in range(chunks):
            cipher.encrypt_into(number.to_bytes(12, "big"), chunk, None, sealed)
            digest.update(sealed)
        spent.append(time.process_time() - started)
    return min(spent)


def in_directory(cache: Path, run: Any) -> dict[str, float]:
    """Give a case a fresh directory on the cache's disk, with a recipients file beside it."""
    with tempfile.TemporaryDirectory(dir=cache) as root:
        shutil.copyfile(cache / RECIPIENT_FILE, Path(root) / RECIPIENT_FILE)
        work = Path(root) / "work"
        work.mkdir()
        result: dict[str, float] = run(work)
        return result


def memory_directory(work: Path) -> Path:
    """Return where the status file goes: /run is in memory on a pole, on a disk each rename would be flushed."""
    shared = Path("/dev/shm")  # a fresh name below it, as /run has on a pole
    return shared / f"bench-{os.getpid()}" if shared.is_dir() else work / "run"


def child(video: Path, work: Path, paced_s: float) -> int:
    """Record a clip to its end (or for `paced_s` seconds in real time) with the real service."""
    from agent.camera.replay_source import ReplaySource
    from agent.clock import SystemClock
    from agent.config import CameraConfig, CenterConfig, Config, PoleConfig, SealingConfig, SpoolConfig
    from agent.recording import sealer
    from agent.wiring.camera import assemble

    clock = SystemClock()
    camera = CameraConfig("cam1", "M-1", "traffic", "replay", str(video), 1920, 1080, 30, float(SEGMENT_S))
    config = Config(
        PoleConfig("p1", "zone-1", "bench", 30),
        CenterConfig("", "", 0, work, work, work, ""),
        SealingConfig(work.parent / RECIPIENT_FILE),
        SpoolConfig(work / "spool", 1 << 36, 0),
        (camera,),
        run_dir=memory_directory(work),
        state_dir=work,
    )
    if not paced_s:
        sealer.SYNC_S = 0.0

    opened: list[ReplaySource] = []

    def make_source() -> ReplaySource:
        if opened and not paced_s:
            service.request_stop()
        opened.append(ReplaySource(video, clock, paced=bool(paced_s), loop=bool(paced_s)))
        return opened[-1]

    service = assemble(config, camera, make_source, clock)
    if paced_s:
        threading.Timer(paced_s, service.request_stop).start()
    try:
        return service.run()
    finally:
        shutil.rmtree(config.run_dir, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--paced-s", type=float, default=60.0)
    parser.add_argument("--cache", type=Path, default=HERE.parents[2] / ".cache" / "bench")
    words = parser.parse_args()
    words.cache.mkdir(parents=True, exist_ok=True)
    from agent.contract.age_format import generate_identity

    (words.cache / RECIPIENT_FILE).write_text(f"{generate_identity()[1]}\n")
    clip(words.cache, words.minutes)
    table = compare(words.cache, words.minutes, words.rounds)
    mine, alone, both = (
        table[name]["steady_cpu_s_per_minute"] for name in ("ours", "ffmpeg_segment", "ffmpeg_and_age")
    )
    result: dict[str, Any] = {
        "benchmark": "N1 recording, 1080p30 4 Mbit/s H.264 passthrough",
        "machine": machine(),
        "minutes": words.minutes,
        "rounds": words.rounds,
        "cases": table,
        "cipher_and_digest_cpu_s_per_minute": cipher_and_digest(words.cache, words.rounds),
        "ratio_to_ffmpeg": {"value": mine / alone, "goal": "<= 1.0"},
        "ratio_to_ffmpeg_and_age": {"value": mine / both, "goal": "<= 0.7"},
        "core_percent": {"value": mine / 60 * 100, "goal": "<= 0.3"},
    }
    if words.paced_s:
        result["paced"] = paced(words.cache, words.paced_s)
    print_json(result)


def paced(cache: Path, seconds: float) -> dict[str, float]:
    """Return the core's share of the service in real time, its start taken off."""
    short_s = 5.0
    one = clip(cache, 1)
    short = in_directory(cache, lambda work: ours(one, work, short_s))
    long = in_directory(cache, lambda work: ours(one, work, short_s + seconds))
    return {
        "seconds": seconds,
        "cpu_s": long["cpu_s"] - short["cpu_s"],
        "core_percent": (long["cpu_s"] - short["cpu_s"]) / seconds * 100,
        "peak_rss_mib": long["peak_rss_mib"],
    }


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        sys.exit(child(Path(sys.argv[2]), Path(sys.argv[3]), float(sys.argv[4])))
    main()
