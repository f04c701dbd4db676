"""What every benchmark shares: the machine it ran on, medians and p99, one JSON object on standard output.

Run benchmarks as scripts (`python tests/bench/bench_sealing.py`); they import this as `from measure import ...`.
"""

import json
import math
import os
import platform
import statistics
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

_PACKAGES = ("av", "cryptography", "gpiozero", "httpx", "msgspec", "paho-mqtt", "psutil", "pyrage", "starlette")


def machine() -> dict[str, Any]:
    """Return where the numbers come from: processor, cores, kernel, Python and the versions of our libraries."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
        "architecture": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "packages": {name: version for name in _PACKAGES if (version := _version(name))},
    }


def summary(values_s: Sequence[float]) -> dict[str, float | int]:
    """Return median, p99 (nearest rank) and count of the values, in their own unit; None-free: needs one value."""
    ordered = sorted(values_s)
    return {
        "median": statistics.median(ordered),
        "p99": ordered[math.ceil(len(ordered) * 0.99) - 1],
        "n": len(ordered),
    }


def print_json(result: object) -> None:
    """Print one JSON object, the only thing a benchmark writes to standard output."""
    json.dump(result, sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith(("model name", "Model")):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
