"""The spool is shared by two users: what tmpfiles.d makes lets both write the index, whoever came first."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TMPFILES = ROOT / "systemd" / "tmpfiles.d" / "pole-agent.conf"
SPOOL = "/var/lib/pole-agent/spool"
GROUP = 54321
# Imports as root (the sources may lie where other users cannot look), then goes on as `user` of the shared group.
AS_USER = """
import os, sys
from pathlib import Path
from agent.clock import SystemClock
from agent.config import SpoolConfig
from agent.recording.spool import Spool
directory, user, group, what = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
os.umask(0o007)
os.setgroups([group])
os.setgid(user)
os.setuid(user)
spool = Spool(SpoolConfig(Path(directory), 1 << 30, 0), "gangseo-0142", SystemClock())
spool.start_camera("front", 1) if what == "camera" else spool.note_run("front", "boot", clean=True)
spool.close()
"""


def line_of(path: str) -> list[str]:
    lines = [line.split() for line in TMPFILES.read_text(encoding="utf-8").splitlines()]
    return next(words for words in lines if len(words) > 4 and words[1] == path)


@pytest.fixture
def spool() -> Iterator[Path]:
    """The spool's folder and index with the modes of tmpfiles.d, in a place every user can reach."""
    with tempfile.TemporaryDirectory() as outer:
        Path(outer).chmod(0o755)
        directory, index = Path(outer) / "spool", Path(outer) / "spool" / "index.sqlite"
        directory.mkdir()
        index.touch()
        for path, line in ((directory, line_of(SPOOL)), (index, line_of(f"{SPOOL}/index.sqlite"))):
            os.chown(path, 0, GROUP)
            path.chmod(int(line[2], 8))
        yield directory


def run_as(user: int, spool: Path, what: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", AS_USER, str(spool), str(user), str(GROUP), what]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become two users")
def test_camera_and_upload_write_one_index_as_different_users(spool):
    for user, what in ((54001, "camera"), (54002, "upload"), (54001, "camera")):
        done = run_as(user, spool, what)
        assert done.returncode == 0, done.stderr
