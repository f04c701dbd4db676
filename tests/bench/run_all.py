"""Run every benchmark and write docs/benchmarks.md from what they printed.

Usage: python tests/bench/run_all.py [NAME...] — NAME is the part after `bench_`; without names all of them run.
The raw JSON of each stands in docs/benchmarks/, so that running one alone keeps the others' numbers on the page.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "benchmarks.md"
RAW = PAGE.with_suffix("")
HEAD = """# Benchmarks

Written by `make bench`; do not edit. Each benchmark measures its reference in the same run and never passes or fails
by time. What to reach is in each "goal"; a goal that was not reached is left standing beside its number.
"""


def main(names: list[str]) -> int:
    """Run the benchmarks, one after another, and return 1 when one failed to run at all; `--page` runs none."""
    RAW.mkdir(exist_ok=True)
    failed = [path.stem for path in ([] if names == ["--page"] else _chosen(names)) if not _run(path)]
    PAGE.write_text(HEAD + "".join(_section(json.loads(file.read_text())) for file in sorted(RAW.glob("*.json"))))
    if failed:
        print(f"bench: failed to run: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _chosen(names: list[str]) -> list[Path]:
    return [HERE / f"bench_{name}.py" for name in names] or sorted(HERE.glob("bench_*.py"))


def _run(path: Path) -> bool:
    print(f"bench: {path.stem}", file=sys.stderr)
    done = subprocess.run([sys.executable, path], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode == 0:
        (RAW / f"{path.stem.removeprefix('bench_')}.json").write_text(done.stdout, encoding="utf-8")
    return done.returncode == 0


def _section(result: dict[str, Any]) -> str:
    title = result.pop("benchmark", "") or f"{result.pop('id')} {result.pop('what')}"
    where = result.pop("machine", {})
    packages = ", ".join(f"{name} {version}" for name, version in where.pop("packages", {}).items())
    machine = ", ".join(str(value) for value in where.values())
    rows = "".join(f"| {name} | {value} |\n" for name, value in _rows(result))
    return f"\n## {title}\n\n{machine} · {packages}\n\n| what | value |\n|---|---|\n{rows}"


def _rows(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Flatten nested results: a summary (median, p99, n) becomes one row."""
    if isinstance(value, dict) and "median" in value:
        yield name, " · ".join(f"{key} {_short(each)}" for key, each in value.items())
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from _rows(each, f"{name} / {key}" if name else key)
    elif isinstance(value, list):
        for number, each in enumerate(value):
            label = str(each.pop("what", each.pop("case", number))) if isinstance(each, dict) else str(number)
            yield from _rows(each, f"{name} / {label}" if name else label)
    else:
        yield name, _short(value)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value).replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
