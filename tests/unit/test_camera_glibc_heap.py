"""What was freed goes back to the system, so that a camera that is opened again and again does not grow."""

import platform
from pathlib import Path

import pytest

from agent.camera.glibc_heap import give_back

BLOCK_BYTES = 100_000  # below the size that glibc maps apart
BLOCKS = 300


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_freed_memory_below_memory_in_use_goes_back_to_the_system() -> None:
    blocks = [b"x" * BLOCK_BYTES for _ in range(BLOCKS)]
    last = blocks.pop()
    blocks.clear()
    before = resident_bytes()
    assert give_back()
    assert before - resident_bytes() > BLOCKS * BLOCK_BYTES // 2
    assert len(last) == BLOCK_BYTES
