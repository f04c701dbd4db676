"""`scripts/setup` finishes what an interrupted run left half done; each tool that it calls is a small stand-in here."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PYTHON3 = """#!/bin/sh
cat >/dev/null
case "$*" in
*"-m venv"*)
    rm -rf .venv; mkdir -p .venv/bin
    for name in python pip; do printf '#!/bin/sh\\nexit 0\\n' >.venv/bin/$name; chmod +x .venv/bin/$name; done;;
esac
"""


def program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    for name in ("scripts/setup", "setup.cfg", "pyproject.toml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(REPOSITORY / name, tmp_path / name)
    program(tmp_path / "bin" / "dpkg-query", "#!/bin/sh\necho installed\n")
    program(tmp_path / "bin" / "python3", PYTHON3)
    return tmp_path


def run(clone: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{clone / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    words = [str(clone / "scripts" / "setup")]
    return subprocess.run(
        words, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=30
    )


def test_a_fresh_clone_gets_its_environment(clone: Path) -> None:
    done = run(clone)
    assert done.returncode == 0 and "making .venv" in done.stderr and done.stderr.endswith("setup: ready\n")
    assert "making .venv" not in run(clone).stderr


def test_an_environment_that_was_cut_off_while_it_was_made_is_made_again(clone: Path) -> None:
    program(clone / ".venv" / "bin" / "python", "#!/bin/sh\nexit 1\n")
    done = run(clone)
    assert done.returncode == 0, done.stderr
    assert "making .venv" in done.stderr
